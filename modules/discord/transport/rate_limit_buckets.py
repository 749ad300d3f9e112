"""Discord's limits of single routes in single channels, learnt from the headers of its answers. They replace
discord.py's own, which ignore priorities, make a request wait after it has had the bot's turn, and hold back
the last request that a limit allows until the limit is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import aiohttp
from discord.http import HTTPClient, Route

from modules.discord.transport.rate_limiter import DiscordRateLimiter, Line, Priority, requested_priority
from modules.queue_manager.ports import Clock

SAME_WINDOW = 0.25
"""Seconds by which two answers may disagree on the end of the same window."""

FORGOTTEN_AFTER = 300.0
"""Seconds without a request after which a bucket may be forgotten."""

_entered: ContextVar[Bucket | None] = ContextVar("entered", default=None)
"""The bucket in which a request may be sent at once."""


class Bucket:
    """Lets requests through while Discord's limit has room for them, the most urgent first; each then takes
    its turn among all the bot's requests. The last place of a window is reserved for what matters more than
    a status. Has the methods of `discord.http`'s `Ratelimit`, which it replaces."""

    def __init__(self, *, pacer: DiscordRateLimiter, clock: Clock) -> None:
        self._pacer, self._clock = pacer, clock
        self._limit = 1  # until an answer says more
        self._left = 1
        self._window = float("-inf")  # when Discord ends it, by Discord's clock
        self._ends_at: float | None = None  # the same by our clock; None: no window is known to be open
        self._under_way = 0
        self._line = Line()
        self._pump: asyncio.Task[None] | None = None
        self._used_at = clock.now()

    @property
    def remaining(self) -> int:
        if self._ends_at is not None and self._clock.now() >= self._ends_at:
            self._ends_at = None
        # Discord may count those under way in a window that opens with the first of them.
        return self._left if self._ends_at is not None else self._limit - self._under_way

    def is_inactive(self) -> bool:
        """Whether it can be forgotten without losing anything."""
        rested = self._clock.now() - self._used_at >= FORGOTTEN_AFTER
        return rested and not self._under_way and self._line.first is None and self.remaining > 0

    def update(self, response: aiohttp.ClientResponse, *, use_clock: bool = False) -> None:
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
        admitted = self._line.join(level)
        self._let_in()
        try:
            await admitted
            await self._pacer.turn(level)
        except BaseException:
            if admitted.done() and not admitted.cancelled():
                self._left += 1
                self._under_way -= 1
                self._let_in()
            raise

    def leave(self) -> None:
        """End a request that `enter` let through, answered or not."""
        self._pacer.answered()
        self._under_way -= 1
        self._let_in()

    def dismiss(self) -> None:
        self._line.dismiss()
        if self._pump is not None:
            self._pump.cancel()

    def _has_room(self, level: Priority) -> bool:
        reserved = 1 if level >= Priority.STATUS and self._limit > 2 else 0
        return self.remaining > reserved

    def _let_in(self) -> None:
        while (level := self._line.first) is not None and self._has_room(level):
            self._left -= 1
            self._under_way += 1
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
            await self.enter(requested_priority.get())
        return self

    async def __aexit__(self, *_: object) -> None:
        if _entered.get() is not self:
            self.leave()


class RateLimitBuckets:
    """All buckets of a discord.py client, which uses them for every request. Made before it logs in."""

    def __init__(self, *, http: HTTPClient, pacer: DiscordRateLimiter, clock: Clock) -> None:
        self._http, self._pacer, self._clock = http, pacer, clock
        self._all: dict[str, Bucket] = http._buckets  # type: ignore[assignment]
        http.get_ratelimit = self._of_request  # type: ignore[method-assign, assignment]

    @asynccontextmanager
    async def turn(self, route: Route, level: Priority) -> AsyncIterator[None]:
        """Inside, one request to ``route`` may be sent at once; decide there what it says."""
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
        for bucket in self._all.values():
            bucket.dismiss()
        await self._pacer.aclose()

    def _of_request(self, key: str) -> Bucket:
        return _entered.get() or self._bucket(key)

    def _bucket(self, key: str) -> Bucket:
        """``key``: Discord's name for the limit (the route's until Discord names it) and the major
        parameters."""
        bucket = self._all.get(key)
        if bucket is None:
            bucket = self._all[key] = self._renamed(key) or Bucket(pacer=self._pacer, clock=self._clock)
            self._http._try_clear_expired_ratelimits()
        return bucket

    def _renamed(self, key: str) -> Bucket | None:
        """The bucket that still has its route's name, though an answer in another channel named the limit."""
        name, _, major = key.rpartition(":")
        for route, known in self._http._bucket_hashes.items():
            if known == name and f"{route}:{major}" in self._all:
                return self._all.pop(f"{route}:{major}")
        return None
