"""Writes a prompt into a picture, in a font of the machine's that has accents."""

from __future__ import annotations

import functools
import textwrap
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
_LIMIT = 600


def write(image: Image.Image, prompt: str, seed: int) -> None:
    """The prompt and its seed on a dark panel at the top, in letters as large as its length allows."""
    width, height = image.size
    text = " ".join(prompt.split())
    text = text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
    letters = max(9, round(width / (22 if len(text) < 60 else 32 if len(text) < 200 else 48)))
    font, drawable = _font(letters), _drawable(text)
    columns = max(8, round(width * 0.9 / (letters * 0.56)))
    lines = [*(textwrap.wrap(drawable, columns) or ["(empty)"]), f"seed {seed}"]
    pad, pitch = letters * 0.6, letters * 1.3
    panel = Image.new("L", image.size, 0)
    box = (pad, pad, width - pad, min(height - pad, pad * 2 + pitch * len(lines)))
    if box[2] <= box[0] or box[3] <= box[1]:
        return
    ImageDraw.Draw(panel).rounded_rectangle(box, radius=pad, fill=150)
    image.paste((8, 8, 20), (0, 0), panel)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        tone = (190, 196, 220) if index == len(lines) - 1 else (255, 255, 255)
        draw.text((pad * 1.8, pad * 1.4 + index * pitch), line, font=font, fill=tone)


@functools.lru_cache(maxsize=64)
def _font(letters: int) -> Font:
    name = _font_name()
    return ImageFont.truetype(name, letters) if name else ImageFont.load_default(letters)


@functools.lru_cache(maxsize=1)
def _font_name() -> str | None:
    """A font of the machine's that has accents; Pillow's own has none."""
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
