"""How fast the queue itself is, and what a waiting job weighs: no journal, no sockets."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc

from modules.queue_manager.clock import LoopClock
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.scheduling.in_flight import EngineState
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import offer, request

MODELS = ("flux", "z-image")
BATCH = 4
OPERATIONS = 4000


async def measure(run: int) -> Measurement:
    small = await in_fresh_process(_rate, 1_000, 100, run)
    large = await in_fresh_process(_rate, 100_000, 10_000, run)
    return {
        "queue_operations_per_second": large,
        "queue_operation_growth": small / large,
        "queue_bytes_per_job": await in_fresh_process(_bytes_per_job, 100_000, 10_000),
    }


def _rate(waiting: int, users: int, seed: int) -> float:
    return asyncio.run(_operations(waiting, users, seed))


async def _operations(waiting: int, users: int, seed: int) -> float:
    """Submissions (with place and estimate) and takings a second while ``waiting`` jobs wait."""
    queue, slot = _queue(), _learned_slot()
    queue.dispatcher.engines.add(slot)
    drawn = random.Random(seed)
    for number in range(waiting):
        await queue.submit([request(user=number % users + 1, prompt="p", model=drawn.choice(MODELS))])
    began = time.process_time()  # of this process alone: others may be at work
    for number in range(OPERATIONS):
        user, model = drawn.randrange(users) + 1, drawn.choice(MODELS)
        (job,) = await queue.submit([request(user=user, prompt="p", model=model)])
        assert queue.place(job.id) is not None
        if number % BATCH == BATCH - 1:
            slot.batches.clear()
            flight = await queue.dispatcher.take(slot)
            assert len(flight.batch.jobs) == BATCH
    return OPERATIONS / (time.process_time() - began)


def _bytes_per_job(waiting: int, users: int) -> float:
    return asyncio.run(_weight(waiting, users))


async def _weight(waiting: int, users: int) -> float:
    queue = _queue()
    gc.collect()
    tracemalloc.start()
    for number in range(waiting):
        await queue.submit([request(user=number % users + 1, prompt="p", model=MODELS[number % 2])])
    await asyncio.sleep(0)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert queue.status().waiting == waiting
    return size / waiting


def _queue() -> QueueManager:
    return QueueManager(
        offers=[offer(name) for name in MODELS],
        store=NoJournal(),
        clock=LoopClock(),
        delivery=Doorstep(lambda _: None),
        max_jobs_per_user=1_000_000,
    )


def _learned_slot() -> EngineState:
    slot = EngineState(name="gpu")
    slot.limits.tell(dict.fromkeys(MODELS, BATCH))
    slot.state = "busy"
    slot.pictures, slot.busy_seconds = 100, 100.0
    return slot


SUBJECT = Subject(
    name="queue_operations",
    measure=measure,
    figures=(
        Figure(
            name="queue_operations_per_second",
            unit="1/s",
            about="submit (with place and estimate) + take, 100,000 jobs of 10,000 users waiting",
            target=10_000,
            better="at least",
        ),
        Figure(
            name="queue_operation_growth",
            unit="×",
            about="time per operation with 100,000 jobs waiting over that with 1,000",
            target=2.0,
        ),
        Figure(
            name="queue_bytes_per_job",
            unit="B",
            about="memory of a waiting job without its prompt",
            target=2_000,
        ),
    ),
)
