"""Whatever happens to a fleet: no job lost, none delivered twice, no limit broken, turns fair.

Random arrivals, keys, cancels and mishaps of servers, played in virtual time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.queue_manager.errors import ModelUnavailable, UnknownJob, UserLimitReached
from modules.queue_manager.jobs import Job, JobId, Size
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Cancelled, Delivered, Failed
from modules.queue_manager.scheduling.patience import Patience
from modules.queue_manager.workers.fleet import Fleet
from modules.queue_manager.workers.worker import WorkerTimes
from tests.examples import examples
from tests.fakes import SQUARE, FakeEngine, Listener, MemoryStore, Postbox, offer, request
from tests.virtual_time import VirtualClock, run_virtual

LIMIT = 3
NAMES = ("a", "b", "c")
TALL = Size(width=768, height=1024)

deeds = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 6), st.sampled_from(["flux", "z-image"])),
    st.tuples(st.just("ask"), st.integers(1, 6), st.sampled_from(["flux", "z-image"])),
    st.tuples(st.just("ask tall"), st.integers(1, 6), st.just("flux")),
    st.tuples(st.just("ask poison"), st.integers(1, 6), st.just("flux")),
    st.tuples(st.just("ask refused"), st.integers(1, 6), st.just("flux")),
    st.tuples(st.just("cancel"), st.integers(0, 30), st.just("")),
    st.tuples(st.just("cancel all of"), st.integers(1, 6), st.just("")),
    st.tuples(st.sampled_from(["kill", "revive", "stall", "unstall"]), st.integers(0, 2), st.just("")),
    st.tuples(st.just("memory"), st.integers(1, 4), st.sampled_from(NAMES)),
    st.tuples(st.just("size"), st.integers(0, 4), st.sampled_from(NAMES)),
    st.tuples(st.just("hiccup"), st.integers(1, 2), st.sampled_from(NAMES)),
    st.tuples(st.just("drain"), st.integers(0, 2), st.just("")),
    st.tuples(st.just("fleet"), st.integers(0, 7), st.just("")),
    st.tuples(st.just("database"), st.sampled_from([0.0, 0.2, 2.0]), st.just("")),
    st.tuples(st.just("away"), st.integers(1, 6), st.just("")),
    st.tuples(st.just("no picture"), st.integers(1, 3), st.sampled_from(NAMES)),
    st.tuples(st.just("pause"), st.booleans(), st.just("")),
)
scenes = st.lists(st.tuples(st.floats(0.0, 4.0), deeds), min_size=1, max_size=40)


class Complaints(logging.Handler):
    """Keeps what the core says about its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.heard.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


class Play:
    """One scene: a queue, three servers, and what is asked of them."""

    def __init__(self, seed: int, *, limit: int = LIMIT) -> None:
        self.limit = limit
        self.clock = VirtualClock()
        self.store = MemoryStore(delay=0.003)
        self.box = Postbox(seconds=0.05)
        self.ear = Listener()
        self.random = random.Random(seed)
        self.jobs: dict[JobId, Job] = {}
        self.manager = QueueManager(
            offers=[offer(), offer("z-image")],
            store=self.store,
            clock=self.clock,
            delivery=self.box,
            max_jobs_per_user=limit,
        )
        self.manager.subscribe(self.ear)
        self.engines = {
            name: FakeEngine(
                name,
                self.clock,
                fixed=0.5,
                each=0.5 * (1 + number),
                load=1.0,
                noise=0.15,
                seed=seed + number,
                poison="poison",
                refused="refused",
            )
            for number, name in enumerate(NAMES)
        }
        self.fleet = Fleet(
            runs=self.manager.runs,
            make_engine=lambda url: self.engines[url],
            clock=self.clock,
            times=WorkerTimes(
                patience=Patience(unknown=20.0, before=6.0, step=6.0, after=6.0),
                longest_pause=8.0,
                refresh=10.0,
            ),
        )

    async def do(self, what: str, number: int, name: str) -> None:
        if what.startswith("ask"):
            bad = next((word for word in ("poison", "refused") if word in what), "")
            await self.ask(number, name, bad=bad, size=TALL if "tall" in what else SQUARE)
        elif what.startswith("cancel"):
            await (self.cancel(number) if what == "cancel" else self.manager.cancel_user(number, by=None))
        elif what in ("kill", "revive", "stall", "unstall"):
            engine = self.engines[NAMES[number]]
            {"kill": engine.die, "revive": engine.live}.get(what, lambda: None)()
            engine.stalling = what == "stall" or (engine.stalling and what != "unstall")
        elif what == "memory":
            self.engines[name].fits = number
        elif what == "size":
            self.engines[name].limits = {"flux": number, "z-image": max(1, number)}
        elif what == "hiccup":
            self.engines[name].hiccups = number
            self.engines[name].broke.set()
        elif what == "drain":
            await self.fleet.drain(NAMES[number])
        elif what == "database":
            self.store.delay = number
        elif what == "away":
            self.engines[NAMES[number % 3]].unreadable = self.box.unreadable = number
        elif what == "no picture":
            self.engines[name].lost_pictures = number
        elif what == "fleet":
            self.fleet.recall()
            await self.fleet.set_urls([NAMES[n] for n in range(3) if number >> n & 1])
        elif what == "pause":
            (self.manager.pause if number else self.manager.resume)()

    async def ask(self, user: int, model: str, *, bad: str = "", size: Size = SQUARE) -> None:
        seed = self.random.randrange(1000)
        image_request = request(user, bad or f"p{seed}", model=model, size=size, seed=seed)
        try:
            (job,) = await self.manager.submit([image_request])
        except UserLimitReached:
            assert len(self.manager.active_jobs(user)) == self.limit
        except ModelUnavailable:
            living = [slot for slot in self.manager.dispatcher.engines.states.values() if slot.living]
            assert living
            assert all(slot.limits.of(model) == 0 for slot in living)
        else:
            self.jobs[job.id] = job
            assert len(self.manager.active_jobs(user)) <= self.limit

    async def cancel(self, number: int) -> None:
        if self.jobs:
            job = list(self.jobs.values())[number % len(self.jobs)]
            try:
                await self.manager.cancel(job.id, by=job.request.user_id)
            except UnknownJob:
                return

    async def calm(self) -> None:
        """Everything works again, until nothing is left to do."""
        self.manager.resume()
        for engine in self.engines.values():
            engine.live()
            engine.stalling = False
            engine.fits = 4
            engine.limits = {"flux": 4, "z-image": 4}
            engine.unreadable = engine.lost_pictures = engine.hiccups = 0
        self.box.unreadable = 0
        self.fleet.recall()
        await self.fleet.set_urls(NAMES)
        for _ in range(2000):
            if self.manager.status().users == 0:
                break
            await asyncio.sleep(0.5)
        await self.manager.settle(5.0)

    def check(self) -> None:
        assert set(self.store.ended) == set(self.jobs), "a job has no end"
        ends = Counter(
            event.job.id for event in self.ear.events if isinstance(event, (Delivered, Failed, Cancelled))
        )
        assert set(ends.values()) <= {1}, "a job was said to end twice"
        for job_id, turn in self.store.ended.items():
            assert isinstance(turn, Delivered) == (job_id in self.box.pictures)
            if isinstance(turn, Delivered):
                asked = self.jobs[job_id].request
                assert self.box.pictures[job_id].picture.data == f"{asked.prompt}|{asked.seed}".encode()
            elif isinstance(turn, Failed) and self.jobs[job_id].request.prompt not in ("poison", "refused"):
                assert turn.error.message_key in (
                    "error-attempts-exhausted", "error-out-of-memory", "error-no-output"
                )  # fmt: skip
        for engine in self.engines.values():
            for batch in engine.submitted:
                assert len({job.key for job in batch.jobs}) == 1
                assert len(batch.jobs) <= 4
        for key, runs in Counter(
            job.id for engine in self.engines.values() for batch in engine.submitted for job in batch.jobs
        ).items():
            assert runs <= 40, f"{key} was run again and again"
        status = self.manager.status()
        assert (status.waiting, status.taken, status.running, status.arriving, status.users) == (0,) * 5


