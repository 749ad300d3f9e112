"""Connections that are opened and not waited for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from modules.utils.database.address import read_address
from modules.utils.database.connections import READERS, Connections
from modules.utils.database.engine import Database
from tests.journal import a_job
from tests.postgres import Postgres
from tests.postgres_relay import relaying


async def test_a_connection_that_nobody_waits_for_is_closed(tmp_path: Path) -> None:
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    for turns in range(30):
        opening = asyncio.ensure_future(connections.connect())
        for _ in range(turns):
            await asyncio.sleep(0.0003)
        if not opening.cancel():
            await (await opening).close()
        await asyncio.gather(opening, return_exceptions=True)
        await connections.aclose()
    gc.collect()  # what was left behind would complain now


@pytest.mark.parametrize("turns", [0, 3, 6, 9])
async def test_readers_who_are_cancelled_over_and_over_leave_no_connection(
    turns: int, tmp_path: Path
) -> None:
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    reading = [asyncio.ensure_future(connections.rows(text("SELECT 1"))) for _ in range(READERS + 2)]
    await asyncio.sleep(0.001 * turns)
    for _ in range(3):
        for task in reading:
            task.cancel()
        await asyncio.sleep(0)
    await connections.aclose()
    gc.collect()  # what was left behind would complain now


async def test_closing_waits_for_those_who_still_read(tmp_path: Path) -> None:
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    began, read = asyncio.Event(), asyncio.Event()

    async def reader() -> None:
        async with connections.statements() as connection:
            began.set()
            await read.wait()
            await connection.exec_driver_sql("SELECT 1")

    reading = asyncio.ensure_future(reader())
    await began.wait()
    closing = asyncio.ensure_future(connections.aclose())
    await asyncio.sleep(0.05)
    assert not closing.done()
    read.set()
    await asyncio.gather(reading, closing)
    gc.collect()


async def test_many_who_read_at_once_share_a_few_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is closed behind a crowd, to be opened again for the next."""
    opened, connect = [], sqlite3.connect

    def noting(*arguments: object, **options: object) -> sqlite3.Connection:
        opened.append(arguments)
        return connect(*arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", noting)
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        await database.key_values.put("said", "yes")
        for _ in range(5):
            assert await asyncio.gather(*(database.key_values.get("said") for _ in range(40))) == ["yes"] * 40
    assert 0 < len(opened) <= READERS


async def test_on_a_server_too_and_neither_writing_nor_the_lease_waits_for_readers(
    postgres: Postgres,
) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(url) as database, database.lease.hold():
            for number in range(5):
                await database.key_values.put("said", str(number))
                read = await asyncio.gather(*(database.key_values.get("said") for _ in range(40)))
                assert read == [str(number)] * 40
            assert sum(seen.began for seen in relay.seen) <= READERS + 2
            async with contextlib.AsyncExitStack() as readers:
                for _ in range(READERS):
                    await readers.enter_async_context(database.connections.statements())
                asking = asyncio.ensure_future(database.key_values.get("said"))
                await asyncio.wait_for(database.jobs.accept([a_job(1)], {}), 5)
                assert database.lease.epoch is not None
                assert await asyncio.wait_for(database.lease._ground.renew(database.lease.epoch, 8.0), 5)
                assert not asking.done()
            assert await asking == "4"


async def test_who_is_cancelled_while_all_are_lent_stops_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.utils.database.connections.WAIT_SECONDS", 0.3)
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    async with contextlib.AsyncExitStack() as readers:
        for _ in range(READERS):
            await readers.enter_async_context(connections.statements())
        asking = asyncio.ensure_future(connections.rows_at_last(text("SELECT 1")))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait({asking}, timeout=5)
        assert asking.cancelled()
    await connections.aclose()
