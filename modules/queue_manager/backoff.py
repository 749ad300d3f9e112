"""Growing pauses for whoever tries again: each twice as long as the one before, up to a longest one."""

from __future__ import annotations

import random

SPREAD = 0.2
"""By up to this part a pause is shorter or longer at random, so that many do not try in the same instant."""


class Backoff:
    """All times are seconds. ``spread`` draws by how much each pause differs (by nothing without it)."""

    def __init__(self, *, first: float, longest: float, spread: random.Random | None = None) -> None:
        self._first = first
        self._longest = longest
        self._spread = spread
        self._next = min(first, longest)

    def pause(self) -> float:
        """How long to wait before the next try; the one after that waits longer."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause if self._spread is None else pause * self._spread.uniform(1 - SPREAD, 1 + SPREAD)

    def reset(self) -> None:
        """It worked: the next pause is the first one again."""
        self._next = min(self._first, self._longest)
