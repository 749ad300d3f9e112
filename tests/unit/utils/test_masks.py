"""The seam around what is painted, and the room that zooming out and panning make."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageChops

from modules.utils.images import masks

SIZE = (256, 192)
SEAM = 256 // masks.SEAM


def drawn(size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))


def test_a_mask_is_white_in_the_hole_and_black_beyond_the_seam() -> None:
    hole = Image.new("L", SIZE)
    hole.paste(255, (60, 50, 120, 100))
    hole.putpixel((200, 20), 255)
    mask = masks.with_seam(hole)
    assert ImageChops.subtract(hole, mask).getbbox() is None
    assert mask.getpixel((60 - SEAM // 2, 75)) not in (0, 255)
    mask.paste(0, (60 - SEAM, 50 - SEAM, 120 + SEAM, 100 + SEAM))
    mask.paste(0, (200 - SEAM, 20 - SEAM, 201 + SEAM, 21 + SEAM))
    assert mask.getbbox() is None


@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_a_zoomed_picture_is_smaller_in_the_middle_of_a_frame_that_its_edges_fill(factor: float) -> None:
    picture = drawn()
    frame, mask = masks.zoomed(picture, factor)
    width, height = round(SIZE[0] / factor), round(SIZE[1] / factor)
    left, top = (SIZE[0] - width) // 2, (SIZE[1] - height) // 2
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    assert (frame.size, mask.size) == (SIZE, SIZE)
    assert frame.crop((left, top, left + width, top + height)).tobytes() == small.tobytes()
    assert frame.getpixel((0, top)) == small.getpixel((0, 0))
    assert frame.getpixel((SIZE[0] - 1, SIZE[1] - 1)) == small.getpixel((width - 1, height - 1))
    inner = (left + SEAM, top + SEAM, left + width - SEAM, top + height - SEAM)
    assert mask.crop(inner).getbbox() is None
    assert [mask.getpixel(at) for at in ((0, 0), (left - 1, top), (left, top + height))] == [255] * 3


@pytest.mark.parametrize(
    ("side", "box", "at", "white", "black"),
    [
        ("left", (0, 0, 128, 192), (128, 0), (0, 0, 128, 192), (128 + SEAM, 0, 256, 192)),
        ("right", (128, 0, 256, 192), (0, 0), (128, 0, 256, 192), (0, 0, 128 - SEAM, 192)),
        ("up", (0, 0, 256, 96), (0, 96), (0, 0, 256, 96), (0, 96 + SEAM, 256, 192)),
        ("down", (0, 96, 256, 192), (0, 0), (0, 96, 256, 192), (0, 0, 256, 96 - SEAM)),
    ],
)
def test_a_panned_picture_keeps_the_half_on_that_side(
    side: str,
    box: tuple[int, int, int, int],
    at: tuple[int, int],
    white: tuple[int, int, int, int],
    black: tuple[int, int, int, int],
) -> None:
    picture = drawn()
    frame, mask = masks.panned(picture, side)
    half = picture.crop(box)
    assert frame.crop((*at, at[0] + half.width, at[1] + half.height)).tobytes() == half.tobytes()
    assert mask.crop(white).getextrema() == (255, 255)
    assert mask.crop(black).getbbox() is None


def test_a_picture_of_the_size_already_stays_as_it_is() -> None:
    assert masks.fitted(drawn(), SIZE).tobytes() == drawn().tobytes()
    assert masks.fitted(drawn((300, 300)), SIZE).size == SIZE
