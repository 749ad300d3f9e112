"""Masks and room to paint in: what is transparent, the seam around it, and pictures moved or made smaller in
their frame. A mask is grey: white is painted, black stays, and in between lies the seam."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageFilter, ImageOps

SEAM = 64
"""The seam's width is the longer side divided by this: 16 pixels of 1024."""

PANNED = 16
"""Pictures are moved by multiples of this many pixels, so that they stay aligned in a latent."""

_HALF = 128


def hole_in(alpha: Image.Image) -> Image.Image:
    """White where an alpha channel is more transparent than not, else black."""
    return alpha.point(lambda value: 255 if value < _HALF else 0)


def bright_in(picture: Image.Image) -> Image.Image:
    """White where a picture is brighter than a middle grey, else black."""
    return picture.convert("L").point(lambda value: 255 if value >= _HALF else 0)


def with_seam(hole: Image.Image) -> Image.Image:
    """The mask of a hole (black and white): white in it, falling to black within the seam around it."""
    half = ImageFilter.BoxBlur(max(1, round(max(hole.size) / SEAM / 2)))
    grown = hole.filter(half).point(lambda value: 255 if value else 0)
    return ImageChops.lighter(grown.filter(half), hole)


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture, or the mask, scaled to cover ``size``; the rest is cut off evenly on two sides."""
    way = Image.Resampling.LANCZOS if picture.mode == "RGB" else Image.Resampling.BILINEAR
    return picture if picture.size == size else ImageOps.fit(picture, size, way)


def zoomed(picture: Image.Image, factor: float) -> tuple[Image.Image, Image.Image]:
    """The picture that many times smaller in the middle of its frame, and the mask of the room around it."""
    size = round(picture.width / factor), round(picture.height / factor)
    at = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    return _framed(picture.resize(size, Image.Resampling.LANCZOS), picture.size, at)


def panned(picture: Image.Image, side: str) -> tuple[Image.Image, Image.Image]:
    """The half of the picture on that side (``left``, ``up``, ``right``, ``down``), moved to the other side
    of its frame, and the mask of the room that this leaves."""
    width, height = picture.size
    across, down = (length // 2 // PANNED * PANNED or length // 2 for length in picture.size)
    box, at = {
        "left": ((0, 0, width - across, height), (across, 0)),
        "right": ((across, 0, width, height), (0, 0)),
        "up": ((0, 0, width, height - down), (0, down)),
        "down": ((0, down, width, height), (0, 0)),
    }[side]
    return _framed(picture.crop(box), picture.size, at)


def _framed(
    picture: Image.Image, size: tuple[int, int], at: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """The picture in a frame that is filled with the colours of its edges, and the mask of this frame."""
    (left, top), (width, height) = at, picture.size
    frame, hole = Image.new("RGB", size), Image.new("L", size, 255)
    frame.paste(picture, at)
    for edge, to, room in (
        ((0, 0, width, 1), (left, 0), (width, top)),
        ((0, height - 1, width, height), (left, top + height), (width, size[1] - top - height)),
    ):
        if room[1] > 0:
            frame.paste(picture.crop(edge).resize(room), to)
    for column, start, wide in (
        (left, 0, left),
        (left + width - 1, left + width, size[0] - left - width),
    ):
        if wide > 0:
            side = frame.crop((column, 0, column + 1, size[1]))
            frame.paste(side.resize((wide, size[1])), (start, 0))
    hole.paste(0, (*at, left + width, top + height))
    return frame, with_seam(hole)
