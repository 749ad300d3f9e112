"""Your own GPU and an elastic address with eight slots: how long a wave of people waits, and what is bought.

In virtual time, by the core alone."""

from __future__ import annotations

import asyncio

from modules.queue_manager.jobs import Elastic
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.oracles import Gpu, least_makespan
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

WAVE = 200
CALM, WAVES_OF_CALM = 12, 10
"""Jobs that your own GPU begins within ``AFTER`` seconds, and how often they come."""
BATCH, OWN_BATCH, OWN_PICTURE = 4, 8.0, 3.0
"""Your own GPU makes 4 pictures in 20 s."""
SLOTS, SLOT_SECONDS = 8, 30.0
AFTER = 60.0
NOISE = 0.15


async def measure(run: int) -> Measurement:
    return await in_fresh_process(_simulate, run)


def _simulate(seed: int) -> Measurement:
    own = Gpu(batch=OWN_BATCH, picture=OWN_PICTURE, limit=BATCH)
    slots = Gpu(batch=SLOT_SECONDS, picture=0.0, limit=SLOTS)
    wave, bought = run_virtual(_waves(seed, [WAVE]))
    calm, bought_calm = run_virtual(_waves(seed, [CALM] * WAVES_OF_CALM))
    assert calm > 0
    return {
        "elastic_makespan_to_ideal": wave / least_makespan(WAVE, [own, slots]),
        "elastic_bought": bought,
        "elastic_bought_without_need": bought_calm,
    }


async def _waves(seed: int, sizes: list[int]) -> tuple[float, int]:
    """Seconds from the first job of the last wave to its last picture, and how many runs were bought. The
    next wave comes when the one before is over."""
    clock, arrived, seconds = VirtualClock(), 0, 0.0

    def count(finished: Finished) -> None:
        nonlocal arrived
        arrived += 1

    engines = {
        "own": FakeEngine(
            "own", clock, fixed=OWN_BATCH, each=OWN_PICTURE, noise=NOISE, seed=seed, limits={"flux": BATCH}
        ),
        "elastic": FakeEngine(
            "elastic", clock, fixed=SLOT_SECONDS, each=0.0, noise=NOISE, seed=seed + 1, limits={"flux": 1},
            elastic=Elastic(slots=SLOTS, after=AFTER),
        ),
    }  # fmt: skip
    queue = QueueManager(
        offers=[offer("flux")], store=NoJournal(), clock=clock, delivery=Doorstep(count),
        max_jobs_per_user=WAVE,
    )  # fmt: skip
    fleet = Fleet(runs=queue.runs, make_engine=engines.__getitem__, clock=clock)
    await fleet.set_urls(list(engines))
    await asyncio.sleep(1.0)
    done = 0
    for size in [BATCH, *sizes]:  # the first batch shows how long it takes
        began, done = clock.now(), done + size
        for user in range(size):
            await queue.submit([request(user=user, prompt="p")])
        while arrived < done:
            await asyncio.sleep(0.1)
        seconds = clock.now() - began
    await fleet.aclose(0)
    await queue.aclose()
    return seconds, len(engines["elastic"].submitted)


SUBJECT = Subject(
    name="elastic",
    measure=measure,
    figures=(
        Figure(
            name="elastic_makespan_to_ideal",
            unit="×",
            about="200 jobs at once on a GPU (4 in 20 s) and an elastic address with 8 slots (30 s each) for "
            "what would wait longer than 60 s: until the last picture, over the best split",
            target=1.15,
        ),
        Figure(name="elastic_bought", unit="", about="runs that were bought for it"),
        Figure(
            name="elastic_bought_without_need",
            unit="",
            about="runs that were bought for ten waves of 12 jobs, which the GPU begins within 60 s",
            target=0.0,
        ),
    ),
)
