"""The moving picture of the README: two people at once, and below them the lanes of the status page."""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from playwright.async_api import Locator, Page, ViewportSize, expect

COLUMN = ViewportSize(width=680, height=750)
LANES = ViewportSize(width=1368, height=700)
WIDTH, GAP, BAR = 1240, 8, 38
QUALITY, SPEED, MOST_BYTES = 70, 1.5, 3_000_000
"""``SPEED``: how much faster the film is shown than it was taken."""
LANES_EVERY = 1.5
"""Seconds after which the lanes are looked at again: the status page itself draws them every two."""
_GROUND, _INK = (9, 10, 15), (196, 202, 220)


@dataclass(frozen=True, kw_only=True)
class Titles:
    """What stands over each part of the picture."""

    people: tuple[str, str]
    lanes: str


class Film:
    """Takes what three pages show, side by side, again and again until it is stopped."""

    def __init__(self, people: tuple[Page, Page], status: Page, titles: Titles) -> None:
        self._people, self._status, self._titles = people, status, titles
        self._shots: list[tuple[float, tuple[bytes, bytes, bytes]]] = []

    async def roll(self, until: asyncio.Event) -> None:
        """Take one frame after another."""
        lanes = self._status.locator("section").filter(has=self._status.locator("#lanes"))
        below, taken = b"", -LANES_EVERY
        while not until.is_set():
            if time.monotonic() - taken >= LANES_EVERY:
                below, taken = await lanes.screenshot(type="jpeg", quality=95), time.monotonic()
            left, right = await asyncio.gather(
                *(page.screenshot(type="jpeg", quality=95, caret="initial") for page in self._people)
            )
            self._shots.append((time.monotonic(), (left, right, below)))

    def write(self, file: Path) -> int:
        """Write the film as an animated WebP, the last frame shown for longer; its size in bytes."""
        whole = [self._frame(*parts) for _, parts in self._shots]
        tall = max(frame.height for frame in whole)  # a line more or less under the lanes makes a difference
        frames = [ImageOps.pad(frame, (WIDTH, tall), color=_GROUND, centering=(0, 0)) for frame in whole]
        times = [at for at, _ in self._shots]
        lasting = [round((b - a) * 1000 / SPEED) for a, b in pairwise(times)]
        file.parent.mkdir(parents=True, exist_ok=True)
        first, *others = frames
        first.save(
            file, "WEBP", save_all=True, append_images=others, duration=[*lasting, 3500], loop=0,
            quality=QUALITY, method=4,
        )  # fmt: skip
        size = file.stat().st_size
        assert size <= MOST_BYTES, f"{file.name} has {size} bytes"
        return size

    def _frame(self, left: bytes, right: bytes, below: bytes) -> Image.Image:
        one, other, lanes = (Image.open(io.BytesIO(part)).convert("RGB") for part in (left, right, below))
        wide = one.width + GAP + other.width
        lanes = lanes.resize((wide, round(lanes.height * wide / lanes.width)), Image.Resampling.LANCZOS)
        tall = BAR + one.height + BAR + lanes.height
        frame = Image.new("RGB", (wide, tall), _GROUND)
        font, draw = ImageFont.truetype("DejaVuSans.ttf", 19), ImageDraw.Draw(frame)
        for x, page, title in zip((0, one.width + GAP), (one, other), self._titles.people, strict=True):
            frame.paste(page, (x, BAR))
            draw.text((x + 14, 7), title, font=font, fill=_INK)
        draw.text((14, BAR + one.height + 7), self._titles.lanes, font=font, fill=_INK)
        frame.paste(lanes, (0, BAR + one.height + BAR))
        return frame.resize((WIDTH, round(tall * WIDTH / wide)), Image.Resampling.LANCZOS)


async def ask(page: Page, prompt: str, result: Locator) -> None:
    """Type /imagine as a person does, go to the channel, and stay until the picture is there."""
    await page.get_by_test_id("text").click()
    await page.keyboard.type("/imagine ", delay=70)
    await page.get_by_test_id("choice").first.wait_for()
    await asyncio.sleep(0.7)
    await page.keyboard.press("Enter")
    await page.keyboard.type(prompt, delay=55)
    await asyncio.sleep(0.4)
    await page.keyboard.press("Enter")
    link = page.get_by_test_id("channel-mention").last
    await link.wait_for()
    await asyncio.sleep(1.0)
    await link.click()
    await result.wait_for()
    await expect(result.get_by_test_id("picture").get_by_role("img")).to_be_visible()
