"""Writes a prompt under a picture, in an installed font that has accented letters."""

from __future__ import annotations

import functools
import unicodedata

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FONT_NAMES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
)


def caption(image: Image.Image, prompt: str) -> None:
    """The prompt in one small line at the lower left, as much of it as fits."""
    width, height = image.size
    letters = max(9, round(min(width, height) / 52))
    font, margin = _font(letters), letters
    text = _drawable(" ".join(prompt[:400].split()))
    while text and font.getlength(text) > width - 2 * margin:
        text = text[: max(0, len(text) * 9 // 10 - 1)].rstrip(" …") + "…" * (len(text) > 2)
    draw = ImageDraw.Draw(image, "RGBA")
    place = (margin, height - 2 * margin)
    draw.text((place[0] + 1, place[1] + 1), text, font=font, fill=(0, 0, 0, 110))
    draw.text(place, text, font=font, fill=(255, 255, 255, 190))


@functools.lru_cache(maxsize=64)
def _font(letters: int) -> Font:
    name = _font_name()
    return ImageFont.truetype(name, letters) if name else ImageFont.load_default(letters)


@functools.lru_cache(maxsize=1)
def _font_name() -> str | None:
    """An installed font that has accented letters; Pillow's own has none."""
    for name in _FONT_NAMES:
        try:
            ImageFont.truetype(name, 12)
        except OSError:
            continue
        return name
    return None


def _drawable(text: str) -> str:
    """``text`` as the font at hand can show it: without accents if it is Pillow's own."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    if _font_name() is not None:
        return shown
    plain = unicodedata.normalize("NFKD", shown)
    return "".join(char for char in plain if not unicodedata.combining(char))
