"""PostgreSQL behind a transaction pooler, named as such in the URL or not."""

from __future__ import annotations

import asyncio
import logging

import pytest

from modules.queue_manager.ports import Requeued
from modules.utils.database.engine import Database
from tests.journal import a_job, delivered, dispatched, failed, finished
from tests.postgres import Postgres
from tests.postgres_pooler import pooling


@pytest.mark.parametrize("query", ["?pgbouncer=true&sslmode=disable", "?sslmode=prefer"])
async def test_everything_works_behind_a_transaction_pooler(
    postgres: Postgres, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = postgres.new_database()
    async with pooling(postgres.socket, name) as pooler:
        url = f"postgres://postgres@127.0.0.1:{pooler.port}/{name}{query}"
        with caplog.at_level(logging.WARNING):
            async with Database.open(url) as database, database.lease.hold():
                jobs = [a_job(number, user=number % 5) for number in await database.jobs.next_numbers(30)]
                await asyncio.gather(*(_live(database, job) for job in jobs))
                seen = await asyncio.gather(*(database.history.of_user(user) for user in range(5)))
                assert sum(map(len, seen)) == 30
                await database.jobs.accept([left := a_job(99)], {})
                await asyncio.sleep(0)
                assert (await database.jobs.backlog()).waiting == (left,)
        assert pooler.transactions >= 20
        told = [record for record in caplog.records if "pooler" in record.getMessage()]
        assert bool(told) == ("pgbouncer" not in query)
        async with Database.open(url) as database, database.lease.hold():
            assert (await database.jobs.backlog()).waiting == (left,)


async def _live(database: Database, job: object) -> None:
    await database.jobs.accept([job], {})  # type: ignore[list-item]
    await database.jobs.record(dispatched(job))  # type: ignore[arg-type]
    await database.jobs.record(Requeued(job=job, error=failed(job).error))  # type: ignore[arg-type]
    await database.jobs.record(dispatched(job))  # type: ignore[arg-type]
    await database.jobs.record(finished(job))  # type: ignore[arg-type]
    await database.jobs.record(delivered(job))  # type: ignore[arg-type]
