"""Rate limits: 50 requests/s for the bot, and buckets per route and channel, guild or webhook.

Discord docs, Rate Limits. The sizes of the buckets are not documented; those of messages and channel
names are what the community has measured.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from modules.demo.discord_server.state.clock import ServerClock

GLOBAL_LIMIT, GLOBAL_SECONDS = 50, 1.0
CLEAN_AT = 10_000


@dataclass(frozen=True, kw_only=True)
class Limit:
    """So many requests in so many seconds."""

    count: int
    seconds: float


MESSAGES = Limit(count=5, seconds=5.0)
WEBHOOK = Limit(count=5, seconds=2.0)
CHANNEL_NAME = Limit(count=2, seconds=600.0)
OLD_EDITS = Limit(count=3, seconds=20.0)
OTHER = Limit(count=50, seconds=1.0)


@dataclass
class _Window:
    opened: float
    seconds: float
    used: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Headers for the answer; `retry_after` (real seconds) is set if the request is one too many."""

    headers: dict[str, str]
    retry_after: float | None = None
    is_global: bool = False


class RateLimiter:
    """Counts in windows that open with their first request. Switched off it lets everything pass."""

    def __init__(self, clock: ServerClock, *, enabled: bool) -> None:
        self._clock = clock
        self.enabled = enabled
        self._windows: dict[tuple[str, str], _Window] = {}
        self._global = _Window(0.0, GLOBAL_SECONDS)
        self._clean_at = CLEAN_AT

    def ask(self, route: str, major: str, limit: Limit, *, counts_globally: bool) -> Verdict:
        """Count one request against its bucket and, unless it is an interaction's, the bot's 50/s."""
        if not self.enabled:
            return Verdict(headers={})
        now = self._clock.now()
        if counts_globally:
            if now - self._global.opened >= GLOBAL_SECONDS:
                self._global = _Window(now, GLOBAL_SECONDS)
            self._global.used += 1
            if self._global.used > GLOBAL_LIMIT:
                wait = self._clock.real_seconds(self._global.opened + GLOBAL_SECONDS - now)
                headers = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
                return Verdict(headers=headers, retry_after=wait, is_global=True)
        window = self._window(route, major, limit, now)
        window.used += 1
        wait = self._clock.real_seconds(window.opened + limit.seconds - now)
        headers = self._headers(route, limit, window, wait, now)
        if window.used > limit.count:
            headers["X-RateLimit-Scope"] = "user"
            return Verdict(headers=headers, retry_after=wait)
        return Verdict(headers=headers)

    def take(self, name: str, major: str, limit: Limit) -> float | None:
        """A limit inside a route (channel names, old edits): real seconds to wait, or None if it passes."""
        if not self.enabled:
            return None
        now = self._clock.now()
        window = self._window(name, major, limit, now)
        if window.used >= limit.count:
            return self._clock.real_seconds(window.opened + limit.seconds - now)
        window.used += 1
        return None

    def _window(self, name: str, major: str, limit: Limit, now: float) -> _Window:
        window = self._windows.get((name, major))
        if window is None or now - window.opened >= limit.seconds:
            window = self._windows[(name, major)] = _Window(now, limit.seconds)
            if len(self._windows) > self._clean_at:
                self._windows = {k: w for k, w in self._windows.items() if now - w.opened < w.seconds}
                self._clean_at = max(CLEAN_AT, 2 * len(self._windows))
        return window

    def _headers(self, route: str, limit: Limit, window: _Window, wait: float, now: float) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(limit.count),
            "X-RateLimit-Remaining": str(max(0, limit.count - window.used)),
            "X-RateLimit-Reset": f"{now + wait:.3f}",
            "X-RateLimit-Reset-After": f"{math.ceil(wait * 1000) / 1000:.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(route.encode()).hexdigest()[:32],
        }
