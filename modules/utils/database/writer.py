"""The one writer: all changes that arrive during a commit go into the next one together.

Every change of the database passes through here. So a commit's wait for the disk is shared, SQLite never sees
two writers of ours, and the code that waits for a database that is away stands in one place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Executable

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import LeaseLost, StoreUnavailable
from modules.utils.database.faults import StoreFull
from modules.utils.database.lease import Lease
from modules.utils.database.write_channel import WriteChannel

log = logging.getLogger(__name__)

GROUP_LIMIT = 400
"""Most changes in one commit: with more, the first would wait too long for the last."""

CLOSING_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One statement and the rows it is for. The same statements in a group run as one, lower ranks first."""

    rank: int
    statement: Executable
    parameters: Sequence[Mapping[str, object]]


Call = Callable[[Connection], Any]
"""Several statements that belong together; returns their result. May run again if a commit fails, and in
another thread."""

Change = Sequence[Rows] | Call

Statement = Executable | tuple[Executable, Mapping[str, object]]
"""A statement, with its parameters if it has any."""

PATIENCE = 8.0
"""Seconds that a person waits for a database that is away before they are told so."""

CommitObserver = Callable[[float, int], None]
"""Called after each commit with its seconds and the number of its changes."""


@dataclass(eq=False)
class _Pending:
    change: Change
    future: asyncio.Future[Any]
    give_up_at: float
    undo: Sequence[Rows]
    applying: bool = False
    maybe_done: bool = False


