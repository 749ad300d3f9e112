"""How many rows an engine can take of each model: halved by an out-of-memory, grown back with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

PATIENCE = 8
"""Full batches that must succeed before one row more is tried; doubled with each disappointment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limit:
    now: int
    successes: int = 0
    patience: int = PATIENCE


class BatchLimits:
    """What was learned about one engine. Models that it was never told of have limit 0."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._learned: dict[str, _Limit] = {}
        self._signature: tuple[tuple[str, int], ...] | None = ()

    def tell(self, limits: Mapping[str, int]) -> None:
        """What the engine says it can take (from its probe). What an out-of-memory taught stays."""
        self._told = dict(limits)
        self._signature = None

    @property
    def signature(self) -> tuple[tuple[str, int], ...]:
        """Equal for engines of equal limits."""
        if self._signature is None:
            self._signature = tuple((model, self.of(model)) for model in sorted(self._told))
        return self._signature

    def models(self) -> tuple[str, ...]:
        """The models the engine can run."""
        return tuple(model for model in self._told if self.of(model) > 0)

    def of(self, model: str) -> int:
        """The most rows of ``model`` in one run; 0: it cannot run it."""
        told = self._told.get(model, 0)
        learned = self._learned.get(model)
        return told if learned is None else min(told, learned.now)

    def out_of_memory(self, model: str, rows: int) -> int:
        """A run of ``rows`` did not fit. Returns the new limit, which is never below one: what else
        takes the memory may be gone the next time."""
        self._signature = None
        before = self._learned.get(model)
        patience = PATIENCE if before is None else before.patience * 2
        self._learned[model] = _Limit(now=max(rows // 2, 1), patience=patience)
        return max(rows // 2, 1)

    def succeeded(self, model: str, rows: int) -> None:
        """A run of ``rows`` came through; enough full ones in a row allow one more."""
        learned = self._learned.get(model)
        if learned is None or rows < learned.now:
            return
        if learned.successes + 1 < learned.patience:
            self._learned[model] = replace(learned, successes=learned.successes + 1)
        elif learned.now < self._told.get(model, 0):
            self._learned[model] = replace(learned, now=learned.now + 1, successes=0)
            self._signature = None
