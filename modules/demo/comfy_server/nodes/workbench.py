"""What the nodes of a server work with: its clockwork, its folders, its faults and its drawing."""

from __future__ import annotations

import asyncio
import functools
import io
import random
import time
from collections.abc import Callable
from typing import Literal

from PIL import Image

from modules.demo.comfy_server.drawing.marks import stamp
from modules.demo.comfy_server.drawing.picture_shelf import PictureShelf
from modules.demo.comfy_server.drawing.pictures import preview_of
from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.files import FileStore
from modules.demo.comfy_server.nodes.values import Composite, Recipe, composed, encode, marks_in, render
from modules.demo.comfy_server.profile import Timing
from modules.demo.comfy_server.run import GpuSpan

Drawing = Literal["full", "plain"]
"""``full`` draws scenes with a caption; ``plain`` a coloured plane with the mark, in a few milliseconds."""


class Workbench:
    """Shared by all runs of one server. ``crash`` ends the server as a dying process would."""

    def __init__(
        self, *, timing: Timing, faults: Faults, seed: int, drawing: Drawing, crash: Callable[[], None]
    ) -> None:
        self.timing = timing
        self.faults = faults
        self.rng = random.Random(seed)
        self.files = FileStore()
        self.shelf = PictureShelf()
        self.log: list[GpuSpan] = []
        self.crash = crash
        self._drawing: Drawing = drawing

    async def encoded(self, recipe: Recipe, kind: str, quality: int) -> bytes:
        """The picture as a file. Takes ``timing.encode`` or longer."""
        start = time.monotonic()
        data = await asyncio.to_thread(self._draw, recipe, kind, quality)
        await self.until(start + self.timing.encode)
        return data

    async def preview(self, recipe: Recipe, done: float) -> bytes:
        """A JPEG of how the picture looks when ``done`` (0…1) of its steps are done."""
        return await asyncio.to_thread(_preview, recipe, done, self._drawing)

    async def until(self, deadline: float) -> None:
        """Sleep until the monotonic clock shows ``deadline``."""
        delay = deadline - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)

    def _draw(self, recipe: Recipe, kind: str, quality: int) -> bytes:
        return encode(_image(recipe, self._drawing), kind, quality)


def _image(recipe: Recipe, drawing: Drawing) -> Image.Image:
    if drawing == "full":
        return render(recipe)
    if isinstance(recipe, Composite):
        return composed(_image(recipe.over, drawing), recipe)
    whose, making = marks_in(recipe)
    colour = whose ^ making
    image = Image.new("RGB", (48, 48), (colour & 255, colour >> 8 & 255, colour >> 16 & 255))
    return stamp(image, whose, making).resize(recipe.size, Image.Resampling.NEAREST)


@functools.lru_cache(maxsize=64)
def _thumbnail(recipe: Recipe, drawing: Drawing) -> Image.Image:
    image = _image(recipe, drawing)
    image.thumbnail((256, 256))
    return image


def _preview(recipe: Recipe, done: float, drawing: Drawing) -> bytes:
    image = preview_of(_thumbnail(recipe, drawing), marks_in(recipe), done)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
