"""Takes a page's picture and writes it small enough for a repository."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from PIL import Image
from playwright.async_api import Page

MOST_BYTES = 200_000


class Camera:
    """Writes ``NAME.png`` files into ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, page: Page, name: str) -> None:
        """The page as it stands, without the blinking cursor and half-done movements."""
        await page.evaluate("document.fonts.ready")
        shot = await page.screenshot(animations="disabled", caret="hide")
        data = await asyncio.to_thread(small_png, shot)
        await asyncio.to_thread(self._write, name, data)
        print(f"{self._folder.name}/{name}.png  {len(data) // 1000} kB", flush=True)

    def _write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{name}.png").write_bytes(data)


def small_png(shot: bytes) -> bytes:
    """The same picture in all its colours, or in as many as fit into `MOST_BYTES`."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    data = _packed(picture)
    for colours in (256, 128, 64, 32):
        if len(data) <= MOST_BYTES:
            break
        data = _packed(picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))
    return data


def _packed(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
