"""Growing pauses between tries: each twice as long as the one before, up to a longest one."""

from __future__ import annotations

import random

SPREAD = 0.2
"""A pause is up to this share shorter or longer at random, so that not everyone tries in the same instant."""


class Backoff:
    """Times are seconds. ``spread`` draws how much each pause differs; without it, none does."""

    def __init__(self, *, first: float, longest: float, spread: random.Random | None = None) -> None:
        self._first = first
        self._longest = longest
        self._spread = spread
        self._next = min(first, longest)

    def pause(self) -> float:
        """How long to wait before the next try."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause if self._spread is None else pause * self._spread.uniform(1 - SPREAD, 1 + SPREAD)

    def reset(self) -> None:
        """Start again with the first pause."""
        self._next = min(self._first, self._longest)
