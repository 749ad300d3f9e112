"""Whatever is accepted ends: delivered or told, within a stated time of the world being whole again.

Random sequences of commands, deaths and returns of servers, models that leave, outages of Discord and of the
database, `/forget` and restarts, played in virtual time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.queue_manager.errors import LeaseLost, RequestRejected, StoreUnavailable, UnknownJob
from modules.queue_manager.jobs import Job, JobId, ModelOffer
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import (
    Backlog,
    Cancelled,
    Delivered,
    Failed,
    Finished,
    JobEvent,
    JobTurn,
    Receipt,
)
from modules.queue_manager.scheduling.patience import Patience
from modules.queue_manager.stranded import EVERY_SECONDS, PATIENCE
from modules.queue_manager.workers.fleet import Fleet
from modules.queue_manager.workers.worker import WorkerTimes
from tests.examples import examples
from tests.fakes import FakeEngine, MemoryStore, offer, request
from tests.virtual_time import VirtualClock, run_virtual

LIMIT = 3
USERS = range(1, 6)
SERVERS = ("a", "b", "c")
MODELS = ("flux", "z-image")

SERVER_PAUSE = 8.0
"""Seconds, at most, between two looks whether a server is back."""

SILENCE = 20.0
"""Seconds, at most, that a run may be silent."""

DELIVERY_PAUSE = 60.0
"""Seconds, at most, between two tries to deliver a picture: `Deliveries` has it so."""

WORK = 15 * 3 * 4.0
"""Seconds that one server needs for all places (5 people × 3), three attempts each, alone: 4 s a run."""

WHOLE_TO_END = SERVER_PAUSE + SILENCE + DELIVERY_PAUSE + WORK
"""Seconds from the world being whole again to the end of every job that a server can run: each wait once, and
the work."""

GONE_TO_END = PATIENCE + 2 * EVERY_SECONDS
"""The same of a job whose model has left for good."""

OUTAGE = 300.0
"""Seconds of an outage of Discord after which a picture is kept: `ChannelDelivery` has it so."""

asks = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "ask poison"]), st.sampled_from(USERS), st.sampled_from(MODELS)
)
mishaps = st.one_of(
    st.tuples(st.sampled_from(["cancel", "cancel all", "forget"]), st.sampled_from(USERS), st.just("")),
    st.tuples(
        st.sampled_from(["kill", "revive", "stall", "sick", "disk full", "memory"]),
        st.integers(0, 2),
        st.just(""),
    ),
    st.tuples(
        st.sampled_from(["leaves server", "comes to server"]), st.integers(0, 2), st.sampled_from(MODELS)
    ),
    st.tuples(st.sampled_from(["leaves", "changes", "returns"]), st.just(0), st.sampled_from(MODELS)),
    st.tuples(st.just("fleet"), st.integers(0, 7), st.just("")),
    st.tuples(st.just("pause"), st.booleans(), st.just("")),
    st.tuples(st.just("discord"), st.sampled_from(["away", "back", "odd", "no answer"]), st.just("")),
    st.tuples(st.just("database"), st.sampled_from(["slow", "away", "back", "lease"]), st.just("")),
    st.tuples(st.sampled_from(["crash", "restart", "minutes"]), st.just(0), st.just("")),
)
pauses = st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0])
scenes = st.lists(st.tuples(pauses, asks | mishaps), min_size=10, max_size=30)


class Complaints(logging.Handler):
    """Keeps what the core says of its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, (StoreUnavailable, LeaseLost, ConnectionError)):
            where = "".join(traceback.format_exception(error))
            self.heard.append(f"{record.getMessage()}: {where}")


