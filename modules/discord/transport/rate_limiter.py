"""Keeps the bot below Discord's limit of 50 requests a second over all routes, which discord.py does not
handle; the most urgent requests go first. Interaction endpoints are outside that limit and do not use
this."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from itertools import count

import aiohttp

from modules.queue_manager.errors import LeaseLost
from modules.queue_manager.ports import Clock

PER_SECOND = 50
"""Requests that Discord takes in a second from one bot (Rate Limits, Global Rate Limit)."""


class Priority(IntEnum):
    """Which requests go first."""

    ACKNOWLEDGE = 0
    """Somebody waits for an answer to a command."""
    DELIVER = 1
    """A result, or the end of a job."""
    STATUS = 2
    """How far a job is."""
    REST = 3
    """Cleaning up, and what else can wait."""


requested_priority: ContextVar[Priority] = ContextVar("priority", default=Priority.REST)


@contextmanager
def priority(level: Priority) -> Iterator[None]:
    token = requested_priority.set(level)
    try:
        yield
    finally:
        requested_priority.reset(token)


class Line:
    """Waiting requests: the most urgent first, and the oldest of equal ones."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._sweep_at = 64

    def join(self, level: Priority) -> asyncio.Future[None]:
        """Add a request; its future is done when it may go, and cancelling that takes it out."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._sweep_at:
            self._waiting = [entry for entry in self._waiting if not entry[2].done()]
            heapq.heapify(self._waiting)
            self._sweep_at = max(64, 2 * len(self._waiting))
        heapq.heappush(self._waiting, (level, next(self._numbers), future))
        return future

    @property
    def first(self) -> Priority | None:
        """The priority of the first request; None if none waits."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def admit(self) -> None:
        assert self.first is not None
        heapq.heappop(self._waiting)[2].set_result(None)

    def dismiss(self) -> None:
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()


class DiscordRateLimiter:
    """Gives turns, the most urgent first: at most ``per_second * t + burst`` in ``t`` seconds, and never more
    than Discord's ``limit``.

    Discord counts a request at an unknown moment between its sending and its answer. So one is sent only
    while fewer than ``limit`` are under way or were answered within the last second.
    """

    def __init__(
        self, *, clock: Clock, per_second: float = 48.0, burst: int = 4, limit: int = PER_SECOND
    ) -> None:
        self._clock, self._limit = clock, limit
        self._gap = 1.0 / per_second
        self._slack = self._gap * (burst - 1)
        self._next = float("-inf")  # when the evenly spaced turn is due; turns may be `slack` early
        self._line = Line()
        self._under_way = 0
        self._answered: deque[float] = deque()
        self._answer = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    async def turn(self, level: Priority) -> None:
        """Return when a request of this priority may be sent; `answered` must follow."""
        if self._line.first is None and self._take():
            return
        admitted = self._line.join(level)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._give_turns(), name="discord pacer")
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._under_way -= 1  # it was never sent
                self._answer.set()
            raise

    def answered(self) -> None:
        """A request that had its turn has its answer, or will get none."""
        self._under_way -= 1
        self._answered.append(self._clock.now())
        self._answer.set()

    def _take(self) -> bool:
        now = self._clock.now()
        due = self._due(now)
        if due is None or due > now:
            return False
        self._next = max(self._next, now) + self._gap
        self._under_way += 1
        return True

    def _due(self, now: float) -> float | None:
        """When the next turn may be given; None: not before an answer."""
        while self._answered and self._answered[0] + 1.0 <= now:
            self._answered.popleft()
        spaced = self._next - self._slack
        if self._under_way + len(self._answered) < self._limit:
            return spaced
        return max(spaced, self._answered[0] + 1.0) if self._answered else None

    async def _give_turns(self) -> None:
        while self._line.first is not None:
            now = self._clock.now()
            due = self._due(now)
            if due is None:
                self._answer.clear()
                await self._answer.wait()
            elif due > now:
                await self._clock.sleep(due - now)
            elif self._take():
                self._line.admit()

    async def aclose(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        self._line.dismiss()


class Traffic:
    """Counts Discord's answers by HTTP status; a 429 is a defect of the limiter. ``may_speak`` is asked
    immediately before each request, retries and interactions included: a process that lost its lease sends
    nothing more."""

    def __init__(self, may_speak: Callable[[], bool] = lambda: True) -> None:
        self.answers: Counter[int] = Counter()
        self.may_speak = may_speak

    @property
    def requests(self) -> int:
        return sum(self.answers.values())

    @property
    def refused(self) -> int:
        return self.answers[429]

    def by_status(self) -> dict[str, int]:
        return {str(status): number for status, number in self.answers.items()}

    def trace(self) -> aiohttp.TraceConfig:
        """The hook that discord.py gives its HTTP session."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._begins)
        config.on_request_end.append(self._ended)
        return config

    async def _begins(self, *_: object) -> None:
        if not self.may_speak():
            raise LeaseLost("another process may speak to Discord now")

    async def _ended(self, _session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        self.answers[params.response.status] += 1
