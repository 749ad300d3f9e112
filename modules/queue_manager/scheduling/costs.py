"""How many GPU seconds a picture takes, learned from the runs: the unit of turns by GPU seconds."""

from __future__ import annotations

from math import log2

from modules.queue_manager.jobs import BatchKey
from modules.queue_manager.scheduling.estimates import WEIGHT


class PictureCosts:
    """Means of seconds per picture, for each model and each size of about the same number of pixels (within a
    factor of √2; see `Size.work`). A size that was never made is guessed by its pixels from others, of the
    same model if possible. At first, 1024×1024 pixels count as one second: only the proportion matters."""

    def __init__(self) -> None:
        self._by_size: dict[tuple[str, int], float] = {}
        self._per_work: dict[str | None, float] = {None: 1.0}

    def learn(self, key: BatchKey, seconds: float) -> None:
        """A picture of ``key`` took ``seconds``: its share of a run, without loading the model."""
        self._by_size[_about(key)] = _mean(self._by_size.get(_about(key)), seconds)
        for model in (key.model, None):
            per_work = seconds / key.size.work
            self._per_work[model] = _mean(self._per_work.get(model), per_work)

    def expected(self, key: BatchKey) -> float:
        """Seconds that a picture of ``key`` probably takes."""
        if (seconds := self._by_size.get(_about(key))) is not None:
            return seconds
        return key.size.work * self._per_work.get(key.model, self._per_work[None])


def _about(key: BatchKey) -> tuple[str, int]:
    return key.model, round(2 * log2(key.size.work))


def _mean(known: float | None, sample: float) -> float:
    return sample if known is None else known + WEIGHT * (sample - known)