@dataclass(kw_only=True)
class GroupWriter:
    """Takes changes and commits them in groups, in their order. ``lease`` is checked in each transaction."""

    channel: WriteChannel
    lease: Lease
    observe: CommitObserver | None
    _pending: deque[_Pending] = field(default_factory=deque, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _away_since: float | None = field(default=None, init=False)
    _closing: bool = field(default=False, init=False)
    _given_up: bool = field(default=False, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write inside; at the end, what is pending has `CLOSING_SECONDS` to reach the disk."""
        task = asyncio.create_task(self._run(), name="database-writer")
        try:
            yield
        finally:
            self._closing = True
            self._wake.set()
            await asyncio.wait({task}, timeout=CLOSING_SECONDS)
            self._given_up = True
            task.cancel()
            # Drivers wait for their server even when they are cancelled, and some lose the cancellation.
            await asyncio.wait({task}, timeout=CLOSING_SECONDS)
            for pending in self._pending:
                _refuse(pending, StoreUnavailable("the bot is closing"))
            self._pending.clear()
            await self.channel.discard()

    async def write(self, change: Change, *, patience: float = inf, undo: Sequence[Rows] = ()) -> Any:
        """Returns what ``change`` gave, once it is committed.

        ``patience``: how many seconds to wait for a database that is away; then `StoreUnavailable`, and
        ``undo`` is written if the change may have been committed all the same (the connection died during
        the commit). Raises `LeaseLost`.
        """
        if self._closing:
            raise StoreUnavailable("the bot is closing")
        pending = self._add(change, time.monotonic() + patience, undo)
        try:
            return await pending.future
        except asyncio.CancelledError:
            if undo and (pending.applying or pending.maybe_done):
                self._undo(pending)
            raise

    def _add(self, change: Change, give_up_at: float, undo: Sequence[Rows]) -> _Pending:
        pending = _Pending(change, asyncio.get_running_loop().create_future(), give_up_at, undo)
        self._pending.append(pending)
        self._wake.set()
        return pending

    async def execute(self, *statements: Statement, patience: float = PATIENCE) -> int:
        """Run the statements in one transaction, in their order; returns how many rows the last one changed.

        ``patience`` and errors as in `write`.
        """

        def change(connection: Connection) -> int:
            changed = 0
            for statement in statements:
                what, values = statement if isinstance(statement, tuple) else (statement, None)
                changed = cast("CursorResult[Any]", connection.execute(what, values)).rowcount
            return changed

        return int(await self.write(change, patience=patience))

    async def _run(self) -> None:
        backoff = Backoff(first=0.05, longest=2.0)
        while True:
            group = await self._next_group()
            if group is None:
                return
            try:
                await self._commit(group)
            except LeaseLost as error:
                await self.channel.discard()
                for pending in group:
                    _refuse(pending, error)
            except StoreUnavailable as error:
                self._put_back(group, error)
                await self.channel.discard()
                if self._given_up:
                    return
                await self._rest(backoff.pause())
                continue
            except Exception as error:  # noqa: BLE001 (a faulty change must not stop the writer)
                await self.channel.discard()
                await self._single_out(group, error)
            else:
                if self._away_since is not None:
                    log.warning("The database is back after %.1f s", time.monotonic() - self._away_since)
                    self._away_since = None
            backoff.reset()

    async def _next_group(self) -> list[_Pending] | None:
        """What is pending, as much as one commit takes; None if nothing is pending and the writer is
        closing."""
        group: list[_Pending] = []
        while not group:
            while self._pending and len(group) < GROUP_LIMIT:
                pending = self._pending.popleft()
                if not pending.future.done():
                    pending.applying = True
                    group.append(pending)
            if not group:
                if self._closing:
                    return None
                self._wake.clear()
                await self._wake.wait()
        return group

    async def _commit(self, group: list[_Pending]) -> None:
        started = time.monotonic()

        def work(connection: Connection) -> list[Any]:
            self.lease.check(connection)
            results = _apply(connection, group)
            for pending in group:
                pending.maybe_done = True
            return results

        results = await self.channel.transact(work)
        if self.observe:
            self.observe(time.monotonic() - started, len(group))
        for pending, result in zip(group, results, strict=True):
            if not pending.future.done():
                pending.future.set_result(result)

    async def _single_out(self, group: list[_Pending], error: Exception) -> None:
        """A change is faulty: commit each alone, so that only the faulty one fails."""
        if len(group) == 1:
            _refuse(group[0], error)
            return
        for place, pending in enumerate(group):
            if pending.future.done():
                continue
            try:
                await self._commit([pending])
            except StoreUnavailable as away:
                self._put_back(group[place:], away)
                await self.channel.discard()
                return
            except Exception as fault:  # noqa: BLE001 (raised to the one who asked for the change)
                await self.channel.discard()
                _refuse(pending, fault)

    def _put_back(self, group: list[_Pending], error: StoreUnavailable) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("The database cannot be reached (changes that wait: %d): %s", len(group), error)
        # Waiting does not empty a full disk: only changes without a time limit wait for it.
        patient_until = inf if isinstance(error, StoreFull) else time.monotonic()
        for pending in reversed(group):
            pending.applying = False
            if pending.give_up_at > patient_until or pending.give_up_at == inf:
                self._pending.appendleft(pending)
                continue
            _refuse(pending, StoreUnavailable(error.reason))
            if pending.maybe_done and pending.undo:
                self._undo(pending)

    def _undo(self, pending: _Pending) -> None:
        """Take back a change that may have been committed though it was reported as failed."""
        undoing = self._add(pending.undo, inf, ())
        undoing.future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _rest(self, pause: float) -> None:
        """Wait ``pause`` seconds, or less if a change's patience ends earlier."""
        soonest = min((pending.give_up_at for pending in self._pending), default=inf) - time.monotonic()
        await asyncio.sleep(max(0.01, min(pause, soonest)))


def _apply(connection: Connection, group: list[_Pending]) -> list[Any]:
    """Run the group's changes: first the rows, merged by statement and sorted by rank; then the calls."""
    merged: dict[int, tuple[int, Executable, list[Mapping[str, object]]]] = {}
    for pending in group:
        if not callable(pending.change):
            for rows in pending.change:
                entry = merged.setdefault(id(rows.statement), (rows.rank, rows.statement, []))
                entry[2].extend(rows.parameters)
    for _, statement, parameters in sorted(merged.values(), key=lambda entry: entry[0]):
        if parameters:
            connection.execute(statement, cast(Any, parameters))
    return [pending.change(connection) if callable(pending.change) else None for pending in group]


def _refuse(pending: _Pending, error: Exception) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
