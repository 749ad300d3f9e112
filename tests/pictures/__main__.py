"""``python -m tests.pictures``: retake the documentation's pictures, in every language.

``--every FOLDER`` also shows each view in both themes, on a desktop and on a phone.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from tests.e2e.chromium import launched
from tests.pictures.camera import Camera
from tests.pictures.scenes import WORDS, Words, play
from tests.pictures.theatre import demonstration

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


async def take(browser: Browser, words: Words, camera: Camera) -> None:
    """All pictures of one language, from a demonstration of its own."""
    with tempfile.TemporaryDirectory(prefix="fullet-pictures-") as place:
        async with demonstration(Path(place) / "log") as url:
            await play(browser, url, words, camera)


async def main(folder: Path, every: Path | None) -> None:
    """Take them, language after language."""
    async with launched() as browser:
        for words in WORDS:
            name = words.language
            await take(browser, words, Camera(folder / name, every and every / name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bot.py pictures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--every", type=Path)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.folder, chosen.every))
