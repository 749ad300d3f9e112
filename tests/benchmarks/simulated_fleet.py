"""A thousand GPUs and fifty thousand users in one process, in virtual time, without sockets."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from modules.queue_manager.errors import UserLimitReached
from modules.queue_manager.jobs import Job
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.oracles import jain
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

GPUS = 1_000
USERS = 50_000
EAGER = 500
"""People who have one job waiting at any time. The first of them has ``HEAVY`` waiting from the start."""
HEAVY = 200
BATCH = 4
SECONDS_A_BATCH = 5.0
CASUAL_LOAD = 0.6
"""Share of the fleet that all the others ask for, each seldom."""
SETTLE, WINDOW = 15.0, 20.0
"""Virtual seconds before and during the measurement."""


async def measure(run: int) -> Measurement:
    return await in_fresh_process(_simulate, run)


def _simulate(seed: int) -> Measurement:
    return run_virtual(_Simulation(seed=seed).run())


@dataclass(kw_only=True)
class _Simulation:
    seed: int
    pictures: Counter[int] = field(default_factory=Counter)
    engines: list[FakeEngine] = field(default_factory=list)
    wanting: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def run(self) -> Measurement:
        clock = VirtualClock()
        store = NoJournal()
        store.on_dispatch = self._went
        self.queue = QueueManager(
            offers=[offer("flux"), offer("z-image")],
            store=store,
            clock=clock,
            delivery=Doorstep(self._delivered),
        )
        fleet = Fleet(runs=self.queue.runs, make_engine=lambda url: self._engine(url, clock), clock=clock)
        await fleet.set_urls([str(number) for number in range(GPUS)])
        people = [asyncio.ensure_future(work) for work in (self._casual(), self._eager())]
        await asyncio.sleep(SETTLE)
        before, cpu, began = Counter(self.pictures), time.process_time(), clock.now()
        await asyncio.sleep(WINDOW)
        spent = time.process_time() - cpu
        got, ended = self.pictures - before, clock.now()
        await asyncio.sleep(3 * SECONDS_A_BATCH)  # what runs now is in the log then
        busy = sum(
            max(0.0, min(end, ended) - max(start, began))
            for engine in self.engines
            for start, end, _ in engine.log
        )
        for person in people:
            person.cancel()
        await fleet.aclose(0)
        await self.queue.aclose()
        return {
            "simulated_fleet_cpu_seconds": spent / WINDOW,
            "simulated_fleet_busy_share": busy / (GPUS * WINDOW),
            "simulated_fleet_jain": jain([got[user] for user in range(1, EAGER + 1)]),
            "simulated_fleet_pictures_per_second": got.total() / WINDOW,
        }

    def _engine(self, url: str, clock: VirtualClock) -> FakeEngine:
        engine = FakeEngine(
            name=url, clock=clock, fixed=SECONDS_A_BATCH - BATCH, each=1.0, noise=0.15, seed=int(url)
        )
        self.engines.append(engine)
        return engine

    def _delivered(self, finished: Finished) -> None:
        self.pictures[finished.job.request.user_id] += 1

    def _went(self, jobs: Sequence[Job]) -> None:
        """A person whose one waiting job goes to a GPU asks for the next one."""
        for job in jobs:
            if 1 < job.request.user_id <= EAGER:
                self.wanting.put_nowait(job.request.user_id)

    async def _eager(self) -> None:
        for _ in range(HEAVY // 100):
            await self.queue.submit([request(user=1, prompt="p")] * 100, limit=1_000_000)
        for user in range(2, EAGER + 1):
            self.wanting.put_nowait(user)
        while True:
            user = await self.wanting.get()
            await self.queue.submit([request(user=user, prompt="p")], limit=1_000_000)

    async def _casual(self) -> None:
        drawn = random.Random(self.seed)
        rate = CASUAL_LOAD * GPUS * BATCH / SECONDS_A_BATCH
        while True:
            await asyncio.sleep(drawn.expovariate(rate))
            user = drawn.randrange(EAGER + 1, USERS + 1)
            try:
                await self.queue.submit([request(user=user, prompt="p")])
            except UserLimitReached:
                continue


SUBJECT = Subject(
    name="simulated_fleet",
    measure=measure,
    figures=(
        Figure(
            name="simulated_fleet_cpu_seconds",
            unit="s/s",
            about="processor seconds for a simulated second of 1,000 GPUs and 50,000 users, doubles included",
            target=0.5,
        ),
        Figure(
            name="simulated_fleet_busy_share",
            unit="",
            about="share of its time that a GPU of 1,000 samples, batches of 5 s",
            target=0.99,
            better="at least",
        ),
        Figure(
            name="simulated_fleet_jain",
            unit="",
            about="Jain's index over 500 people with always one waiting, one of them with 200",
            target=0.98,
            better="at least",
        ),
        Figure(name="simulated_fleet_pictures_per_second", unit="1/s", about="pictures made meanwhile"),
    ),
)
