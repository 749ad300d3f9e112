"""Processes that die, freeze or lose the database while they hold the lease."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modules.queue_manager.errors import LeaseLost
from modules.utils.database import connections
from modules.utils.database.engine import Database
from modules.utils.database.lease import Claim, Lease
from tests.journal import a_job
from tests.postgres import Postgres
from tests.postgres_relay import relaying
from tests.virtual_time import run_virtual

LEASE = 2.0
"""Seconds; a quarter of what the bot takes, so that tests wait less."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bot.db"
    return str(request.getfixturevalue("postgres_url"))


class Writer:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, seconds: float = 15.0) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), seconds)).decode().strip()

    async def rest(self) -> list[str]:
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode().splitlines()

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)


@asynccontextmanager
async def writing(url: str, mode: str, lease_seconds: float = LEASE) -> AsyncIterator[Writer]:
    """A process that holds the lease."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.journal_writer", url, str(lease_seconds), mode),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    writer = Writer(process)
    try:
        assert (await writer.line()).startswith("holding")
        yield writer
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def test_whatever_was_said_to_be_safe_survives_kill_9(url: str) -> None:
    """Two lives in a row, each killed under load at a random instant."""
    moments = random.Random(5)
    accepted: set[int] = set()
    delivered: set[int] = set()
    for _ in range(2):
        async with writing(url, "work", 0.5) as writer:
            lines = [await writer.line() for _ in range(moments.randint(30, 90))]
            await asyncio.sleep(moments.uniform(0, 0.02))
            writer.signal(signal.SIGKILL)
            for said in [*lines, *await writer.rest()]:
                what, _, number = said.partition(" ")
                if number.isdecimal():
                    (accepted if what == "accepted" else delivered).add(int(number))
    assert len(accepted) > 20
    async with Database.open(url, lease_seconds=LEASE) as database, database.lease.hold():
        backlog = await database.jobs.backlog()
        waiting = [job.number for job in backlog.waiting]
        begun = [batch.jobs[0].number for batches in backlog.dispatched.values() for batch in batches]
        assert waiting == sorted(set(waiting))
        assert not delivered & {*waiting, *begun}
        for number in accepted:
            record = await database.history.by_number(number)
            assert record is not None
            assert record.request.prompt == f"picture {number}"
            assert number in delivered or number in waiting or number in begun or record.state == "delivered"
        (fresh,) = await database.jobs.next_numbers(1)
        assert fresh > max(accepted)


async def test_a_standby_takes_over_when_the_holder_dies(url: str) -> None:
    async with writing(url, "hold") as writer, Database.open(url, lease_seconds=LEASE) as standby:
        waiting = asyncio.ensure_future(standby.lease.acquire())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        died = time.monotonic()
        writer.signal(signal.SIGKILL)
        await asyncio.wait_for(waiting, LEASE + 2)
        assert time.monotonic() - died < LEASE + 1.5
        await standby.jobs.accept([a_job(1)], {})


async def test_a_clean_end_hands_over_at_once(url: str) -> None:
    async with Database.open(url) as first, Database.open(url) as second:
        async with first.lease.hold():
            waiting = asyncio.ensure_future(second.lease.acquire())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert not first.lease.safe()
        await asyncio.wait_for(waiting, 2)
        assert second.lease.safe()
        assert second.lease.epoch == (first.lease.epoch or 0) + 1
        with pytest.raises(LeaseLost):
            await first.jobs.accept([a_job(1)], {})


async def test_of_many_that_ask_at_once_one_holds(url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        all_of_them = [await stack.enter_async_context(Database.open(url)) for _ in range(5)]
        asking = {asyncio.ensure_future(database.lease.acquire()) for database in all_of_them}
        _, pending = await asyncio.wait(asking, timeout=1.0)
        assert len(pending) == 4
        assert [database.lease.safe() for database in all_of_them].count(True) == 1
        for task in pending:
            task.cancel()


async def test_a_frozen_holder_that_wakes_up_may_not_write(postgres_url: str) -> None:
    async with writing(postgres_url, "hold") as writer:
        writer.ask()
        assert await writer.line() == "accepted 1 True"
        writer.signal(signal.SIGSTOP)
        async with Database.open(postgres_url, lease_seconds=LEASE) as standby, standby.lease.hold():
            writer.ask()
            writer.signal(signal.SIGCONT)
            assert await writer.line() == "lost False"
            assert len((await standby.jobs.backlog()).waiting) == 1


async def freeze_between_writes(writer: Writer, path: Path) -> None:
    """Stop the process at a moment when it holds no lock of SQLite's."""
    for _ in range(200):
        writer.signal(signal.SIGSTOP)
        await asyncio.sleep(0.05)
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                writer.signal(signal.SIGCONT)
            else:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the process never rests")


async def test_on_sqlite_a_frozen_holder_stays_the_holder(tmp_path: Path) -> None:
    """Nobody can have taken its lock, however long it was frozen: it goes on, and may speak."""
    url, lease = f"sqlite:///{tmp_path}/bot.db", 0.8
    async with writing(url, "hold", lease) as writer:
        await freeze_between_writes(writer, tmp_path / "bot.db")
        async with Database.open(url, lease_seconds=lease) as standby:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(standby.lease.acquire(), 2 * lease)
        writer.ask()
        writer.signal(signal.SIGCONT)
        assert await writer.line() == "accepted 1 True"


