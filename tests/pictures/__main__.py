"""``python -m tests.pictures``: retake the documentation's pictures, in every language.

``--every FOLDER`` also shows each view in both themes, on a desktop and on a phone, and what axe-core finds.
"""

from __future__ import annotations

import argparse
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


async def take(browser: Browser, words: Words, camera: Camera) -> None:
    """All pictures of one language, from a demonstration of its own."""
    with tempfile.TemporaryDirectory(prefix="fullet-pictures-") as place:
        async with demonstration(Path(place) / "log") as url:
            await play(browser, url, words, camera)


async def main(folder: Path, every: Path | None) -> int:
    """Take them, language after language; 1 if axe-core finds something."""
    troubles: list[str] = []
    async with launched() as browser:
        for words in WORDS:
            name = words.language
            camera = Camera(folder / name, every and every / name)
            await take(browser, words, camera)
            troubles += camera.troubles
    if every is not None:
        print("\n".join(troubles) or "axe-core finds nothing", flush=True)
    return 1 if troubles else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="bot.py pictures", description="Retake the pictures in the docs, in every language."
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=FOLDER, help="where to put them (default: docs/pictures)"
    )
    parser.add_argument(
        "--every",
        type=Path,
        metavar="FOLDER",
        help="also take every view in both themes, on a desktop and on a phone, into this folder, and print "
        "what axe-core finds",
    )
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.folder, chosen.every)))
