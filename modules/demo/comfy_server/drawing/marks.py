"""A mark in a picture that says whose picture it is and how it was made. It cannot be seen, and survives PNG,
WebP, JPEG and scaling.

It holds 32 bits of a hash of prompt and seed, 32 bits of a hash of all else that made the picture, then a
16-bit check sum: one bit in each of 80 low frequencies of the picture's brightness (a discrete cosine
transform). Each is moved a little, to where it is an even multiple of a step for 0 and an odd one for 1.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterable, Sequence
from operator import mul

from PIL import Image

_BITS = 80
_SIDE = 24
"""The transform is that of the picture's brightness on a grid of this many cells each way."""
_STRENGTHS = ((768, 8.0, 16), (192, 14.0, 10), (96, 20.0, 7), (0, 40.0, 3))
"""Each entry: the fewest pixels that the shorter side must have; how far apart a 0 and a 1 are, more in small
pictures, of which lossy files keep less; and n, where 1/n of the picture's contrast is given up so that its
darkest and lightest parts can carry the mark, too."""

_WAVES = [
    [
        math.sqrt((2 if turns else 1) / _SIDE) * math.cos(math.pi * turns * (cell + 0.5) / _SIDE)
        for cell in range(_SIDE)
    ]
    for turns in range(14)
]
_CELLS = list(zip(*_WAVES, strict=True))
# without the very lowest, where a picture is strongest; the others hardly change when it is cropped a little
_PLACES = sorted(
    ((x, y) for x in range(14) for y in range(14) if 3 <= x + y <= 13), key=lambda place: (sum(place), place)
)[:_BITS]


class NoMark(ValueError):
    """The picture carries no mark that can be read."""


def mark_of(prompt: str, seed: int) -> int:
    """The 32-bit mark of the person who asked for ``prompt`` and ``seed``."""
    return _bits_of(prompt.encode("utf-8", "surrogatepass") + b"\0" + str(seed).encode())


def mark_of_making(making: str) -> int:
    """The 32-bit mark of all else that made a picture; ``making`` describes it in words (see `values`)."""
    return _bits_of(making.encode("utf-8", "surrogatepass"))


def stamp(image: Image.Image, whose: int, making: int = 0) -> Image.Image:
    """``image`` with both marks; it must be RGB and at least 40 pixels wide and high."""
    mark = whose << 32 | making
    bits = mark << 16 | _check(mark)
    step, share = next((step, share) for least, step, share in _STRENGTHS if min(image.size) >= least)
    keeps = 1 - 1 / share
    moves = [[0.0] * 14 for _ in range(14)]
    for index, ((x, y), level) in enumerate(zip(_PLACES, _frequencies(image), strict=True)):
        bit = bits >> (_BITS - 1 - index) & 1
        target = 2 * step * round((level * keeps / step - bit) / 2) + step * bit
        moves[y][x] = (target - level * keeps) * share
    across = [[_dot(line, cell) for line in moves] for cell in _CELLS]
    field = bytes(min(255, max(0, round(128 + _dot(cell, column)))) for cell in _CELLS for column in across)
    veil = Image.frombytes("L", (_SIDE, _SIDE), field).resize(image.size, Image.Resampling.BICUBIC)
    return Image.blend(image, Image.merge("RGB", (veil, veil, veil)), 1 / share)


def read_mark(image: Image.Image) -> int:
    """Whose picture ``image`` is (see `mark_of`). Raises `NoMark`."""
    return read_marks(image)[0]


def read_marks(image: Image.Image) -> tuple[int, int]:
    """Whose ``image`` is and how it was made, also after lossy encoding or scaling. Raises `NoMark`."""
    levels = _frequencies(image)
    for _, step, _ in _STRENGTHS:
        bits = 0
        for level in levels:
            bits = bits << 1 | round(level / step) & 1
        mark, check = bits >> 16, bits & 0xFFFF
        if check == _check(mark):
            return mark >> 32, mark & 0xFFFFFFFF
    raise NoMark(f"no mark in a picture of {image.width}×{image.height}")


def _bits_of(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def _check(mark: int) -> int:
    return zlib.crc32(mark.to_bytes(8, "big")) & 0xFFFF


def _frequencies(image: Image.Image) -> Iterable[float]:
    """The levels of the frequencies that carry the bits, in their order."""
    smooth = Image.Resampling.BILINEAR
    # in two passes; the second works with finer levels than whole numbers
    coarse = (
        image.convert("L").resize((4 * _SIDE, 4 * _SIDE), smooth).convert("F").resize((_SIDE, _SIDE), smooth)
    )
    cells = memoryview(coarse.tobytes()).cast("f").tolist()
    rows = [cells[at : at + _SIDE] for at in range(0, len(cells), _SIDE)]
    across = [[_dot(row, wave) for row in rows] for wave in _WAVES]
    return [_dot(across[x], _WAVES[y]) for x, y in _PLACES]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return float(sum(map(mul, one, other)))
