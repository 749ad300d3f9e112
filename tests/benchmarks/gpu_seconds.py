"""Whether turns by GPU seconds give everybody equal GPU time, whatever they ask for; in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from modules.queue_manager.jobs import Job, Size
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.scheduling.fair_queue import Fairness
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.oracles import jain
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import SQUARE, FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

GPUS, PEOPLE = 4, 12
WAITING = 4
"""Jobs that each person always has waiting."""
LARGE = Size(width=2048, height=2048)
SETTLE, WINDOW = 120.0, 1200.0
"""Virtual seconds before and during the measurement."""


async def measure(run: int) -> Measurement:
    fair = await in_fresh_process(_simulate, run, "gpu_seconds")
    by_pictures = await in_fresh_process(_simulate, run, "pictures")
    return {
        "gpu_seconds_jain": jain(fair),
        "gpu_seconds_large_share": fair[0] * PEOPLE / sum(fair),
        "gpu_seconds_large_share_by_pictures": by_pictures[0] * PEOPLE / sum(by_pictures),
    }


def _simulate(seed: int, fairness: Fairness) -> list[float]:
    return run_virtual(_Simulation(seed=seed, fairness=fairness).run())


@dataclass(kw_only=True)
class _Simulation:
    """Person 1 asks for `LARGE` pictures, all others for 1024²."""

    seed: int
    fairness: Fairness
    wanting: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def run(self) -> list[float]:
        """GPU seconds of each person, a run's time shared equally among its pictures."""
        clock, store = VirtualClock(), NoJournal()
        store.on_dispatch = self._went
        queue = QueueManager(
            offers=[offer("flux", sizes=(SQUARE, LARGE))],
            store=store,
            clock=clock,
            delivery=Doorstep(lambda finished: None),
            fairness=self.fairness,
        )
        engines = {
            str(n): FakeEngine(
                name=str(n), clock=clock, fixed=1.0, each=1.0, by_area=True, noise=0.15, seed=self.seed + n
            )
            for n in range(GPUS)
        }
        fleet = Fleet(runs=queue.runs, make_engine=engines.__getitem__, clock=clock)
        await fleet.set_urls(list(engines))
        for person in range(1, PEOPLE + 1):
            for _ in range(WAITING):
                self.wanting.put_nowait(person)
        asking = asyncio.ensure_future(self._ask(queue))
        await asyncio.sleep(SETTLE)
        began = clock.now()
        await asyncio.sleep(WINDOW)
        asking.cancel()
        await fleet.aclose(0)
        await queue.aclose()
        spent: Counter[int] = Counter()
        for start, end, batch in (entry for engine in engines.values() for entry in engine.log):
            for job in batch.jobs if start >= began else ():
                spent[job.request.user_id] += (end - start) / len(batch.jobs)  # type: ignore[assignment]
        return [spent[person] for person in range(1, PEOPLE + 1)]

    def _went(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.wanting.put_nowait(job.request.user_id)

    async def _ask(self, queue: QueueManager) -> None:
        while True:
            person = await self.wanting.get()
            size = LARGE if person == 1 else SQUARE
            await queue.submit([request(user=person, prompt="p", size=size)], limit=1_000_000)


SUBJECT = Subject(
    name="gpu_seconds",
    measure=measure,
    figures=(
        Figure(
            name="gpu_seconds_jain",
            unit="",
            about="Jain's index over GPU time: 12 people on 4 GPUs, one of them with 4× the pixels",
            target=0.98,
            better="at least",
        ),
        Figure(name="gpu_seconds_large_share", unit="×", about="the share of the one with large pictures"),
        Figure(
            name="gpu_seconds_large_share_by_pictures",
            unit="×",
            about="the same with turns by pictures",
        ),
    ),
)
