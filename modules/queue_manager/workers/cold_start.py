"""Servers that are started when jobs wait (scaled from zero): whether one is on its way, and for how long.

Nobody tells the bot that a server is being started. It knows from the operator which name scales, and learns
the time from "jobs wait and no server can make them" to "the first one can".
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from modules.queue_manager.errors import StoreError
from modules.queue_manager.ports import Clock
from modules.queue_manager.status import EngineStatus, QueueStatus

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0

PATIENCE = 3.0
"""After this many times the usual time, no server is expected any more."""

WEIGHT = 0.5
"""Weight of the newest start in the time that is learned."""


@dataclass(kw_only=True, eq=False, repr=False)
class ColdStart:
    """Run `watch` for as long as the bot runs. ``stated``: the operator's seconds for a start, None where
    nothing scales from zero; ``learned``: those of an earlier process; ``keep`` saves them for the next
    one."""

    queue: Callable[[], QueueStatus]
    engines: Callable[[], Sequence[EngineStatus]]
    clock: Clock
    stated: float | None
    learned: float | None = None
    keep: Callable[[float], Awaitable[None]]
    _since: float | None = field(init=False, default=None)
    _seen_begin: bool = field(init=False, default=False)

    def seconds(self) -> int | None:
        """How long a start takes, if jobs wait and a server should be on its way; else None. The caller looks
        whether one is there already."""
        if self.stated is None or not self._wanted() or not self.may_come():
            return None
        return max(1, round(self._usual(self.stated)))

    def may_come(self) -> bool:
        """Whether a server is on its way, or would be as soon as a job waits."""
        if self.stated is None:
            return False
        waited = 0.0 if self._since is None else self.clock.now() - self._since
        return waited <= PATIENCE * self._usual(self.stated)

    async def watch(self) -> None:
        while True:
            await self._look()
            await self.clock.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        able = any(engine.state in ("idle", "busy") for engine in self.engines())
        if able or not self._wanted():
            since, self._since = self._since, None
            if able and since is not None and self._seen_begin and self.stated is not None:
                # an outage that lasted for hours is no start
                took = min(self.clock.now() - since, PATIENCE * self._usual(self.stated))
                self.learned = (1 - WEIGHT) * self._usual(self.stated) + WEIGHT * took
                try:
                    await self.keep(self.learned)
                except StoreError as error:
                    log.warning("Could not store how long a server takes to start: %s", error)
            self._seen_begin = True
        elif self._since is None:
            self._since = self.clock.now()

    def _usual(self, stated: float) -> float:
        return stated if self.learned is None else self.learned

    def _wanted(self) -> bool:
        status = self.queue()
        return status.waiting + status.taken > 0