async def test_a_file_that_a_frozen_process_has_locked_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been frozen where SQLite lets nobody even read, while it was making the tables."""
    monkeypatch.setitem(connections._SQLITE_ARGUMENTS, "timeout", 0.05)
    url = f"sqlite:///{tmp_path}/bot.db?busy_timeout=50"
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-c", LOCK, str(tmp_path / "bot.db")))
    while not (tmp_path / "locked").exists():
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGSTOP)

    async def take_over() -> None:
        async with Database.open(url) as database, database.lease.hold():
            await database.jobs.accept([a_job(1)], {})

    waiting = asyncio.ensure_future(take_over())
    await asyncio.wait({waiting}, timeout=1.5)
    assert not waiting.done()
    process.kill()
    await process.wait()
    await asyncio.wait_for(waiting, 10)
    told = [record.getMessage() for record in caplog.records if "Standing by" in record.getMessage()]
    assert told == [f"Standing by: another process has locked SQLite {tmp_path}/bot.db"]


LOCK = """
import pathlib, sqlite3, sys, time
file = pathlib.Path(sys.argv[1])
connection = sqlite3.connect(file, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
file.with_name("locked").touch()
time.sleep(60)
"""


async def test_a_holder_frozen_inside_a_transaction_does_not_block_its_successor(postgres_url: str) -> None:
    async with writing(postgres_url, "frozen") as writer:
        assert await writer.line() == "stopping"
        began = time.monotonic()
        async with Database.open(postgres_url, lease_seconds=LEASE) as standby, standby.lease.hold():
            assert time.monotonic() - began < LEASE + 2
            await standby.jobs.accept([a_job(1)], {})
            writer.signal(signal.SIGCONT)
            assert (await writer.line()).startswith("lost")


async def test_a_holder_cut_off_stops_before_its_lease_ends(postgres: Postgres) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        through = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with (
            Database.open(through, lease_seconds=LEASE) as holder,
            holder.lease.hold(),
            Database.open(postgres.url(name), lease_seconds=LEASE) as standby,
        ):
            relay.refusing = True
            relay.cut()
            waiting = asyncio.ensure_future(standby.lease.acquire())
            while holder.lease.safe():
                assert not waiting.done()
                await asyncio.sleep(0.01)
            assert not waiting.done()  # it stopped first
            assert not holder.lease.lost.is_set()
            await asyncio.wait_for(waiting, LEASE + 2)
            relay.refusing = False
            await asyncio.wait_for(holder.lease.lost.wait(), LEASE + 2)
            with pytest.raises(LeaseLost):
                holder.lease.ensure_safe()


RUNS = "SELECT expires_at > EXTRACT(EPOCH FROM clock_timestamp()) FROM lease"


async def test_a_holder_cut_off_for_a_while_goes_on_if_nobody_noticed(postgres: Postgres) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        through = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(through, lease_seconds=LEASE) as holder, holder.lease.hold():
            relay.refusing = True
            relay.cut()
            while postgres.sql(RUNS, name) == "t":
                await asyncio.sleep(0.05)
            relay.refusing = False
            while postgres.sql(RUNS, name) == "f":
                await asyncio.sleep(0.05)
            await holder.jobs.accept([a_job(1)], {})
            assert holder.lease.safe()


async def test_who_was_told_to_be_silent_is_silent_until_the_lease_is_acquired_anew(
    postgres: Postgres,
) -> None:
    """A picture that was not posted in the gap would otherwise be taken up by nobody."""
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        through = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(through, lease_seconds=0.8) as holder:
            async with holder.lease.hold():
                relay.refusing = True
                relay.cut()
                while holder.lease.safe():
                    await asyncio.sleep(0.01)
                relay.refusing = False
                await holder.jobs.accept([a_job(1)], {})  # it is back, and renewed soon after
                await asyncio.sleep(0.5)
                assert not holder.lease.safe()
            async with holder.lease.hold():
                assert holder.lease.safe()


async def test_a_lock_file_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    async with Database.open(url, lease_seconds=0.8) as first, first.lease.hold():
        (tmp_path / "bot.db.lock").unlink()
        async with Database.open(url) as second, second.lease.hold():
            await asyncio.wait_for(first.lease.lost.wait(), 2)
            assert second.lease.safe()
            with pytest.raises(LeaseLost):
                await first.jobs.accept([a_job(1)], {})


def test_a_database_that_does_not_answer_is_told_once_while_it_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = 0

    class Hanging:
        async def claim(self, owner: str, seconds: float) -> Claim:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0 if asked == 3 else 60)
            return Claim(epoch=1, holder=owner)

        async def renew(self, epoch: int, seconds: float) -> bool:
            raise NotImplementedError

        async def release(self, epoch: int) -> None:
            raise NotImplementedError

        def outlasts(self) -> bool:
            return False

    run_virtual(Lease(Hanging(), length_seconds=0.1).acquire())
    told = [record.getMessage() for record in caplog.records if "Standing by" in record.getMessage()]
    assert told == ["Standing by: cannot find out whether another bot uses this database: no answer"]