@dataclass
class Journal(MemoryStore):
    """Of one life: what a dead process writes never arrives. Writes come one after the other."""

    dead: bool = False
    lease_lost: bool = False
    finished: set[JobId] = field(default_factory=set)
    forgotten_too_early: set[JobId] = field(default_factory=set)
    line: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def of_next_life(self) -> Journal:
        self.dead = True
        return replace(self, dead=False, lease_lost=False, broken=False)  # a start waits for the database

    @asynccontextmanager
    async def writing(self, patience: float = inf) -> AsyncIterator[None]:
        until = asyncio.get_running_loop().time() + patience
        async with self.line:
            await asyncio.sleep(self.delay)
            while self.broken:
                if asyncio.get_running_loop().time() > until:
                    raise StoreUnavailable("away")
                await asyncio.sleep(0.5)
            if self.dead:
                await asyncio.Event().wait()
            if self.lease_lost:
                raise LeaseLost("another process uses this database now")
            yield
            await asyncio.sleep(self.delay)  # the answer is on its way

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        async with self.writing(patience=8.0):
            self.jobs.update({job.id: job for job in jobs})

    async def record(self, turn: JobTurn) -> None:
        async with self.writing():
            delay, self.delay = self.delay, 0.0
            await super().record(turn)
            self.delay = delay
            if isinstance(turn, Finished):
                self.finished.add(turn.job.id)

    async def forget(self, user_id: int) -> None:
        async with self.writing():
            mine = {job.id for job in self.jobs.values() if job.request.user_id == user_id}
            self.forgotten_too_early |= mine - self.ended.keys()

    async def backlog(self) -> Backlog:
        """As the database has it: what may have been posted says so."""
        found = await super().backlog()

        def marked(job: Job) -> Job:
            return replace(self.jobs[job.id], maybe_posted=job.id in self.finished)

        return Backlog(
            waiting=tuple(map(marked, found.waiting)),
            dispatched={
                engine: tuple(replace(one, jobs=tuple(map(marked, one.jobs))) for one in batches)
                for engine, batches in found.dispatched.items()
            },
        )


@dataclass
class Mail:
    """A `PictureDelivery` as `ChannelDelivery` is one: it waits `OUTAGE` for Discord, then keeps the picture;
    a picture that may have been posted is looked for first."""

    there: asyncio.Event = field(default_factory=asyncio.Event)
    posted: dict[JobId, Finished] = field(default_factory=dict)
    odd: int = 0
    unanswered: int = 0

    async def deliver(self, finished: Finished) -> Receipt:
        job = finished.job
        receipt = Receipt(where="channel", channel_id=job.request.channel_id, message_id=1)
        if job.maybe_posted:
            await self.there.wait()
            if job.id in self.posted:
                return receipt
        try:
            await asyncio.wait_for(self.there.wait(), OUTAGE)
        except asyncio.TimeoutError:
            return Receipt(where="kept")
        await asyncio.sleep(0.05)
        if self.odd > 0:
            self.odd -= 1
            raise ConnectionError("nobody has met this one")
        assert job.id not in self.posted, "delivered twice"
        self.posted[job.id] = finished
        await asyncio.sleep(0.05)
        if self.unanswered > 0:
            self.unanswered -= 1
            raise ConnectionError("no answer")
        return receipt


@dataclass
class Ear:
    """A `JobListener` that knows who was told of which end."""

    ends: Counter[JobId] = field(default_factory=Counter)

    async def on_event(self, event: JobEvent) -> None:
        await asyncio.sleep(0.01)
        if isinstance(event, (Delivered, Failed, Cancelled)):
            self.ends[event.job.id] += 1


