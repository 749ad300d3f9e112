"""Opening: tables made and brought up to date, by one of several processes, or one line of what is wrong."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from modules.queue_manager.errors import BadSettings, StartupError
from modules.queue_manager.jobs import Size
from modules.utils.database import schema
from modules.utils.database.engine import Database
from modules.utils.database.inspection import inspect_database
from modules.utils.database.models import Base
from tests.journal import a_job, delivered
from tests.postgres import Postgres

OPEN = """
import asyncio, logging, sys
from modules.utils.database.engine import Database
logging.basicConfig(level=logging.INFO)
async def main():
    async with Database.open(sys.argv[1]) as database:
        await database.key_values.put("who", "me")
asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep/er/bot.db"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.url(postgres.new_database())


async def refusal(url: str) -> str:
    with pytest.raises(StartupError) as caught:
        async with Database.open(url, patience=0):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_the_migrations_make_what_the_models_say(url: str) -> None:
    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async with Database.open(url) as database, database.connections.statements() as connection:
        assert await connection.run_sync(differences) == []


def test_the_newest_revision_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.NEWEST


async def test_what_was_stored_before_the_sizes_were_is_kept(url: str) -> None:
    job, later = a_job(1), a_job(2)
    async with Database.open(url) as database:
        await database.jobs.accept([job], {})
        await database.jobs.record(delivered(job, message=1))

        def as_before(connection: Any) -> None:
            later_columns = {"jobs": ("width", "height"), "preferences": ("style", "lora", "strength")}
            for table, columns in later_columns.items():
                for column in columns:
                    connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
            for table in ("learned", "fusion_checks"):
                connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))

        await database.writer.write(as_before)
    async with Database.open(url) as database:
        await database.jobs.accept([later], {})
        await database.jobs.record(delivered(later, message=2, size=Size(width=12, height=34)))
        old, new = [await database.history.by_message(number) for number in (1, 2)]
        assert old is not None
        assert (old.request, old.size) == (job.request, None)
        assert new is not None
        assert new.size == Size(width=12, height=34)


async def test_of_processes_that_start_together_one_migrates(url: str) -> None:
    starting = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPEN, url),
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in starting))
    said = [error.decode() for _, error in ended]
    assert [process.returncode for process in starting] == [0, 0, 0], said
    assert sum("Database schema updated" in text for text in said) == 1


FREEZE = """
import os, signal
from modules.utils.database import schema
schema.IDLE_SECONDS = 1
def stop(connection):
    print("stopping", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
schema._upgrade = stop
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX's signals")
async def test_one_that_is_frozen_while_it_migrates_does_not_block_the_others(postgres: Postgres) -> None:
    url = postgres.url(postgres.new_database())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FREEZE + OPEN, url), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"stopping\n"
    async with Database.open(url, patience=20) as database:
        await database.key_values.put("who", "another")
    process.kill()
    await process.wait()


async def test_a_start_with_nothing_to_do_needs_no_alembic(url: str) -> None:
    async with Database.open(url):
        pass
    check = "\nassert not [name for name in sys.modules if name.startswith('alembic')]"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OPEN + check, url)
    assert await process.wait() == 0


async def test_a_newer_programs_database_is_left_alone(url: str) -> None:
    async with Database.open(url) as database:

        def change(connection: Any) -> None:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

        await database.writer.write(change)
    assert "9999" in await refusal(url)


@pytest.mark.parametrize("versioned", [False, True])
async def test_another_programs_tables_are_named_and_left_alone(tmp_path: Path, versioned: bool) -> None:
    """It may use Alembic too."""
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE jobs (id INTEGER, salary INTEGER)")
        if versioned:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES ('ab12cd')")
    connection.close()
    url = f"sqlite:///{tmp_path / 'other.db'}"
    table = "alembic_version" if versioned else "jobs"
    assert f"another program keeps its tables there ({table}): give this bot a database of its own" in (
        await refusal(url)
    )
    (fault,) = [one for one in await inspect_database(url, image_disk_mb=1) if one.level == "fault"]
    assert f"another program keeps its tables there ({table})" in fault.what


async def test_a_server_that_cannot_hold_every_text_or_grants_no_right_is_told(postgres: Postgres) -> None:
    postgres.sql("CREATE DATABASE narrow ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    assert "the database's encoding is LATIN1" in await refusal(postgres.url("narrow"))
    name = postgres.new_database()
    postgres.sql("CREATE ROLE reader LOGIN PASSWORD 'x'")
    postgres.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
    told = await refusal(postgres.url(name).replace("postgres@", "reader:x@", 1))
    assert "permission denied" in told
    assert "GRANT CREATE, USAGE ON SCHEMA public" in told


async def test_sqlite_is_set_to_survive_a_loss_of_power(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}

        def pragmas(connection: Any) -> dict[str, object]:
            return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}

        assert await database.writer.write(pragmas) == wanted
        async with database.connections.statements() as connection:
            assert await connection.run_sync(pragmas) == wanted


def permissions(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions there")
async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        await database.key_values.put("a", "b")
        assert permissions(tmp_path) == dict.fromkeys(("bot.db", "bot.db-shm", "bot.db-wal"), "0o600")


async def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bot.db").write_text("my notes, which nobody should overwrite" * 50)
    assert "not a database" in await refusal(f"sqlite:///{tmp_path}/bot.db")
    assert (tmp_path / "bot.db").read_text().startswith("my notes")


async def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "DATABASE_URL" in await refusal(f"sqlite:///{tmp_path}/file/bot.db")
    other = sqlite3.connect(":memory:")
    other.close()


async def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "cannot be used" in await refusal(
        f"postgresql://u:secret@127.0.0.1:1/{tmp_path.name}?connect_timeout=2"
    )
    assert "cannot be used" in await refusal(f"postgresql://u@/d?host={tmp_path}")
    assert "cannot be used" in await refusal("postgresql://u@no-such-host.invalid/d")


async def test_a_database_that_does_not_exist_is_told_at_once(postgres: Postgres) -> None:
    with pytest.raises(BadSettings, match="no such database"):
        async with Database.open(postgres.url("nowhere"), patience=60):
            pass
    with pytest.raises(BadSettings, match="refuses this user"):
        async with Database.open(postgres.url().replace("postgres@", "nobody@"), patience=60):
            pass


async def test_a_server_that_starts_late_is_waited_for(postgres: Postgres, postgres_url: str) -> None:
    postgres.stop()

    async def late() -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(postgres.start)

    starting = asyncio.ensure_future(late())
    async with Database.open(postgres_url, patience=20) as database:
        await database.key_values.put("a", "b")
    await starting