async def _play(scene: list[tuple[float, tuple[str, int, str]]], seed: int) -> None:
    complaints = Complaints()
    log = logging.getLogger("modules.queue_manager")
    log.addHandler(complaints)
    play = Play(seed)
    try:
        await play.fleet.set_urls(NAMES[:2])
        for pause, (what, number, name) in scene:
            await asyncio.sleep(pause)
            await play.do(what, number, name)
            status = play.manager.status()
            assert min(status.waiting, status.taken, status.running, status.arriving) >= 0
            batches = [
                one for slot in play.manager.dispatcher.engines.states.values() for one in slot.batches
            ]
            begun = [one for one in batches if one.started_at is not None]
            assert status.running == sum(len(one.batch.jobs) - len(one.dropped) for one in begun)
        await play.calm()
        await play.fleet.aclose(30.0)
        await play.manager.aclose()
        play.check()
        assert not complaints.heard
    finally:
        log.removeHandler(complaints)


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes, st.integers(0, 1000))
def test_every_job_ends_once_whatever_happens(
    scene: list[tuple[float, tuple[str, int, str]]], seed: int
) -> None:
    logging.getLogger("modules.queue_manager").propagate = False
    try:
        run_virtual(_play(scene, seed))
    finally:
        logging.getLogger("modules.queue_manager").propagate = True


@pytest.mark.parametrize("seed", [0, *(pytest.param(more, marks=pytest.mark.long) for more in (1, 2))])
def test_people_with_ever_full_queues_get_equal_shares(seed: int) -> None:
    """Jain's index (Jain, Chiu, Hawe 1984) over the pictures of ten people, one of them with 200 jobs."""

    async def scene() -> float:
        play = Play(seed, limit=1000)
        await play.fleet.set_urls(NAMES[:2])
        for _ in range(200):
            await play.ask(1, "flux")

        async def always_one_waiting(user: int) -> None:
            while True:
                waits = [place for j in play.manager.active_jobs(user) if (place := play.manager.place(j.id))]
                if not any(place.waits for place in waits):
                    await play.ask(user, "flux")
                await asyncio.sleep(0.25)  # a run takes a second and more

        crowd = [asyncio.ensure_future(always_one_waiting(user)) for user in range(2, 11)]
        await asyncio.sleep(150.0)
        for task in crowd:
            task.cancel()
        shares = Counter(finished.job.request.user_id for finished in play.box.pictures.values())
        await play.fleet.aclose(0.0)
        await play.manager.aclose()
        return sum(shares.values()) ** 2 / (10 * sum(n * n for n in shares.values()))

    assert run_virtual(scene()) >= 0.98
