"""How well the bot predicts when a picture will be there: two models, noisy durations, nothing known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import PACES, Doorstep, NoJournal, TwoModelEngine
from tests.benchmarks.oracles import relative_error
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

MODELS = tuple(PACES)
GPUS, BATCH, LOAD = 2, 4, 3.0
WAVES = 40
ARRIVALS = 600
SHARE_OF_CAPACITY = 0.8


async def measure(run: int) -> Measurement:
    alone = await in_fresh_process(_waves, run)
    streaming = await in_fresh_process(_stream, run)
    return {**alone, **streaming}


def _waves(seed: int) -> Measurement:
    return run_virtual(_wave_after_wave(seed))


def _stream(seed: int) -> Measurement:
    return run_virtual(_arrivals(seed))


@dataclass(kw_only=True)
class _Stand:
    """A queue with GPUs that know nothing yet; ``ended`` tells when each picture was delivered."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    ended: dict[JobId, float] = field(default_factory=dict)

    async def open(self) -> None:
        self.queue = QueueManager(
            offers=[offer(name) for name in MODELS],
            store=NoJournal(),
            clock=self.clock,
            delivery=Doorstep(self._delivered, seconds=0.05),
        )
        self.fleet = Fleet(runs=self.queue.runs, make_engine=self._engine, clock=self.clock)
        await self.fleet.set_urls([str(number) for number in range(GPUS)])
        await asyncio.sleep(1)

    async def aclose(self) -> None:
        await self.fleet.aclose(0)
        await self.queue.aclose()

    def _engine(self, url: str) -> FakeEngine:
        return TwoModelEngine(name=url, clock=self.clock, load=LOAD, noise=0.15, seed=int(url))

    def _delivered(self, finished: Finished) -> None:
        self.ended[finished.job.id] = self.clock.unix()

    def expected_at(self, job: Job) -> float | None:
        place = self.queue.place(job.id)
        return place.expected_at if place else None

    async def until_empty(self) -> None:
        while self.queue.status().users:
            await asyncio.sleep(0.5)


async def _wave_after_wave(seed: int) -> Measurement:
    """People come together, and nobody after them until all are served."""
    stand, drawn = _Stand(), random.Random(seed)
    await stand.open()
    pairs: list[tuple[float, float]] = []
    unknown = 0
    for _ in range(WAVES):
        jobs: list[Job] = []
        for user in range(1, drawn.randint(4, 40) + 1):
            jobs += await stand.queue.submit([request(user=user, prompt="p", model=drawn.choice(MODELS))])
        at = stand.clock.unix()
        expected = {job.id: stand.expected_at(job) for job in jobs}
        await stand.until_empty()
        known = [(found - at, stand.ended[job_id] - at) for job_id, found in expected.items() if found]
        unknown += len(expected) - len(known)
        pairs += known
    await stand.aclose()
    return {
        "estimate_error_at_acceptance": relative_error(pairs),
        "estimate_without_answer": unknown / (unknown + len(pairs)),
    }


async def _arrivals(seed: int) -> Measurement:
    """People come at random at 80 % of what the GPUs can do."""
    stand, drawn = _Stand(), random.Random(seed)
    await stand.open()
    capacity = GPUS * BATCH / (sum(batch + BATCH * each for batch, each in PACES.values()) / len(PACES))
    accepted: dict[JobId, float] = {}
    told: dict[JobId, list[tuple[float, float]]] = {}
    watching = asyncio.ensure_future(_watch(stand, told))
    for number in range(ARRIVALS):
        await asyncio.sleep(drawn.expovariate(SHARE_OF_CAPACITY * capacity))
        asked = request(user=number % 150 + 1, prompt="p", model=drawn.choice(MODELS))
        (job,) = await stand.queue.submit([asked], limit=1_000)
        accepted[job.id] = stand.clock.unix()
        expected = stand.expected_at(job)
        told[job.id] = [] if expected is None else [(stand.clock.unix(), expected)]
    await stand.until_empty()
    watching.cancel()
    half_way, first = [], []
    for job_id, at in accepted.items():
        ended, samples = stand.ended[job_id], told[job_id]
        middle = (at + ended) / 2
        near = [sample for sample in samples if abs(sample[0] - middle) <= 0.3]
        half_way += [_pair(near, ended)] if near else []
        first += [_pair(samples, ended)] if samples and samples[0][0] == at else []
    await stand.aclose()
    return {
        "estimate_error_half_way_at_80": relative_error(half_way),
        "estimate_error_at_acceptance_at_80": relative_error(first),
    }


def _pair(samples: Sequence[tuple[float, float]], ended: float) -> tuple[float, float]:
    at, expected = samples[0]
    return expected - at, ended - at


async def _watch(stand: _Stand, told: dict[JobId, list[tuple[float, float]]]) -> None:
    """What each waiting or running job is told, twice a second."""
    while True:
        for job_id, samples in told.items():
            if job_id not in stand.ended:
                place = stand.queue.place(job_id)
                if place is not None and place.expected_at is not None:
                    samples.append((stand.clock.unix(), place.expected_at))
        await asyncio.sleep(0.5)


SUBJECT = Subject(
    name="estimates",
    measure=measure,
    figures=(
        Figure(
            name="estimate_error_at_acceptance",
            unit="",
            about="Σ|predicted − actual| / Σ actual of the remaining time, nobody coming later",
            target=0.10,
        ),
        Figure(
            name="estimate_error_half_way_at_80",
            unit="",
            about="the same when half the time is over, Poisson arrivals at 80 % load",
            target=0.15,
        ),
        Figure(
            name="estimate_error_at_acceptance_at_80",
            unit="",
            about="the same at acceptance, later arrivals unknown",
        ),
        Figure(
            name="estimate_without_answer",
            unit="",
            about="share of first-wave jobs for which nothing was known yet",
        ),
    ),
)
