"""How far two pictures are from each other, and how far a fused one may be from the one made alone.

The limit for a fused picture is twice the difference that the size of the batch alone makes, which a *stock
batch* shows: the model's own graph, through ComfyUI's own nodes, making several pictures of one prompt (see
`stock_batch`). Distances are root mean squares over all bytes, so that neither one odd pixel nor the share of
bytes that rounding touches decides.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageChops

EXACT = math.sqrt(0.0005)
"""Rounding that nobody has to explain: a byte in two thousand differs by one (`docs/fidelity.md` has the same
target)."""

TWICE = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """``largest`` is the largest difference of two bytes, ``share`` the part of the bytes that differ at all,
    ``rms`` the root mean square of the differences of all bytes (0 to 255)."""

    largest: int = 0
    share: float = 0.0
    rms: float = 0.0

    @property
    def psnr(self) -> float:
        """The peak signal-to-noise ratio in dB; infinite for equal pictures."""
        return math.inf if self.rms == 0 else 20 * math.log10(255 / self.rms)


APART = Difference(largest=255, share=1.0, rms=255.0)
"""Pictures of unequal size."""


def between(one: bytes, other: bytes) -> Difference:
    """Compare two encoded pictures. Takes tens of milliseconds: to be called in a thread."""
    with Image.open(io.BytesIO(one)) as first, Image.open(io.BytesIO(other)) as second:
        if first.size != second.size:
            return APART
        counts = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).histogram()
    by_size = [sum(counts[value::256]) for value in range(256)]
    total = sum(by_size)
    return Difference(
        largest=max(value for value, count in enumerate(by_size) if count),
        share=1 - by_size[0] / total,
        rms=math.sqrt(sum(value * value * count for value, count in enumerate(by_size)) / total),
    )


def worst(found: Iterable[Difference]) -> Difference:
    """The largest of each figure."""
    each = list(found)
    return Difference(
        largest=max(one.largest for one in each),
        share=max(one.share for one in each),
        rms=max(one.rms for one in each),
    )


def limit(stock: Difference | None, apart: float) -> float:
    """The largest distance at which a fused picture still counts as the one made alone. ``apart`` is the
    distance between the two most similar pictures of different people: whatever the yardstick says, nobody's
    picture may be half-way to somebody else's."""
    return max(EXACT, min(TWICE * stock.rms, apart / 2)) if stock is not None else EXACT
