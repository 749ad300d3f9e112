"""A database that goes away, fills up, or dies in the middle of a commit: waited for, and nothing lost."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from pathlib import Path

import pytest

from modules.queue_manager.errors import StoreUnavailable
from modules.utils.database import write_channel as channels
from modules.utils.database import writer
from modules.utils.database.engine import Database
from modules.utils.database.stores import jobs as journal
from tests.journal import a_job, delivered, dispatched, finished, kept
from tests.postgres import Postgres
from tests.postgres_relay import relaying


async def test_a_server_that_stops_and_starts_is_waited_for(
    postgres: Postgres, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database.open(postgres_url) as database, database.lease.hold():
        await database.jobs.accept([early := a_job(1)], {})
        assert (await database.history.job(early.id)) is not None
        postgres.stop()
        turns = [
            asyncio.ensure_future(database.jobs.record(turn))
            for turn in (dispatched(early), finished(early), delivered(early))
        ]
        late = a_job(2)
        accepting = asyncio.ensure_future(database.jobs.accept([late], {}))
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in (*turns, accepting))
        with pytest.raises(StoreUnavailable):
            await database.history.job(early.id)
        await asyncio.to_thread(postgres.start)
        await asyncio.wait_for(asyncio.gather(*turns, accepting), 10)
        record = await database.history.job(early.id)
        assert record is not None
        assert record.state == "delivered"
        assert (await database.jobs.backlog()).waiting == (late,)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("cannot be reached" in line for line in told)
    assert any("is back" in line for line in told)


async def test_what_a_former_process_left_is_read_once_the_server_is_there(
    postgres: Postgres, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing could be recovered otherwise, and the process would end."""
    async with Database.open(postgres_url) as database, database.lease.hold():
        await database.jobs.accept([job := a_job(1)], {})
        await database.status_messages.put([job.id], 1, 2)
        postgres.stop()
        reading = asyncio.ensure_future(database.jobs.backlog())
        shown = asyncio.ensure_future(database.status_messages.all())
        await asyncio.sleep(0.5)
        assert not reading.done()
        assert not shown.done()
        await asyncio.to_thread(postgres.start)
        assert (await asyncio.wait_for(reading, 10)).waiting == (job,)
        assert [record.job_id for record in await asyncio.wait_for(shown, 10)] == [job.id]
    told = [record for record in caplog.records if "needs it to go on" in record.getMessage()]
    assert len(told) == 2


async def test_connections_that_were_cut_in_silence_are_replaced(postgres: Postgres) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(url) as database:
            for number in range(1, 6):
                await database.jobs.accept([job := a_job(number)], {})
                assert await database.history.job(job.id) is not None
                relay.cut()
            assert len((await database.jobs.backlog()).waiting) == 5


async def test_an_old_connection_is_exchanged_before_it_is_forgotten(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(url) as database:
            await database.key_values.put("a", "1")
            before = len(relay.seen)
            monkeypatch.setattr(channels, "FRESH_SECONDS", 0.0)
            await database.key_values.put("a", "2")
            await database.key_values.put("a", "3")
            assert len(relay.seen) >= before + 1
            assert await database.key_values.get("a") == "3"


async def test_a_commit_of_which_the_answer_was_lost_is_not_done_twice(postgres: Postgres) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(url) as database:
            await database.jobs.accept([a_job(1)], {})
            job = a_job(2)
            relay.cut_when = lambda data: b"COMMIT" in data and relay.heard(job.id)
            await database.jobs.accept([job], {})
            assert relay.cut_when is None
            assert [job.number for job in (await database.jobs.backlog()).waiting] == [1, 2]


async def test_what_may_have_been_committed_is_taken_back_once_refused(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person was told that nothing was queued: then nothing may come of it later."""
    monkeypatch.setattr(journal, "ACCEPT_PATIENCE", 0.3)
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        async with Database.open(url) as database:
            await database.jobs.accept([first := a_job(1)], {})

            def cut(data: bytes) -> bool:
                if b"COMMIT" not in data or not relay.heard(job.id):
                    return False
                relay.refusing = True
                relay.cut()
                return True

            job = a_job(2)
            relay.cut_when = cut
            with pytest.raises(StoreUnavailable):
                await database.jobs.accept([job], {})
            while postgres.sql("SELECT number FROM jobs ORDER BY number", name) != "1\n2":
                await asyncio.sleep(0.01)
            relay.refusing = False
            await database.jobs.record(dispatched(first))
            assert postgres.sql("SELECT number FROM jobs", name) == "1"


async def test_a_full_disk_refuses_new_jobs_at_once_and_keeps_what_was_accepted(tmp_path: Path) -> None:
    file = tmp_path / "bot.db"
    async with Database.open(f"sqlite:///{file}?max_page_count=300") as database:
        await database.jobs.accept([accepted := a_job(1, user=1)], {})
        await database.jobs.record(finished(accepted, bytes(400_000)))
        await database.jobs.accept([filler := a_job(2, user=2)], {})
        await database.jobs.record(finished(filler, bytes(800_000)))
        await database.jobs.record(kept(filler, bytes(800_000)))
        keeping = asyncio.ensure_future(database.jobs.record(kept(accepted, bytes(400_000))))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="full"):
            await database.jobs.accept([a_job(3, prompt="long " * 200_000)], {})
        assert time.monotonic() - began < 3
        assert not keeping.done()
        make_room(file)
        await asyncio.wait_for(keeping, 10)
        record = await database.history.job(accepted.id)
        assert record is not None
        assert record.state == "kept"
        assert not (await database.jobs.backlog()).waiting


def make_room(file: Path) -> None:
    other = sqlite3.connect(file, timeout=10)
    with other:
        other.execute("DELETE FROM pictures WHERE user_id = 2")
    other.close()


async def test_a_full_disk_on_postgresql_does_the_same(postgres: Postgres) -> None:
    name = postgres.new_database()
    async with Database.open(postgres.url(name)) as database:
        await database.jobs.accept([accepted := a_job(1)], {})
        postgres.sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$;"
            " CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON jobs EXECUTE FUNCTION full_disk()",
            name,
        )
        recording = asyncio.ensure_future(database.jobs.record(dispatched(accepted)))
        with pytest.raises(StoreUnavailable, match="full"):
            await database.jobs.accept([a_job(2)], {})
        assert not recording.done()
        postgres.sql("DROP TRIGGER full_disk ON jobs", name)
        await asyncio.wait_for(recording, 10)
        await database.jobs.accept([third := a_job(3)], {})
        assert (await database.jobs.backlog()).waiting == (third,)


async def test_another_programs_write_lock_is_waited_for(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        other = sqlite3.connect(tmp_path / "bot.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        accepting = asyncio.ensure_future(database.jobs.accept([job := a_job(1)], {}))
        await asyncio.sleep(0.2)
        assert not accepting.done()
        other.execute("COMMIT")
        other.close()
        await asyncio.wait_for(accepting, 5)
        assert (await database.jobs.backlog()).waiting == (job,)


async def test_a_process_that_ends_during_an_outage_ends_in_time(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 0.5)
    try:
        async with Database.open(postgres_url) as database:
            await database.jobs.accept([job := a_job(1)], {})
            postgres.stop()
            recording = asyncio.ensure_future(database.jobs.record(dispatched(job)))
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        with pytest.raises(StoreUnavailable):
            await recording
    finally:
        postgres.start()
