"""PostgreSQL behind a transaction pooler, named as such in the URL or not: a small one of ours, which takes
another server for each transaction, and PgBouncer itself where it is installed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings
from modules.queue_manager.ports import Requeued
from modules.utils.database.engine import Database
from tests.journal import a_job, delivered, dispatched, failed, finished
from tests.postgres import Postgres
from tests.postgres_bouncer import bouncing
from tests.postgres_pooler import pooling
from tests.postgres_relay import Authority

UNNAMED, NAMED = "sslmode=prefer", "pgbouncer=true&sslmode=disable"


@asynccontextmanager
async def pooled(kind: str, postgres: Postgres, name: str) -> AsyncIterator[int]:
    """The port of a pooler before the database."""
    if kind == "pgbouncer":
        with bouncing(postgres) as port:
            yield port
    else:
        async with pooling(postgres.socket, name) as pooler:
            yield pooler.port
        assert pooler.transactions >= 20


@pytest.mark.parametrize("kind", ["ours", "pgbouncer"])
@pytest.mark.parametrize("query", [NAMED, UNNAMED])
async def test_everything_works_behind_a_transaction_pooler(
    postgres: Postgres, kind: str, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = postgres.new_database()
    async with pooled(kind, postgres, name) as port:
        url = f"postgres://postgres@127.0.0.1:{port}/{name}?{query}"
        with caplog.at_level(logging.INFO, logger="modules.utils.database"):
            async with Database.open(url) as database, database.lease.hold():
                jobs = [a_job(number, user=number % 5) for number in await database.jobs.next_numbers(30)]
                await asyncio.gather(*(_live(database, job) for job in jobs))
                seen = await asyncio.gather(*(database.history.of_user(user) for user in range(5)))
                assert sum(map(len, seen)) == 30
                await database.jobs.accept([left := a_job(99)], {})
                assert (await database.jobs.backlog()).waiting == (left,)
        assert "pooler" in caplog.text
        async with Database.open(url) as database, database.lease.hold():
            assert (await database.jobs.backlog()).waiting == (left,)


async def test_readers_of_a_pooler_that_was_not_named_never_fail(postgres: Postgres) -> None:
    """It is noticed at the start, and not by the first person whose question meets a strange server."""
    name = postgres.new_database()
    with bouncing(postgres, size=4) as port:
        async with Database.open(f"postgres://postgres@127.0.0.1:{port}/{name}") as database:
            await database.key_values.put("said", "yes")
            for _ in range(5):
                answers = await asyncio.gather(*(database.key_values.get("said") for _ in range(8)))
                assert answers == ["yes"] * 8


async def test_without_a_pooler_statements_stay_prepared(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database.open(postgres_url) as database:
        names = text("SELECT name FROM pg_prepared_statements")
        async with database.connections.statements() as connection:
            await connection.execute(names)
            kept = [row.name for row in (await connection.execute(names)).all()]
    assert kept
    assert not any(name.startswith("fullet_") for name in kept)  # as those are that a pooler gets
    assert "pooler" not in caplog.text


async def test_pgbouncer_is_spoken_to_in_tls_and_told_the_password(
    postgres: Postgres, tmp_path: Path
) -> None:
    ours = Authority(tmp_path, "ours")
    name = postgres.new_database()
    with bouncing(postgres, password="sécret-/@", certificate=ours.server_file("localhost")) as port:
        place = f"localhost:{port}/{name}"
        checked = f"sslmode=verify-full&sslrootcert={ours.certificate}"
        async with Database.open(f"postgres://postgres:s%C3%A9cret-%2F%40@{place}?{checked}") as database:
            await database.key_values.put("said", "yes")
            assert await database.key_values.get("said") == "yes"
        assert "refuses this user or password" in await _refusal(f"postgres://postgres:x@{place}?{checked}")
        assert "cannot be used" in await _refusal(
            f"postgres://postgres:x@{place}?sslmode=disable", patience=0
        )


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("NAME?options=-c%20statement_timeout%3D5000", "does not accept the parameter options"),
        ("NAME?search_path=mine", "does not accept the parameter search_path"),
        ("not_there", "there is no such database"),
    ],
)
async def test_what_pgbouncer_refuses_is_one_line_at_once(postgres: Postgres, rest: str, told: str) -> None:
    name = postgres.new_database()
    with bouncing(postgres) as port:
        line = await _refusal(f"postgres://postgres@127.0.0.1:{port}/{rest.replace('NAME', name)}")
    assert told in line


async def _refusal(url: str, patience: float = 60) -> str:
    with pytest.raises(BadSettings) as caught:
        async with timeout(5), Database.open(url, patience=patience):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def _live(database: Database, job: object) -> None:
    await database.jobs.accept([job], {})  # type: ignore[list-item]
    await database.jobs.record(dispatched(job))  # type: ignore[arg-type]
    await database.jobs.record(Requeued(job=job, error=failed(job).error))  # type: ignore[arg-type]
    await database.jobs.record(dispatched(job))  # type: ignore[arg-type]
    await database.jobs.record(finished(job))  # type: ignore[arg-type]
    await database.jobs.record(delivered(job))  # type: ignore[arg-type]
