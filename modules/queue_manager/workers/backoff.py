"""A circuit breaker for one engine: closed, open in growing pauses, half-open while one probe is out.

The worker keeps jobs away while it is open and asks the engine once after each pause. That it answers lets
jobs back to it; only a run that comes through makes the pauses short again.
After M. Nygard, "Release It!" (2007), chapter on stability patterns.
"""

from __future__ import annotations

import random


class CircuitBreaker:
    """Counts failures in a row. All times are seconds of the caller's clock."""

    def __init__(self, *, first_pause: float = 1.0, longest_pause: float = 60.0, seed: int = 0) -> None:
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._random = random.Random(seed)  # noqa: S311 - spreads probes, guards no secret
        self._failures = 0

    def failed(self) -> float:
        """Note a failure; returns how long to leave the engine alone, growing twofold, ±20 % apart."""
        pause = min(self._first_pause * 2.0**self._failures, self._longest_pause)
        self._failures = min(self._failures + 1, 30)
        return pause * self._random.uniform(0.8, 1.2)

    def succeeded(self) -> None:
        """A run came through."""
        self._failures = 0
