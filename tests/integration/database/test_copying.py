"""``bot.py database copy``: everything goes from one kind of database into the other, or nothing does."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from modules.queue_manager.errors import StartupError
from modules.queue_manager.jobs import FusionCheck, Learned, Size, SourceImage
from modules.utils.database import copying
from modules.utils.database.copying import copy_database
from modules.utils.database.engine import Database
from modules.utils.database.models import Base
from modules.utils.database.rows import SessionRecord, UserPreferences
from tests.journal import a_job, delivered, dispatched, failed, finished, kept
from tests.postgres import Postgres

KEY = "ab" * 32
SOURCE = bytes(range(256)) * 40
WIDE = Size(width=3, height=4)


async def fill(database: Database) -> None:
    """Put something into every table: jobs in each state, pictures' bytes, people, what was learned."""
    texts = ["nul \0, half \ud800, whole 🦊, ñ, \"'\\", "una torre roja", "a fox"]
    done, lost, open_one, running = (
        a_job(number, user=1, prompt=texts[number % 3]) for number in await database.jobs.next_numbers(4)
    )
    (number,) = await database.jobs.next_numbers(1)
    edit = a_job(number, user=2, kind="edit", sources=(SourceImage(key=KEY, size=WIDE),))
    await database.jobs.accept([done, lost, open_one, running, edit], {KEY: SOURCE})
    await database.jobs.record(dispatched(done, running))
    await database.jobs.record(finished(done, b"\x00\xffpicture"))
    await database.jobs.record(delivered(done, message=2**62, data=b"\x00\xffpicture"))
    unseen = a_job((await database.jobs.next_numbers(1))[0], user=3)
    await database.jobs.accept([unseen], {})
    await database.jobs.record(dispatched(unseen))
    await database.jobs.record(finished(unseen))
    await database.jobs.record(kept(unseen, b"unseen"))
    await database.jobs.record(failed(lost, "no room"))
    await database.sessions.put(
        SessionRecord(guild_id=2**62, user_id=1, channel_id=10, last_used_at=5.25, warned=True)
    )
    await database.preferences.put(1, UserPreferences(model="flux", locale="es", previews=False))
    await database.members.block(9, by=8, reason="ñ")
    await database.members.spend(1, "2026-11-30", 3, 10)
    await database.key_values.put("commands", "hash")
    await database.jobs.learn("gpu:1", "flux", Learned(version="1", rows=3, proven=3, durations="{}"))
    check = FusionCheck(version="1", checked_at=1.5, gain=2.1, rows=4, why_alone="mixes")
    await database.fusion_checks.put("gpu:1", "flux", check)
    await database.status_messages.put([open_one.id], 10, 11)


async def content(url: str) -> Mapping[str, list[Any]]:
    """All rows but the lease's, by table."""
    async with Database.open(url) as database:
        tables = [table for table in Base.metadata.sorted_tables if table.name != "lease"]
        return {
            table.name: list(await database.connections.rows(select(table).order_by(*table.primary_key)))
            for table in tables
        }


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bot.db"


@pytest.fixture
def empty_postgres(postgres: Postgres) -> str:
    return postgres.url(postgres.new_database())


async def filled(url: str) -> str:
    async with Database.open(url) as database, database.lease.hold():
        await fill(database)
        while database.pictures._pending:
            await asyncio.sleep(0.01)
    return url


