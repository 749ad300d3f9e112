"""The bot's own limiter under Discord's 50 requests a second, with the urgent first.

discord.py keeps to the buckets of single routes by their headers; it knows nothing of the limit over
all of them. Interaction endpoints are outside that limit and do not pass here.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import aiohttp
from discord.http import HTTPClient, Route

from modules.queue_manager.errors import LeaseLost
from modules.queue_manager.ports import Clock


class Priority(IntEnum):
    """What goes first when many want to speak."""

    ACKNOWLEDGE = 0
    """Somebody waits for an answer to a command."""
    DELIVER = 1
    """A result, or the end of a job."""
    STATUS = 2
    """How far a job is."""
    REST = 3
    """Cleaning and whatever else can wait."""


_priority: ContextVar[Priority | None] = ContextVar("priority", default=Priority.REST)


@contextmanager
def priority(level: Priority) -> Iterator[None]:
    """Requests made inside have this priority."""
    token = _priority.set(level)
    try:
        yield
    finally:
        _priority.reset(token)


@contextmanager
def turn_taken() -> Iterator[None]:
    """Requests made inside have waited for their turn already."""
    token = _priority.set(None)
    try:
        yield
    finally:
        _priority.reset(token)


class Pacer:
    """Gives out turns, evenly spaced, the most urgent first and the oldest among equals.

    At most ``per_second * t + burst`` turns are given in any ``t`` seconds. The default leaves room
    below Discord's 50 for what bunches up on the way and for discord.py's own retries.
    """

    def __init__(self, *, clock: Clock, per_second: float = 46.0, burst: int = 4) -> None:
        self._clock = clock
        self._gap = 1.0 / per_second
        self._slack = self._gap * (burst - 1)
        self._next = float("-inf")  # when the evenly spaced turn is due; turns may be `slack` early
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._count = 0
        self._pump: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(not future.done() for _, _, future in self._waiting)

    async def turn(self, level: Priority) -> None:
        """Return when a request of this priority may be sent."""
        if not self._waiting and self._take():
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (level, self._count, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._give_turns(), name="discord pacer")
        await future

    def _take(self) -> bool:
        now = self._clock.now()
        if self._next - now > self._slack:
            return False
        self._next = max(self._next, now) + self._gap
        return True

    async def _give_turns(self) -> None:
        while self._waiting:
            wait = self._next - self._slack - self._clock.now()
            if wait > 0:
                await self._clock.sleep(wait)
            while self._waiting and self._waiting[0][2].done():  # it was cancelled
                heapq.heappop(self._waiting)
            # A clock may wake a hair too early.
            if self._waiting and self._take():
                heapq.heappop(self._waiting)[2].set_result(None)

    async def aclose(self) -> None:
        """Give no more turns; whoever waits is cancelled."""
        if self._pump is not None:
            self._pump.cancel()
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()


class Lane:
    """One at a time, the most urgent first and the oldest among equals.

    Discord limits messages by channel, and discord.py keeps to that in the order in which it is asked: were
    it asked for everything at once, a result would wait behind every status message of its channel.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._count = 0

    @property
    def idle(self) -> bool:
        """Whether nobody is in it."""
        return not self._taken

    async def enter(self, level: Priority) -> None:
        """Return when it is this one's turn; `leave` must follow."""
        if not self._taken:
            self._taken = True
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (level, self._count, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Let the next one in."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
                return
        self._taken = False


def pace(http: HTTPClient, pacer: Pacer) -> None:
    """Let every request of discord.py's client wait for its turn (interactions go another way)."""
    send = http.request

    async def paced(route: Route, **options: Any) -> Any:
        level = _priority.get()
        if level is not None:
            await pacer.turn(level)
        return await send(route, **options)

    http.request = paced  # type: ignore[method-assign]


class Traffic:
    """What Discord answered, by status: a 429 is a defect of the pacing, and is counted.

    ``may_speak`` is asked at the last moment before each request, retries and interactions included: a
    process that lost its lease says nothing more.
    """

    def __init__(self, may_speak: Callable[[], bool] = lambda: True) -> None:
        self.answers: Counter[int] = Counter()
        self._may_speak = may_speak

    @property
    def requests(self) -> int:
        """All answers since the start."""
        return sum(self.answers.values())

    @property
    def refused(self) -> int:
        """How many were refused for coming too fast."""
        return self.answers[429]

    def trace(self) -> aiohttp.TraceConfig:
        """The hook that discord.py gives its HTTP session."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._begins)
        config.on_request_end.append(self._ended)
        return config

    async def _begins(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestStartParams
    ) -> None:
        if not self._may_speak():
            raise LeaseLost("another process may speak to Discord now")

    async def _ended(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        self.answers[params.response.status] += 1
