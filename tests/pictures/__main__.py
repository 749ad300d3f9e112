"""``python -m tests.pictures [FOLDER]``: retake the documentation's pictures, in every language."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from tests.e2e.chromium import launched
from tests.pictures.camera import Camera
from tests.pictures.scenes import WORDS, Words, play
from tests.pictures.theatre import demonstration

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


async def take(browser: Browser, words: Words, folder: Path) -> None:
    """All pictures of one language, from a demonstration of its own."""
    with tempfile.TemporaryDirectory(prefix="fullet-pictures-") as place:
        async with demonstration(Path(place) / "log") as url:
            await play(browser, url, words, Camera(folder / words.language))


async def main(folder: Path) -> None:
    """Take them, language after language."""
    async with launched() as browser:
        for words in WORDS:
            await take(browser, words, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
