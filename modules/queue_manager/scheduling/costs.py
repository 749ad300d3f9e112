"""How many GPU seconds a picture takes, learned from the runs: the unit of turns by GPU seconds."""

from __future__ import annotations

from math import log2

from modules.queue_manager.jobs import BatchKey
from modules.queue_manager.scheduling.estimates import WEIGHT

PER_PIXEL = 1e-6
"""Seconds for each pixel, until there was a run: only the proportion matters."""


class PictureCosts:
    """Means of seconds per picture, for each model and each size of about the same number of pixels (within a
    factor of √2). What was never made is guessed by its pixels from what was: of the model, else of any."""

    def __init__(self) -> None:
        self._by_size: dict[tuple[str, int], float] = {}
        self._per_pixel: dict[str | None, float] = {None: PER_PIXEL}

    def learn(self, key: BatchKey, seconds: float) -> None:
        """A picture of ``key`` took ``seconds``: its share of a run, the loading of the model aside."""
        place, pixels = _place(key)
        self._by_size[place] = _mean(self._by_size.get(place), seconds)
        for model in (key.model, None):
            self._per_pixel[model] = _mean(self._per_pixel.get(model), seconds / pixels)

    def expected(self, key: BatchKey) -> float:
        """Seconds that a picture of ``key`` probably takes."""
        place, pixels = _place(key)
        seconds = self._by_size.get(place)
        return pixels * self._per_pixel.get(key.model, self._per_pixel[None]) if seconds is None else seconds


def _place(key: BatchKey) -> tuple[tuple[str, int], int]:
    pixels = max(key.size.width * key.size.height, 1)
    return (key.model, round(2 * log2(pixels))), pixels


def _mean(known: float | None, sample: float) -> float:
    return sample if known is None else known + WEIGHT * (sample - known)
