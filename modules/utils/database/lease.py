"""Who works on this database: one process holds the lease, others stand by and take over.

On PostgreSQL the lease is a row that expires by the database's own clock. On SQLite it is a lock on a
file beside the database, which the system frees when its holder dies. Either way each holder has its own
epoch, and every write is conditional on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import LeaseLost, StoreUnavailable

log = logging.getLogger(__name__)

LENGTH_SECONDS = 8.0
RENEW_SHARE = 3 / 8
"""Renewed after this part of its length; a try that failed is repeated after a sixth of that."""

MARGIN_SHARE = 1 / 8
"""A holder stops this part of the length early, so that what it began last is over when the lease ends."""

IDLE_SHARE = 5 / 8
"""PostgreSQL ends a transaction of ours that is idle for this part of a lease."""

_CHECK = {
    "sqlite": text("SELECT epoch FROM lease WHERE id = 1"),
    # The shared lock makes a successor wait for this transaction's end; the time limit frees it if we freeze.
    "postgresql": text(
        "SELECT epoch, set_config('idle_in_transaction_session_timeout', :idle, true)"
        " FROM lease WHERE id = 1 FOR SHARE"
    ),
}


def steady_seconds() -> float:
    """Seconds on a clock that never jumps and, if the system has one, keeps running while it is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


