"""What the journal costs: over SQLite in a file and over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modules.demo.run import ROOT
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.manager import QueueManager
from modules.utils.database.engine import Database
from tests.benchmarks.core import Doorstep
from tests.benchmarks.subject import Figure, Measurement, Subject
from tests.fakes import offer
from tests.journal import a_job, delivered, dispatched, finished
from tests.postgres import running_postgres

JOBS = 300
PICTURE = b"\x89PNG" + bytes(range(256)) * 400
"""100 kB; the journal keeps a person's last one."""
BACKLOG = 10_000
RATE, SECONDS = 200, 8.0


async def measure(run: int) -> Measurement:
    with tempfile.TemporaryDirectory(prefix="fullet-bench-") as folder:
        sqlite = await _figures("sqlite", f"sqlite:///{Path(folder) / 'bot.db'}")
    with running_postgres() as postgres:
        other = await _figures("postgresql", postgres.url(postgres.new_database()))
    return {**sqlite, **other}


async def _figures(kind: str, url: str) -> dict[str, float]:
    async with _opened(url) as database:
        latency = await _latency(database)
        rate, late = await _sustained(database)
        await _fill(database)
    return {
        f"journal_{kind}_latency": latency,
        f"journal_{kind}_jobs_per_second": rate,
        f"journal_{kind}_latency_at_200": late,
        f"journal_{kind}_recovery": await _recovery(url),
        f"journal_{kind}_takeover": await _takeover(url),
    }


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    async with Database.open(url) as database, database.lease.hold():
        yield database


async def _latency(database: Database) -> float:
    """The median milliseconds that acceptance takes when one job comes at a time."""
    taken = []
    for _ in range(JOBS):
        began = time.perf_counter()
        (number,) = await database.jobs.next_numbers(1)
        job = a_job(number, user=number % 50 + 1, prompt=f"picture {number}")
        await database.jobs.accept([job], {})
        taken.append(time.perf_counter() - began)
        await database.jobs.record(dispatched(job))
        await database.jobs.record(finished(job, PICTURE))
        await database.jobs.record(delivered(job))
    return statistics.median(taken) * 1000


async def _sustained(database: Database) -> tuple[float, float]:
    """Jobs a second, each with all its turns, when 200 come a second; and acceptance's milliseconds then."""
    taken: list[float] = []

    async def life() -> None:
        began = time.perf_counter()
        (number,) = await database.jobs.next_numbers(1)
        job = a_job(number, user=number % 500 + 1, prompt=f"picture {number}")
        await database.jobs.accept([job], {})
        taken.append(time.perf_counter() - began)
        await database.jobs.record(dispatched(job))
        await database.jobs.record(finished(job, PICTURE))
        await database.jobs.record(delivered(job))

    began, lives = time.perf_counter(), []
    for number in range(int(RATE * SECONDS)):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        lives.append(asyncio.ensure_future(life()))
    await asyncio.gather(*lives)
    return len(lives) / (time.perf_counter() - began), statistics.median(taken) * 1000


async def _fill(database: Database) -> None:
    for _ in range(BACKLOG // 500):
        numbers = await database.jobs.next_numbers(500)
        await database.jobs.accept([a_job(number, user=number % 5000 + 1) for number in numbers], {})


async def _recovery(url: str) -> float:
    """Seconds from opening the database until everything that waited waits again."""
    began = time.perf_counter()
    async with _opened(url) as database:
        queue = QueueManager(
            offers=[offer("flux")],
            store=database.jobs,
            clock=LoopClock(),
            delivery=Doorstep(lambda _: None),
        )
        await queue.recover()
        taken = time.perf_counter() - began
        assert queue.status().waiting == BACKLOG
        await queue.aclose()
    return taken


async def _takeover(url: str) -> float:
    """Seconds from the death of the process that works to the other one's turn."""
    first = await _writer(url)
    processes = [first]
    try:
        await _until_holding(first)
        processes.append(second := await _writer(url))
        await asyncio.sleep(5)  # the other one stands by, and the lease has been renewed
        first.send_signal(signal.SIGKILL)
        died = time.perf_counter()
        await _until_holding(second)
        return time.perf_counter() - died
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _writer(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.journal_writer", url, "8", "hold",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _until_holding(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with timeout(30):
        while line := await process.stdout.readline():
            if line.startswith(b"holding"):
                return
    raise RuntimeError("the process ended before it held the lease")


def _figures_of(kind: str, name: str) -> tuple[Figure, ...]:
    return (
        Figure(
            name=f"journal_{kind}_latency",
            unit="ms",
            about=f"{name}: what acceptance waits for the journal, at the median",
            target=2.0,
        ),
        Figure(
            name=f"journal_{kind}_jobs_per_second",
            unit="1/s",
            about=f"{name}: jobs with all their turns, 200 a second offered",
            target=RATE * 0.98 if kind == "sqlite" else None,
            better="at least",
        ),
        Figure(name=f"journal_{kind}_latency_at_200", unit="ms", about=f"{name}: acceptance meanwhile"),
        Figure(
            name=f"journal_{kind}_recovery",
            unit="s",
            about=f"{name}: until 10,000 queued jobs wait again after a start",
            target=3.0,
        ),
        Figure(
            name=f"journal_{kind}_takeover",
            unit="s",
            about=f"{name}: until a standby works after the first process's death",
            target=10.0,
        ),
    )


SUBJECT = Subject(
    name="journal",
    measure=measure,
    figures=(*_figures_of("sqlite", "SQLite"), *_figures_of("postgresql", "PostgreSQL")),
)
