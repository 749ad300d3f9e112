"""Discord's limits of single routes in single channels, as the headers of its answers tell them.

They take the place of discord.py's own, which serve in the order of asking, let a request that has had the
bot's turn wait on, and keep the last one that a limit lets through from its answer until the limit is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol

from discord.http import HTTPClient, Route

from modules.discord.transport.rate_limiter import DiscordRateLimiter, Line, Priority, current_priority
from modules.queue_manager.ports import Clock

SAME_WINDOW = 0.25
"""Seconds by which the end of one window may differ between two answers."""

FORGOTTEN_AFTER = 300.0
"""Seconds without a request after which a bucket may be forgotten."""

_entered: ContextVar[Bucket | None] = ContextVar("entered", default=None)
"""The bucket in which a request may be sent at once."""


class _Answer(Protocol):
    """As much of aiohttp's response as is read here."""

    @property
    def headers(self) -> Mapping[str, str]: ...


class Bucket:
    """Lets requests through as long as Discord's limit has room for them, the most urgent first; each takes
    its turn among all the bot's requests then, and is sent at once.

    The last place of a window is kept for what matters more than a status. Has what `discord.http` uses of
    its `Ratelimit`, in whose place it stands.
    """

    def __init__(self, *, pacer: DiscordRateLimiter, clock: Clock) -> None:
        self._pacer, self._clock = pacer, clock
        self._limit = 1  # until an answer tells
        self._left = 1
        self._window = float("-inf")  # when Discord ends it, by Discord's clock
        self._ends_at: float | None = None  # the same by ours; None: no window is known to be open
        self._under_way = 0
        self._line = Line()
        self._pump: asyncio.Task[None] | None = None
        self._used_at = clock.now()

    @property
    def remaining(self) -> int:
        """How many may be sent now."""
        if self._ends_at is not None and self._clock.now() >= self._ends_at:
            self._ends_at = None
        # Those under way may be counted in a window that opens with the first of them.
        return self._left if self._ends_at is not None else self._limit - self._under_way

    def is_inactive(self) -> bool:
        """Whether nothing is lost if it is forgotten."""
        rested = self._clock.now() - self._used_at >= FORGOTTEN_AFTER
        return rested and not self._under_way and self._line.first is None and self.remaining > 0

    def update(self, response: _Answer, *, use_clock: bool = False) -> None:
        """Learn from the headers of an answer (Discord docs, Rate Limits, Header Format)."""
        headers, now = response.headers, self._clock.now()
        self._limit = int(headers.get("X-RateLimit-Limit", 1))
        left = int(headers.get("X-RateLimit-Remaining", 0))
        after = float(headers.get("X-RateLimit-Reset-After", 0))
        window = float(headers.get("X-RateLimit-Reset", now + after))
        if window > self._window + SAME_WINDOW:
            # The others under way may have been counted after this one.
            self._window, self._ends_at, self._left = window, now + after, left - max(0, self._under_way - 1)
        elif window >= self._window - SAME_WINDOW:
            self._left = min(self._left, left)

    async def enter(self, level: Priority) -> None:
        """Return when a request may be sent; `leave` must follow."""
        self._used_at = self._clock.now()
        if self._line.first is None and self._has_room(level):
            self._take()
        else:
            await self._wait(level)
        try:
            await self._pacer.turn(level)
        except BaseException:
            self._give_back()
            raise

    def leave(self) -> None:
        """The request has its answer, or will get none."""
        self._pacer.answered()
        self._under_way -= 1
        self._let_in()

    def dismiss(self) -> None:
        """Cancel all who wait."""
        self._line.dismiss()
        if self._pump is not None:
            self._pump.cancel()

    async def _wait(self, level: Priority) -> None:
        admitted = self._line.join(level)
        self._let_in()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._give_back()
            raise

    def _has_room(self, level: Priority) -> bool:
        kept = 1 if level >= Priority.STATUS and self._limit > 2 else 0
        return self.remaining > kept

    def _take(self) -> None:
        self._left -= 1
        self._under_way += 1

    def _give_back(self) -> None:
        self._left += 1
        self._under_way -= 1
        self._let_in()

    def _let_in(self) -> None:
        while (level := self._line.first) is not None and self._has_room(level):
            self._take()
            self._line.admit()
        if self._line.first is not None and self._ends_at is not None and self._pump is None:
            self._pump = asyncio.create_task(self._reopen(self._ends_at), name="discord bucket")

    async def _reopen(self, at: float) -> None:
        try:
            await self._clock.sleep(max(0.0, at - self._clock.now()))
        finally:
            self._pump = None
        self._let_in()

    async def __aenter__(self) -> Bucket:
        if _entered.get() is not self:
            await self.enter(current_priority())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _entered.get() is not self:
            self.leave()


class RateLimitBuckets:
    """All buckets of a discord.py client, which uses them for every request. To be made before it logs in."""

    def __init__(self, *, http: HTTPClient, pacer: DiscordRateLimiter, clock: Clock) -> None:
        self._http, self._pacer, self._clock = http, pacer, clock
        self._all: dict[str, Any] = http._buckets
        http.get_ratelimit = self._of_request  # type: ignore[method-assign, assignment]

    @asynccontextmanager
    async def turn(self, route: Route, level: Priority) -> AsyncIterator[None]:
        """Inside, one request to ``route`` may be sent at once; what it says is best decided there."""
        known = self._http._bucket_hashes.get(route.key, route.key)
        bucket = self._bucket(f"{known}:{route.major_parameters}")
        await bucket.enter(level)
        token = _entered.set(bucket)
        try:
            yield
        finally:
            _entered.reset(token)
            bucket.leave()

    async def aclose(self) -> None:
        """Give no more turns; whoever waits is cancelled."""
        for bucket in self._all.values():
            bucket.dismiss()
        await self._pacer.aclose()

    def _of_request(self, key: str) -> Bucket:
        """Stands in for ``HTTPClient.get_ratelimit``."""
        return _entered.get() or self._bucket(key)

    def _bucket(self, key: str) -> Bucket:
        """By the name that Discord gave the limit, or that of the route before it gave one; and its major
        parameters."""
        bucket: Bucket | None = self._all.get(key)
        if bucket is None:
            bucket = self._all[key] = self._renamed(key) or Bucket(pacer=self._pacer, clock=self._clock)
            self._http._try_clear_expired_ratelimits()
        return bucket

    def _renamed(self, key: str) -> Bucket | None:
        """What stands under the route's name still, though another channel's answer told the limit's."""
        name, _, major = key.rpartition(":")
        routes = [route for route, known in self._http._bucket_hashes.items() if known == name]
        return next(
            (self._all.pop(f"{route}:{major}") for route in routes if f"{route}:{major}" in self._all), None
        )