class World:
    """One process after another, on the same database, servers and Discord."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.store = Journal(delay=0.003)
        self.mail, self.ear = Mail(), Ear()
        self.mail.there.set()
        self.versions = dict.fromkeys(MODELS, "")
        self.offered = set(MODELS)
        self.has = {name: set(MODELS) for name in SERVERS}
        self.urls: list[str] = list(SERVERS[:2])
        self.repaired: set[JobId] = set()
        self.busy: set[asyncio.Future[None]] = set()
        self.engines = {
            name: FakeEngine(
                name, self.clock, fixed=0.5, each=0.5, load=1.0, noise=0.15, seed=seed, poison="poison"
            )
            for name in SERVERS
        }

    # ── lives ───────────────────────────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        """As `Product.take_up` does."""
        self.offers = Offers([self._offer(name) for name in MODELS if name in self.offered])
        self.manager = QueueManager(
            offers=self.offers,
            store=self.store,
            clock=self.clock,
            delivery=self.mail,
            max_jobs_per_user=LIMIT,
        )
        self.manager.subscribe(self.ear)
        self.fleet = Fleet(
            runs=self.manager.runs,
            make_engine=lambda url: self.engines[url],
            clock=self.clock,
            times=WorkerTimes(
                patience=Patience(unknown=SILENCE, before=6.0, step=6.0, after=6.0),
                longest_pause=SERVER_PAUSE,
                refresh=10.0,
            ),
        )
        self._tell_servers()
        await self.manager.recover()
        await self.fleet.set_urls(self.urls)
        self.watching = asyncio.ensure_future(self.manager.stranded.watch())

    async def crash(self) -> None:
        """SIGKILL. Status messages of what has ended are brought up to date by the next life."""
        self.store = self.store.of_next_life()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.repaired |= self.store.ended.keys() - self.ear.ends.keys()
        await self.begin()

    async def restart(self) -> None:
        """As `serve` winds down."""
        self.manager.close("shutting-down")
        await self.fleet.aclose(2.0)
        await self.manager.settle(10.0)
        await self.crash()

    def _offer(self, name: str) -> ModelOffer:
        return offer(name, version=self.versions[name])

    def _tell_servers(self) -> None:
        for name, engine in self.engines.items():
            engine.limits = {one.id: 4 for one in self.offers.by_id.values() if one.name in self.has[name]}
        self.fleet.ask_again()

    def _offer_anew(self) -> None:
        """As `ModelFolder` does."""
        now = [self._offer(name) for name in MODELS if name in self.offered]
        ids = {one.id for one in now}
        needed = self.manager.models_in_use()
        retired = [one for one in self.offers.by_id.values() if one.id in needed and one.id not in ids]
        self.offers.replace(now, retired)
        self._tell_servers()

    # ── deeds ───────────────────────────────────────────────────────────────────────────────────

    async def do(self, what: str, about: int | str, model: str) -> None:
        if what.startswith("ask"):
            self._meanwhile(self.ask(int(about), model, poison="poison" in what))
        elif what == "cancel":
            mine = self.manager.active_jobs(int(about))
            if mine:
                self._meanwhile(self.cancel(self.random.choice(mine)))
        elif what == "cancel all":
            self._meanwhile(self.cancel_all(int(about)))
        elif what == "forget":
            self._meanwhile(self.forget(int(about)))
        elif what in ("leaves server", "comes to server"):
            models = self.has[SERVERS[int(about)]]
            (models.discard if what == "leaves server" else models.add)(model)
            self._tell_servers()
        elif what in ("leaves", "changes", "returns"):
            (self.offered.discard if what == "leaves" else self.offered.add)(model)
            if what == "changes":
                self.versions[model] = str(self.random.randrange(10**6))
            self._offer_anew()
        elif what == "fleet":
            self.urls = [SERVERS[n] for n in range(3) if int(about) >> n & 1]
            await self.fleet.set_urls(self.urls)
        elif what == "pause":
            (self.manager.pause if about else self.manager.resume)()
        elif what == "discord":
            (self.mail.there.clear if about == "away" else self.mail.there.set)()
            self.mail.odd = self.random.randint(1, 12) if about == "odd" else 0
            self.mail.unanswered = self.random.randint(1, 3) if about == "no answer" else 0
        elif what == "database":
            self.store.delay = 0.5 if about == "slow" else 0.003
            self.store.broken = about == "away"
            self.store.lease_lost = about == "lease"
        elif what == "minutes":
            await asyncio.sleep(OUTAGE + 10.0)
        elif what in ("crash", "restart"):
            await (self.crash() if what == "crash" else self.restart())
        else:
            self._touch(what, self.engines[SERVERS[int(about)]])

    def _meanwhile(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.busy.add(task)
        task.add_done_callback(self.busy.discard)

    def _touch(self, what: str, engine: FakeEngine) -> None:
        if what == "kill":
            engine.die()
        elif what == "revive":
            self._cure(engine)
        elif what == "stall":
            engine.stalling = True
        elif what == "sick":
            engine.sick = "broken install"
        elif what == "disk full":
            engine.full = True
        else:
            engine.fits = self.random.randint(0, 2)

    def _cure(self, engine: FakeEngine) -> None:
        engine.live()
        engine.stalling, engine.sick, engine.full, engine.fits = False, "", False, 1000

    async def ask(self, user: int, model: str, *, poison: bool) -> None:
        seed = self.random.randrange(1000)
        words = "poison" if poison else f"p{seed}"
        with suppress(RequestRejected):
            await self.manager.submit([request(user, words, model=model, seed=seed)])

    async def cancel(self, job: Job) -> None:
        with suppress(UnknownJob, LeaseLost):
            await self.manager.cancel(job.id, by=job.request.user_id)

    async def cancel_all(self, user: int) -> None:
        with suppress(LeaseLost):  # they see a sentence, and the process ends
            await self.manager.cancel_user(user, by=None)

    async def forget(self, user: int) -> None:
        """As `ForgetView` does."""
        with self.manager.shut_for(user) as idle, suppress(LeaseLost):
            if idle:
                await asyncio.sleep(0.5)  # the private channel goes
                await self.store.forget(user)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    async def become_whole(self, *, models_return: bool) -> None:
        """Everything works again, except that models may have left for good."""
        self.store.broken, self.store.lease_lost, self.store.delay = False, False, 0.003
        self.mail.there.set()
        self.mail.odd = self.mail.unanswered = 0
        for engine in self.engines.values():
            self._cure(engine)
        if models_return:
            self.offered = set(MODELS)
            self.has = {name: set(MODELS) for name in SERVERS}
        self.urls = list(SERVERS[:2])
        if self.manager.store_lost.is_set():
            await self.crash()
        self.manager.resume()
        self._offer_anew()
        await self.fleet.set_urls(self.urls)

    def living(self) -> Iterable[Job]:
        return [job for job in self.store.jobs.values() if job.id not in self.store.ended]

    def can_run(self, job: Job) -> bool:
        return any(job.request.model in self.has[name] for name in self.urls)

    def check_places(self, may_stay: Callable[[Job], bool]) -> None:
        held = [job for user in USERS for job in self.manager.active_jobs(user)]
        for job in (*self.living(), *held):
            assert may_stay(job), f"it has not ended: {self.manager.place(job.id)} {job}"

    def check_ends(self) -> None:
        assert not list(self.living())
        assert not self.store.forgotten_too_early, "accepted jobs were forgotten"
        assert max(self.ear.ends.values(), default=1) == 1, "an end was told twice"
        for job_id, end in self.store.ended.items():
            told = self.ear.ends[job_id] or job_id in self.repaired
            assert told, f"nobody was told of {end}"
            if isinstance(end, Delivered) and end.receipt.where != "kept":
                asked = self.store.jobs[job_id].request
                made = self.mail.posted[job_id].picture.data
                assert made == f"{asked.prompt}|{asked.seed}".encode()
        status = self.manager.status()
        assert (status.waiting, status.taken, status.running, status.arriving, status.users) == (0,) * 5


async def _play(
    scene: list[tuple[float, tuple[str, int | str, str]]], seed: int, models_return: bool
) -> None:
    complaints = Complaints()
    log = logging.getLogger("modules.queue_manager")
    log.addHandler(complaints)
    world = World(seed)
    try:
        await world.begin()
        for pause, deed in scene:
            await asyncio.sleep(pause)
            await world.do(*deed)
            await asyncio.sleep(0)
            if world.manager.store_lost.is_set():
                await world.crash()  # the process ends itself, and is started again
        await world.become_whole(models_return=models_return)
        await asyncio.sleep(WHOLE_TO_END)
        world.check_places(lambda job: not world.can_run(job))
        await asyncio.sleep(max(0.0, GONE_TO_END - WHOLE_TO_END))
        world.check_places(lambda job: False)
        assert not world.watching.done()
        await world.manager.settle(5.0)
        world.check_ends()
        assert complaints.heard == []
    finally:
        log.removeHandler(complaints)


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes, st.integers(0, 1000), st.booleans())
def test_whatever_is_accepted_ends_within_a_stated_time(
    scene: list[tuple[float, tuple[str, int | str, str]]], seed: int, models_return: bool
) -> None:
    logging.getLogger("modules.queue_manager").propagate = False
    try:
        run_virtual(_play(scene, seed, models_return))
    finally:
        logging.getLogger("modules.queue_manager").propagate = True
