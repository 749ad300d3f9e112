"""A picture's shape as people say it, and the sizes of a model that stand for it."""

from __future__ import annotations

import re

from modules.queue_manager.errors import BadSize
from modules.queue_manager.jobs import ModelOffer, Size

SHAPES = ("square", "portrait", "landscape", "wide", "tall")


def shape_of(size: Size) -> str:
    """The word for a size: at 1.6 : 1 a landscape becomes wide, and likewise upright."""
    ratio = size.width / size.height
    if ratio >= 1.6:
        return "wide"
    if ratio > 1.1:
        return "landscape"
    if ratio >= 1 / 1.1:
        return "square"
    return "portrait" if ratio > 1 / 1.6 else "tall"


def sizes_by_shape(offer: ModelOffer) -> dict[str, Size]:
    """For each shape that the model can do, the size nearest in area to its default."""
    area = offer.default_size.width * offer.default_size.height
    found: dict[str, Size] = {}
    for size in sorted(offer.sizes, key=lambda size: abs(size.width * size.height - area)):
        found.setdefault(shape_of(size), size)
    found[shape_of(offer.default_size)] = offer.default_size
    return {shape: found[shape] for shape in SHAPES if shape in found}


def choose_size(offer: ModelOffer, wanted: str | None) -> Size:
    """The size that ``wanted`` (a shape, ``832x1216``, or nothing) stands for. Raises `BadSize`."""
    text = (wanted or "").strip().casefold()
    if not text:
        return offer.default_size
    shapes = sizes_by_shape(offer)
    if text in shapes:
        return shapes[text]
    match = re.fullmatch(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", text)
    size = Size(width=int(match[1]), height=int(match[2])) if match else None
    if size is not None and size in {*offer.sizes, offer.default_size}:
        return size
    allowed = dict.fromkeys([offer.default_size, *offer.sizes])
    raise BadSize(size=str(size or (wanted or "")[:40]), allowed=", ".join(map(str, list(allowed)[:12])))
