"""The writer's way into the database: one transaction after another, on one connection.

SQLite gets a thread in which a whole transaction runs at once. Through aiosqlite each statement would change
threads three or four times, which costs more than the statement itself; aiosqlite serves the readers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import StoreUnavailable
from modules.utils.database.faults import store_faults

T = TypeVar("T")

COMMIT_SECONDS = 30.0
"""If a commit takes longer, its connection is taken for dead."""

FRESH_SECONDS = 120.0
"""A connection older than this is replaced: cloud load balancers forget idle ones after four minutes without
a word, and the next commit would wait in vain."""


class AsyncChannel:
    """For PostgreSQL: everything on the event loop, on one connection, opened when it is needed."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection]]) -> None:
        self._connect = connect
        self._connection: AsyncConnection | None = None
        self._opened_at = 0.0

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` gives, once its transaction is committed.

        Raises `StoreUnavailable`, or what ``work`` raises; the caller must then `discard`.
        """
        with store_faults():
            async with timeout(COMMIT_SECONDS):
                if self._connection is not None and time.monotonic() - self._opened_at > FRESH_SECONDS:
                    await self.discard()
                if self._connection is None:
                    self._connection = await self._connect()
                    self._opened_at = time.monotonic()
                result = await self._connection.run_sync(work)
                await self._connection.commit()
                return result

    async def discard(self) -> None:
        """Let go of the connection, whatever its state; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for step in (connection.invalidate, connection.close):
            with contextlib.suppress(SQLAlchemyError, OSError, asyncio.TimeoutError, StoreUnavailable):
                async with timeout(2.0):
                    with store_faults():
                        await step()


class ThreadChannel:
    """For SQLite: does the same, a whole transaction at a time, in its thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")

    async def transact(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def discard(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._discard)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with store_faults():
            if self._connection is None:
                self._connection = self._engine.connect()
            # IMMEDIATE: wait for another process's writer here, where nothing has been read yet.
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(self._connection)
            self._connection.commit()
            return result

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()


WriteChannel = AsyncChannel | ThreadChannel
