"""Takes a page's picture and writes it small enough for a repository."""

from __future__ import annotations

import asyncio
import io
from importlib.resources import files
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.async_api import Page, ViewportSize

DESKTOP = ViewportSize(width=1200, height=820)
PHONE = ViewportSize(width=390, height=844)
MOST_BYTES = 200_000

AXE = files("axe_playwright_python") / "axe.min.js"
_THEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")


class Camera:
    """Writes ``NAME.png`` files into ``folder``, and each view in both themes, as wide as a desktop's window
    and as a phone's, into ``every``, if that is given. ``troubles`` are what axe-core found there."""

    def __init__(self, folder: Path, every: Path | None = None) -> None:
        self.folder, self._every = folder, every
        self.troubles: list[str] = []

    async def take(self, page: Page, name: str) -> None:
        """The page as it stands, without the blinking cursor or unfinished animations."""
        await self._shoot(page, self.folder / f"{name}.png")
        await self.look(page, name)

    async def look(self, page: Page, name: str) -> None:
        """The page in each theme and size, if these are wanted, and what axe-core finds there."""
        if self._every is None:
            return
        before = page.viewport_size
        assert before is not None
        for theme in _THEMES:
            await page.emulate_media(color_scheme=theme)
            for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
                await page.set_viewport_size(size)
                view = f"{name}-{theme}-{device}"
                await self._shoot(page, self._every / f"{view}.png")
                self.troubles += [f"{self._every.name}/{view}: {each}" for each in await barriers(page)]
        await page.set_viewport_size(before)
        await page.emulate_media(color_scheme="dark")

    async def _shoot(self, page: Page, file: Path) -> None:
        await page.evaluate("document.fonts.ready")
        shot = await page.screenshot(animations="disabled", caret="hide")
        data = await asyncio.to_thread(small_png, shot)
        await asyncio.to_thread(_write, file, data)
        print(f"{file.parent.name}/{file.name}  {len(data) // 1000} kB", flush=True)


async def barriers(page: Page) -> list[str]:
    """What axe-core finds on the page that keeps people out: its rules, with the first element of each."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['target']}" for each in found["violations"]]


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


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
