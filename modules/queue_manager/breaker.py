"""A circuit breaker for one engine: closed, open with growing pauses, half-open for one trial run.

After M. Nygard, "Release It!" (2007), chapter on stability patterns.
"""

from __future__ import annotations

import random
from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Counts failures in a row. All times are seconds of the caller's clock."""

    def __init__(self, *, first_pause: float = 1.0, longest_pause: float = 60.0, seed: int = 0) -> None:
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._random = random.Random(seed)  # noqa: S311 - spreads probes, guards no secret
        self._failures = 0
        self._half_open = False

    @property
    def state(self) -> BreakerState:
        """Closed: jobs may go there. Half-open: it answered, and one batch is to show that it works."""
        if self._failures == 0:
            return "closed"
        return "half-open" if self._half_open else "open"

    def failed(self) -> float:
        """Note a failure; returns how long to leave the engine alone, growing twofold, ±20 % apart."""
        self._half_open = False
        pause = min(self._first_pause * 2.0**self._failures, self._longest_pause)
        self._failures = min(self._failures + 1, 30)
        return pause * self._random.uniform(0.8, 1.2)

    def answered(self) -> None:
        """It answers again. A run that comes through closes the circuit; a failure opens it for longer."""
        self._half_open = True

    def succeeded(self) -> None:
        """A run came through."""
        self._failures = 0
        self._half_open = False
