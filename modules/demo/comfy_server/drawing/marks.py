"""A mark in a picture that says whose it is and how it was made, and survives PNG, WebP, JPEG and scaling.

The mark is a strip of light and dark cells along the lower edge: 32 bits of a hash of prompt and seed, 32
bits of a hash of all else that made the picture, then a 16-bit check sum.
"""

from __future__ import annotations

import hashlib
import zlib

from PIL import Image, ImageDraw

_BITS = 80
_DARK, _LIGHT = (24, 26, 46), (236, 230, 214)
_Layout = tuple[int, int, int]


class NoMark(ValueError):
    """The picture carries no mark that can be read."""


def mark_of(prompt: str, seed: int) -> int:
    """The 32-bit mark of the person who asked for ``prompt`` and ``seed``."""
    return _bits_of(prompt.encode("utf-8", "surrogatepass") + b"\0" + str(seed).encode())


def mark_of_making(making: str) -> int:
    """The 32-bit mark of all else that made a picture; ``making`` tells it in words (see `values`)."""
    return _bits_of(making.encode("utf-8", "surrogatepass"))


def stamp(image: Image.Image, whose: int, making: int = 0) -> None:
    """Draw both marks into ``image``, which must be RGB and at least 40 pixels wide and high."""
    mark = whose << 32 | making
    columns, rows, height = _layouts(image.size)[0]
    width, top = image.width, image.height - height
    draw = ImageDraw.Draw(image)
    bits = mark << 16 | _check(mark)
    for index in range(_BITS):
        column, row = index % columns, index // columns
        box = (
            column * width // columns,
            top + row * height // rows,
            (column + 1) * width // columns - 1,
            top + (row + 1) * height // rows - 1,
        )
        draw.rectangle(box, fill=_LIGHT if bits >> (_BITS - 1 - index) & 1 else _DARK)


def read_mark(image: Image.Image) -> int:
    """Whose picture ``image`` is (see `mark_of`). Raises `NoMark`."""
    return read_marks(image)[0]


def read_marks(image: Image.Image) -> tuple[int, int]:
    """Whose ``image`` is and how it was made, also after lossy encoding or scaling. Raises `NoMark`."""
    for layout in _layouts(image.size):
        bits = _read(image, layout)
        mark, check = bits >> 16, bits & 0xFFFF
        if check == _check(mark):
            return mark >> 32, mark & 0xFFFFFFFF
    raise NoMark(f"no mark in a picture of {image.width}×{image.height}")


def _bits_of(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def _check(mark: int) -> int:
    return zlib.crc32(mark.to_bytes(8, "big")) & 0xFFFF


def _layouts(size: tuple[int, int]) -> tuple[_Layout, _Layout]:
    """Columns, rows and height of the strip, the one that is drawn at this size first."""
    height = size[1]
    wide = (40, 2, max(2, round(height / 32)))
    narrow = (10, 8, max(8, round(height * 3 / 8)))
    return (wide, narrow) if min(size) >= 192 else (narrow, wide)


def _read(image: Image.Image, layout: _Layout) -> int:
    columns, rows, height = layout
    strip = image.crop((0, image.height - height, image.width, image.height)).convert("L")
    # three samples a cell each way, of which the middle one is far from blurred edges
    cells = strip.resize((columns * 3, rows * 3), Image.Resampling.BOX)
    bits = 0
    for index in range(_BITS):
        level = cells.getpixel((index % columns * 3 + 1, index // columns * 3 + 1))
        bits = bits << 1 | (isinstance(level, int) and level > 128)
    return bits
