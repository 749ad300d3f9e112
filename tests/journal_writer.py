"""A process that holds the lease and writes the journal, to be killed or frozen by tests.

``python -m tests.journal_writer URL LEASE_SECONDS MODE`` prints a line for each thing that is safe:
``holding EPOCH``, ``numbers N…``, ``accepted N``, ``delivered N``, ``lost``. Modes: ``work`` (accept and
deliver without end), ``hold`` (hold, and try to write once a line comes in; says, too, whether it was
safe to speak before), ``frozen`` (stop itself inside a transaction).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from modules.queue_manager.errors import LeaseLost
from modules.utils.database.engine import Database
from tests.journal import a_job, delivered, dispatched, finished


def say(*words: object) -> None:
    print(*words, flush=True)


async def work(database: Database) -> None:
    """Five users at once, each with one job after another, every third left undelivered."""

    async def user(name: int) -> None:
        while True:
            (number,) = await database.jobs.next_numbers(1)
            job = a_job(number, user=name, prompt=f"picture {number}")
            await database.jobs.accept([job], {})
            say("accepted", number)
            if number % 3:
                await database.jobs.record(dispatched(job))
                await database.jobs.record(finished(job))
                await database.jobs.record(delivered(job, message=number))
                say("delivered", number)

    await asyncio.gather(*(user(name) for name in range(5)))


async def hold(database: Database) -> None:
    """Write what the parent asks for; say whether that was still allowed."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        safe = database.lease.safe()
        try:
            (number,) = await database.jobs.next_numbers(1)
            await database.jobs.accept([a_job(number)], {})
        except LeaseLost:
            say("lost", safe)
        else:
            say("accepted", number, safe)


async def frozen(database: Database) -> None:
    """Stop inside a transaction that holds the lease's row; later say how it ended."""

    def change(connection: object) -> None:
        say("stopping")
        os.kill(os.getpid(), signal.SIGSTOP)

    try:
        await database.writer.write(change)
    except LeaseLost:
        say("lost", database.lease.safe())
    else:
        say("committed")


async def main(url: str, lease_seconds: float, mode: str) -> None:
    modes: dict[str, Any] = {"work": work, "hold": hold, "frozen": frozen}
    async with Database.open(url, lease_seconds=lease_seconds) as database, database.lease.hold():
        say("holding", database.lease.epoch)
        doing: Coroutine[Any, Any, None] = modes[mode](database)
        await doing


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
