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
KEYS = (1_000, 5_000)


async def measure(run: int) -> Measurement:
    small = await in_fresh_process(_rate, 1_000, 100, run)
    large = await in_fresh_process(_rate, 100_000, 10_000, run)
    keyed = {
        f"queue_{keys}_keys_{name}": value
        for keys in KEYS
        for name, value in (await in_fresh_process(_with_keys, keys, run)).items()
    }
    return {
        **keyed,
        "queue_operations_per_second": large,
        "queue_operation_growth": small / large,
        "queue_bytes_per_job": await in_fresh_process(_bytes_per_job, 100_000, 10_000),
    }


def _rate(waiting: int, users: int, seed: int) -> float:
    return asyncio.run(_operations(waiting, users, seed))


async def _operations(waiting: int, users: int, seed: int) -> float:
    """Jobs submitted (with place and estimate) and taken per second while ``waiting`` jobs wait."""
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


def _with_keys(keys: int, seed: int) -> dict[str, float]:
    return asyncio.run(_keyed_operations(keys, seed))


async def _keyed_operations(keys: int, seed: int) -> dict[str, float]:
    """The same while four jobs wait for each of ``keys`` batch keys, and the slowest take."""
    queue, slot = _queue(negative="shared"), _learned_slot()
    queue.dispatcher.engines.add(slot)
    drawn, users = random.Random(seed), keys
    wanted = [f"no {n}" for n in range(keys)] * BATCH
    drawn.shuffle(wanted)
    for number, negative in enumerate(wanted):
        model = MODELS[number % 2]
        await queue.submit([request(user=number % users + 1, prompt="p", model=model, negative=negative)])
    gc.collect()
    gc.freeze()  # the pauses of the garbage collector are the process's, whatever the queue does
    slowest, began = 0.0, time.process_time()
    for number in range(OPERATIONS):
        user, model = drawn.randrange(users) + 1, drawn.choice(MODELS)
        asked = request(user=user, prompt="p", model=model, negative=f"no {drawn.randrange(keys)}")
        (job,) = await queue.submit([asked])
        assert queue.place(job.id) is not None
        if number % BATCH == BATCH - 1:
            slot.batches.clear()
            taking = time.process_time()
            await queue.dispatcher.take(slot)
            slowest = max(slowest, time.process_time() - taking)
    rate = OPERATIONS / (time.process_time() - began)
    return {"operations_per_second": rate, "slowest_take": 1000 * slowest}


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


def _queue(**more: object) -> QueueManager:
    return QueueManager(
        offers=[offer(name, **more) for name in MODELS],
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
        *(
            figure
            for keys in KEYS
            for figure in (
                Figure(
                    name=f"queue_{keys}_keys_operations_per_second",
                    unit="1/s",
                    about=f"the same with jobs of {keys:,} batch keys waiting, four of each",
                    target=10_000,
                    better="at least",
                ),
                Figure(
                    name=f"queue_{keys}_keys_slowest_take",
                    unit="ms",
                    about=f"the slowest taking of a batch with {keys:,} batch keys",
                    target=5,
                ),
            )
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