Statements = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Lends a connection on which each statement stands alone (see `Connections.statements`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The result of a try: our ``epoch``, or None with the ``holder`` and the seconds that it has at most."""

    epoch: int | None
    holder: str = ""
    seconds_left: float = 0.0


class LeaseGround(Protocol):
    """What a lease stands on: a row of PostgreSQL or a file lock. All but ``outlasts`` may raise
    `StoreUnavailable`; a file lock has no use for ``seconds`` and ``epoch``."""

    async def claim(self, owner: str, seconds: float) -> Claim:
        """Take the lease if it is free."""

    async def renew(self, epoch: int, seconds: float) -> bool:
        """Prolong it; False if another process has it by now."""

    def outlasts(self) -> bool:
        """Whether it is certainly ours even if it was not prolonged in time: locks do not expire."""

    async def release(self, epoch: int) -> None:
        """Let the next process have it at once."""


class Lease:
    """This process's claim to be the one that works.

    Ask ``safe()`` right before anything that the outside world sees (a post, a dispatch). It turns False a
    margin before a lease that could not be renewed ends. Then it stays False until the lease is acquired
    again, because work that was given up on a False is not resumed. ``lost`` is set once another process has
    taken over; that is final.
    """

    def __init__(self, ground: LeaseGround, *, length_seconds: float) -> None:
        self._ground = ground
        self._length = length_seconds
        self._renew_every = length_seconds * RENEW_SHARE
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.epoch: int | None = None
        self._safe_until = float("-inf")
        self.held = asyncio.Event()
        self.lost = asyncio.Event()

    def safe(self) -> bool:
        """Whether this process may post and dispatch now."""
        if not self._in_time():
            self._safe_until = float("-inf")
        return self._safe_until > float("-inf")

    def _in_time(self) -> bool:
        if steady_seconds() < self._safe_until:
            return True
        return self._safe_until > float("-inf") and self._ground.outlasts()

    def ensure_safe(self) -> None:
        """Raise `LeaseLost` unless `safe`."""
        if not self.safe():
            raise LeaseLost("the database did not confirm in time that this process may go on")

    async def acquire(self) -> None:
        """Return once this process is the one that works; cancel to give up."""
        logged = ""
        while True:
            started = steady_seconds()
            try:
                async with timeout(self._length + 2):
                    claim = await self._ground.claim(self.owner, self._length)
            except (StoreUnavailable, asyncio.TimeoutError) as error:
                if logged != (why := str(error) or "no answer"):
                    log.warning(
                        "Standing by: cannot find out whether another bot uses this database: %s", why
                    )
                    logged = why
                await asyncio.sleep(1.0)
                continue
            if claim.epoch is not None:
                self.epoch = claim.epoch
                self.held.set()
                self._extend(started)
                log.info("This process uses the database now (epoch %d)", claim.epoch)
                return
            if logged != claim.holder:
                log.info("Standing by: %s uses this database", claim.holder)
                logged = claim.holder
            await asyncio.sleep(min(1.0, max(0.05, claim.seconds_left + 0.02)))

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait until the lease is ours, keep it renewed inside, free it at the end."""
        await self.acquire()
        renewing = asyncio.create_task(self._keep(), name="lease")
        try:
            yield
        finally:
            while not renewing.done():
                # Once is not always enough: on Python 3.10, a time limit that has run out swallows any
                # cancellation.
                renewing.cancel()
                await asyncio.wait({renewing}, timeout=self._renew_every)
            await self._release()

    def check(self, connection: Connection) -> None:
        """Inside a transaction: raise `LeaseLost` if another process has taken over.

        Until the lease has been acquired, nothing is checked: tools that only read or prepare do without it.
        """
        if self.epoch is None:
            return
        idle = {} if connection.dialect.name == "sqlite" else {"idle": f"{self._length * IDLE_SHARE:.1f}s"}
        epoch = connection.execute(_CHECK[connection.dialect.name], idle).scalar()
        if epoch != self.epoch:
            self._note_lost()
            raise LeaseLost("another process uses this database now")

    async def _keep(self) -> None:
        pause = self._renew_every
        while not self.lost.is_set():
            await asyncio.sleep(pause)
            pause = self._renew_every if await self._renew() else self._renew_every / 6

    async def _renew(self) -> bool:
        started, in_time = steady_seconds(), self._in_time()
        assert self.epoch is not None
        try:
            async with timeout(self._renew_every):
                ours = await self._ground.renew(self.epoch, self._length)
        except (StoreUnavailable, asyncio.TimeoutError) as error:
            if in_time:
                left = self._safe_until - steady_seconds()
                log.warning(
                    "The database did not confirm that this process may go on (%s);"
                    " the process stops in %.1f s",
                    str(error) or "no answer",
                    left,
                )
            return False
        if not ours:
            self._note_lost()
            return False
        if self._safe_until > float("-inf"):  # nobody was refused meanwhile
            self._extend(started)
        return True

    def _extend(self, started: float) -> None:
        self._safe_until = started + self._length * (1 - MARGIN_SHARE)

    def _note_lost(self) -> None:
        if not self.lost.is_set():
            log.error("Another process is using this database now, so this one stops")
            self._safe_until = float("-inf")
            self.lost.set()

    async def _release(self) -> None:
        self._safe_until = float("-inf")
        if self.epoch is not None and not self.lost.is_set():
            with contextlib.suppress(StoreUnavailable, asyncio.TimeoutError):
                async with timeout(self._renew_every):
                    await self._ground.release(self.epoch)


_NOW = "EXTRACT(EPOCH FROM clock_timestamp())"

_CLAIM = text(
    f"UPDATE lease SET owner = :owner, epoch = epoch + 1, expires_at = {_NOW} + :seconds"  # noqa: S608 (a constant)
    f" WHERE id = 1 AND expires_at <= {_NOW} RETURNING epoch"
)
_HOLDER = text(f"SELECT owner, expires_at - {_NOW} FROM lease WHERE id = 1")  # noqa: S608
_RENEW = text(
    f"UPDATE lease SET expires_at = {_NOW} + :seconds WHERE id = 1 AND epoch = :epoch RETURNING epoch"  # noqa: S608
)
_RELEASE = text("UPDATE lease SET expires_at = 0 WHERE id = 1 AND epoch = :epoch")


class RowGround:
    """The lease as a row of PostgreSQL, by statements that stand alone."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def claim(self, owner: str, seconds: float) -> Claim:
        async with self._statements() as connection:
            given = await connection.execute(_CLAIM, {"owner": owner, "seconds": seconds})
            if (epoch := given.scalar()) is not None:
                return Claim(epoch=epoch)
            holder, left = (await connection.execute(_HOLDER)).one()
        return Claim(epoch=None, holder=holder, seconds_left=float(left))

    async def renew(self, epoch: int, seconds: float) -> bool:
        async with self._statements() as connection:
            given = await connection.execute(_RENEW, {"epoch": epoch, "seconds": seconds})
            return given.scalar() is not None

    def outlasts(self) -> bool:
        return False  # a row that was not prolonged may be another's

    async def release(self, epoch: int) -> None:
        async with self._statements() as connection:
            await connection.execute(_RELEASE, {"epoch": epoch})
