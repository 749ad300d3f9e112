"""The embedded Discord's time: it can be advanced by tests, or run faster, and timers follow it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

EPOCH_MS = 1420070400000
"""First millisecond of 2015, from which snowflakes count (Discord docs, Reference, Snowflakes)."""


class ServerClock:
    """Unix time in seconds; `scale` seconds of it pass in one real second, `advance` jumps.

    Timers are kept by their server time, so that a jump over several of them fires each, in order.
    """

    def __init__(self, *, scale: float = 1.0) -> None:
        self._scale = scale
        self._start = time.time()
        self._real = time.monotonic()
        self._jumped = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wake: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self._start + (time.monotonic() - self._real) * self._scale + self._jumped

    def real_seconds(self, seconds: float) -> float:
        """How long a client must really wait for `seconds` of server time."""
        return max(0.0, seconds / self._scale)

    def advance(self, seconds: float) -> None:
        """Jump forward; what became due happens before this returns."""
        self._jumped += seconds
        self._run_due()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._numbers), callback))
        if self._timers[0][0] == when:
            self._arm()

    def close(self) -> None:
        self._timers.clear()
        if self._wake is not None:
            self._wake.cancel()

    def _run_due(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._arm()

    def _arm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._timers:
            delay = self.real_seconds(self._timers[0][0] - self.now())
            self._wake = asyncio.get_running_loop().call_later(delay, self._run_due)


class Snowflakes:
    """Makes ids that carry the server's time and never repeat (Discord docs, Reference, Snowflakes)."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._last = 0

    def make(self) -> int:
        fresh = (int(self._clock.now() * 1000) - EPOCH_MS) << 22
        self._last = max(self._last + 1, fresh)
        return self._last


def snowflake_time(snowflake: int) -> float:
    """Unix time in seconds at which an id was made."""
    return ((snowflake >> 22) + EPOCH_MS) / 1000