async def refusal(source: str, target: str) -> str:
    with pytest.raises(StartupError) as caught:
        await copy_database(source, target, patience=0.5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_everything_goes_from_sqlite_to_postgresql_and_back(
    sqlite_url: str, empty_postgres: str, tmp_path: Path
) -> None:
    back = f"sqlite:///{tmp_path}/back/bot.db"
    before = await content(await filled(sqlite_url))
    assert all(before.values()), [name for name, rows in before.items() if not rows]
    there = await copy_database(sqlite_url, empty_postgres)
    assert there.rows == {name: len(rows) for name, rows in before.items()}
    assert there.open_jobs == 3
    assert await content(empty_postgres) == before
    again = await copy_database(empty_postgres, back)
    assert (again.rows, again.open_jobs) == (there.rows, 3)
    assert await content(back) == before
    assert (tmp_path / "back" / "bot.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_a_bot_on_the_copy_goes_on_where_the_first_stopped(
    sqlite_url: str, empty_postgres: str, tmp_path: Path, target: str
) -> None:
    """Both ways: its lease is free, its numbers go on, and its backlog is the same, with the bytes."""
    await filled(sqlite_url)
    await copy_database(sqlite_url, empty_postgres)
    url = empty_postgres
    if target == "sqlite":
        url = f"sqlite:///{tmp_path}/copy.db"
        await copy_database(empty_postgres, url)
    async with Database.open(sqlite_url) as database:
        before = await database.jobs.backlog()
    async with Database.open(url) as database, database.lease.hold():
        assert await database.jobs.backlog() == before
        assert await database.jobs.source(KEY) == SOURCE
        assert list(await database.jobs.next_numbers(1)) == [7]
        ((record, picture),) = await database.history.undelivered(3)
        assert (record.number, picture.data) == (6, b"unseen")


async def test_a_database_that_a_bot_uses_is_not_copied(
    sqlite_url: str, empty_postgres: str, postgres_url: str, postgres: Postgres, tmp_path: Path
) -> None:
    for url, target in ((sqlite_url, empty_postgres), (postgres_url, f"sqlite:///{tmp_path}/new.db")):
        async with Database.open(url) as database, database.lease.hold():
            assert await refusal(url, target) == "FROM: a running bot uses it; stop that bot first"
            assert database.lease.safe()
        assert not (tmp_path / "new.db").exists()
        await copy_database(url, target)


async def test_no_bot_starts_on_the_database_while_it_is_copied(
    sqlite_url: str, empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, told = copying._copy, asyncio.Event()

    async def slow(*arguments: Any) -> int:
        told.set()
        async with Database.open(sqlite_url) as database:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(database.lease.acquire(), 0.2)
        monkeypatch.setattr(copying, "_copy", copy)
        return await copy(*arguments)

    monkeypatch.setattr(copying, "_copy", slow)
    await copy_database(await filled(sqlite_url), empty_postgres)
    assert told.is_set()


async def test_a_target_with_tables_is_left_as_it_is(
    sqlite_url: str, postgres_url: str, tmp_path: Path, postgres: Postgres
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    await filled(sqlite_url)
    await filled(other)
    before = await content(other)
    for target in (other, postgres_url, sqlite_url):
        assert await refusal(sqlite_url, target) == (
            "TO: the bot's tables are already there; name an empty database"
        )
    assert await content(other) == before
    foreign = postgres.new_database()
    postgres.sql("CREATE TABLE jobs (salary INTEGER)", foreign)
    assert "TO: another program keeps its tables there (jobs)" in await refusal(
        sqlite_url, postgres.url(foreign)
    )


async def test_what_is_no_database_of_this_version_is_not_copied(
    sqlite_url: str, empty_postgres: str, tmp_path: Path
) -> None:
    assert await refusal(sqlite_url, empty_postgres) == f"FROM: there is no file {tmp_path}/bot.db"
    assert not (tmp_path / "bot.db").exists()
    with closing(sqlite3.connect(tmp_path / "notes.db")) as connection:
        connection.execute("CREATE TABLE notes (line TEXT)")
    notes = await refusal(f"sqlite:///{tmp_path}/notes.db", empty_postgres)
    assert notes == f"FROM: SQLite {tmp_path}/notes.db is not a database of this bot"
    await filled(sqlite_url)
    for schema, advice in (("0004", "start the bot on it once to update it"), ("9999", "newer version")):
        with closing(sqlite3.connect(tmp_path / "bot.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [schema])
        told = await refusal(sqlite_url, empty_postgres)
        assert told.startswith(f"FROM: its schema is {schema}")
        assert advice in told


async def test_a_failure_leaves_nothing_behind(
    sqlite_url: str, empty_postgres: str, postgres: Postgres, tmp_path: Path
) -> None:
    await filled(sqlite_url)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection, connection:
        long = "a" * 33
        connection.execute("UPDATE status_messages SET job_id = ? WHERE message_id = 11", [long])
        connection.execute("UPDATE jobs SET request = replace(request, 'fox', 'secret')")
    told = await refusal(sqlite_url, empty_postgres)
    assert "does not accept a row of the table status_messages: value too long" in told
    assert "secret" not in told
    name = empty_postgres.partition("@/")[2].partition("?")[0]
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == "0"
    full = f"sqlite:///{tmp_path}/full.db?max_page_count=20"
    assert "full" in await refusal(sqlite_url, full)
    assert not list(tmp_path.glob("full*"))  # noqa: ASYNC240 - a local folder


async def test_an_address_that_cannot_be_used_is_one_line_without_its_password(
    sqlite_url: str, postgres: Postgres
) -> None:
    await filled(sqlite_url)
    assert (await refusal(sqlite_url, "mysql://x")).startswith("TO: mysql:// is not a database")
    assert (await refusal("bot.db", sqlite_url)).startswith("FROM: it must begin with")
    missing = postgres.url("nowhere").replace("postgres@", "postgres:hunter2@")
    for told in (await refusal(sqlite_url, missing), await refusal(missing, sqlite_url)):
        assert "there is no such database" in told
        assert "hunter2" not in told


async def test_it_needs_little_memory_for_many_bytes(sqlite_url: str, tmp_path: Path) -> None:
    async with Database.open(sqlite_url) as database:
        await database.writer.execute(
            text(
                "INSERT INTO sources (key, size, stored_at, data) WITH RECURSIVE n (i) AS "
                "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 48) "
                "SELECT hex(i), 2000000, 1.5, randomblob(2000000) FROM n"
            )
        )
    tracemalloc.start()
    try:
        done = await copy_database(sqlite_url, f"sqlite:///{tmp_path}/copy.db")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.rows["sources"] == 48
    assert peak < 24_000_000, peak
