"""The queue: takes requests, keeps every promise about them, and sees each job to its end.

A job is accepted once it is journaled; it then waits, is in flight, is being delivered, and ends in
exactly one of delivered (or kept), failed and cancelled. Its owner's place is freed at that end.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from modules.queue_manager.announcer import Announcer
from modules.queue_manager.batch_limits import ALONE_AFTER, BatchLimits, Learned
from modules.queue_manager.dispatcher import Dispatcher
from modules.queue_manager.errors import (
    AttemptsExhausted,
    BadPrompt,
    BadSeed,
    BadSize,
    EngineSick,
    GenerationError,
    LeaseLost,
    ModelUnavailable,
    NoSourceImage,
    OutOfMemory,
    QueueClosed,
    StoreError,
    StoreUnavailable,
    UnknownJob,
    UnknownModel,
    UserLimitReached,
)
from modules.queue_manager.estimates import DurationBook
from modules.queue_manager.failure_record import SICK_AFTER
from modules.queue_manager.fair_queue import FairQueue, QueueEntry
from modules.queue_manager.flights import EngineSlot, Flight
from modules.queue_manager.forecast import finish_times
from modules.queue_manager.handover import Handover
from modules.queue_manager.jobs import (
    MAX_SEED,
    Batch,
    GenerationRequest,
    Job,
    JobId,
    ModelOffer,
    batch_key,
)
from modules.queue_manager.ports import (
    Cancelled,
    Clock,
    Delivered,
    Dispatched,
    Failed,
    Finished,
    JobListener,
    JobStore,
    JobTurn,
    PictureDelivery,
    Progressed,
    Queued,
    Receipt,
    Requeued,
    RunReport,
    Started,
)
from modules.queue_manager.status import Place, QueueStatus

log = logging.getLogger(__name__)

MAX_PROMPT = 6000
"""Characters of a prompt: the most that an option of a Discord command can carry."""

PLAYED_THROUGH = 128
"""Waiting jobs that a forecast plays through batch by batch; beyond, the fleet's rate is used."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a picture that could not be delivered is tried again, doubled each time."""

TRIES_ON_SICK = 5
"""How often a job may fail alone on servers that are held to be sick, before it is no longer believed."""

DELIVERIES = 8
"""How often delivering may fail for no reason that is known, before the job does."""

FORECAST_FOR = 0.25
"""Seconds for which a forecast is good, if nobody comes or goes meanwhile."""

FORECAST_LANES = 32
"""Engines that a forecast considers, those that are free first."""


class QueueManager:
    """See the module. Built once, outside of a running loop if need be; not thread-safe."""

    def __init__(
        self,
        *,
        offers: Sequence[ModelOffer],
        store: JobStore,
        clock: Clock,
        delivery: PictureDelivery | None = None,
        listeners: Sequence[JobListener] = (),
        max_jobs_per_user: int = 2,
        max_key_wait: int = 2,
        max_attempts: int = 3,
        batch_window: float = 0.1,
        lift_after: float = 120.0,
        top_tier: int = 0,
        durations: DurationBook | None = None,
        pictures_at_once: int = 32,
    ) -> None:
        """``batch_window``, ``lift_after``: seconds. ``delivery`` may come later, by `deliver_with`.
        ``pictures_at_once``: those that are fetched and delivered, and so in memory, at any time."""
        self.offers = tuple(offers)
        self.durations = durations or DurationBook()
        self._offers = {offer.name: offer for offer in offers}
        self._store = store
        self._clock = clock
        self._delivery = delivery
        self._announcer = Announcer(listeners)
        self._max_jobs = max_jobs_per_user
        self._max_key_wait = max_key_wait
        self._max_attempts = max_attempts
        self._queue = FairQueue(lift_after=lift_after, top_tier=top_tier)
        self.dispatcher = Dispatcher(
            queue=self._queue,
            offers=self._offers,
            durations=self.durations,
            clock=clock,
            max_key_wait=max_key_wait,
            window=batch_window,
        )
        self._reserved: dict[int, int] = {}
        self._flying: dict[JobId, Flight] = {}
        self._begun: set[JobId] = set()
        self._delivering: set[JobId] = set()
        self._handover = Handover(pictures=pictures_at_once, per_person=max(1, pictures_at_once // 8))
        self._tasks: set[asyncio.Task[None]] = set()
        self._orphans: dict[str, tuple[Batch, ...]] = {}
        self._made_here: set[JobId] = set()
        self._learned: dict[str, dict[str, Learned]] = {}
        self._working: set[str] = set()  # models of which a run came through somewhere
        self._recovered = False
        self._closed: str | None = None
        self._rate: tuple[float, float | None] = (0.0, None)
        self._forecasts: dict[JobId, float] = {}
        self._forecast_until = float("-inf")
        self._forecast_version = -1
        self._handing_over = 0.0
        self.store_lost = asyncio.Event()

    # ── what people ask ─────────────────────────────────────────────────────────────────────────

    def deliver_with(self, delivery: PictureDelivery, listeners: Sequence[JobListener] = ()) -> None:
        """Say who delivers, and who listens from now on."""
        self._delivery = delivery
        for listener in listeners:
            self._announcer.add(listener)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Somebody is about to submit: an idle engine waits for them, within the batch window."""
        self.dispatcher.expected += 1
        try:
            yield
        finally:
            self.dispatcher.expected -= 1
            self.dispatcher.schedule()

    async def submit(
        self,
        requests: Sequence[GenerationRequest],
        *,
        sources: Mapping[str, bytes] | None = None,
        limit: int | None = None,
    ) -> tuple[Job, ...]:
        """Accept all of one person's ``requests``, or none.

        ``limit`` stands in for the usual number of active jobs. Returns once the jobs are journaled.
        Raises a `RequestRejected`; then nothing was accepted.
        """
        if self._closed is not None:
            raise QueueClosed(self._closed)
        for request in requests:
            self._check(request)
        user_id = requests[0].user_id
        self._reserve(user_id, len(requests), self._max_jobs if limit is None else limit)
        try:
            jobs = await self._journal(requests, sources or {})
        finally:
            self._release(user_id, len(requests))
        for job in jobs:
            self.dispatcher.add(job)
            self._announcer.tell(Queued(job=job))
        return jobs

    async def cancel(self, job_id: JobId, *, by: int | None) -> Job:
        """End an active job. Whether ``by`` may do so is the caller's affair.

        In a batch with others only its own slot is dropped. Raises `UnknownJob` if it has ended, or
        its picture is on its way already.
        """
        entry = self._queue.entry(job_id)
        if entry is None or job_id in self._delivering:
            raise UnknownJob(job_id)
        self._begun.discard(job_id)
        flight = self._flying.pop(job_id, None)
        if flight is not None:
            flight.dropped.add(job_id)
            if flight.abandoned:
                flight.unwanted.set()
        job = entry.job
        self.dispatcher.end(job_id)
        await self._end(Cancelled(job=job, by=by))
        return job

    async def cancel_user(self, user_id: int, *, by: int | None) -> tuple[Job, ...]:
        """End all of a person's jobs that can still be ended."""
        ended = []
        for entry in self._queue.of_user(user_id):
            try:
                ended.append(await self.cancel(entry.job.id, by=by))
            except UnknownJob:  # it ended by itself, or its picture is on its way
                continue
        return tuple(ended)

    def job(self, job_id: JobId) -> Job | None:
        """An active job."""
        entry = self._queue.entry(job_id)
        return entry.job if entry else None

    def active_jobs(self, user_id: int) -> tuple[Job, ...]:
        """A person's active jobs, in the order of acceptance."""
        return tuple(entry.job for entry in self._queue.of_user(user_id))

    def place(self, job_id: JobId) -> Place | None:
        """Where an active job stands."""
        entry = self._queue.entry(job_id)
        if entry is None:
            return None
        if entry.waiting:
            ahead = self._queue.ahead(job_id)
            seconds = self._forecast(entry, ahead)
        else:
            ahead, flight = 0, self._flying.get(job_id)
            seconds = self._flight_ends_in(flight) if flight else None
        return Place(
            running=not entry.waiting,
            ahead=ahead,
            waiting=len(self._queue),
            expected_at=None if seconds is None else self._clock.unix() + seconds + self._handing_over,
        )

    def last_expected_at(self) -> float | None:
        """When the last one in the fair order of what waits should be done, in Unix seconds; None if nothing
        waits or nothing is known."""
        last = deque(self._queue.in_order(), maxlen=1)
        place = self.place(last[0].id) if last else None
        return place.expected_at if place is not None else None

    def status(self) -> QueueStatus:
        """The queue as a whole."""
        waiting, running, arriving = len(self._queue), len(self._begun), len(self._delivering)
        return QueueStatus(
            waiting=waiting,
            taken=self._queue.active - waiting - running - arriving,
            running=running,
            arriving=arriving,
            users=self._queue.people,
            paused=self.dispatcher.paused,
            closed_because=self._closed,
        )

    # ── opening and closing ─────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Take jobs, but hand none to an engine."""
        self.dispatcher.paused = True

    def resume(self) -> None:
        """Hand jobs to engines again."""
        self.dispatcher.paused = False
        self.dispatcher.schedule()

    def close(self, why: str) -> None:
        """Take no job from now on; see `QueueClosed` for ``why``."""
        self._closed = why

    def open(self) -> None:
        """Take jobs again."""
        self._closed = None

    async def recover(self) -> None:
        """Take up what a former process left: waiting jobs in their order, and batches that engines
        may still have, which their workers will ask for."""
        for engine, models in (await self._store.learned()).items():
            self._learned.setdefault(engine, {}).update(models)
            self._working.update(model for model, learned in models.items() if learned.proven)
        backlog = await self._store.backlog()
        dispatched = [
            job for batches in backlog.dispatched.values() for batch in batches for job in batch.jobs
        ]
        everything = sorted([*backlog.waiting, *dispatched], key=lambda job: job.number)
        in_flight = {job.id for job in dispatched}
        for job in everything:
            if job.id in self._made_here:
                continue  # accepted by this process, while or before the backlog was read
            if job.request.model not in self._offers:
                await self._end_unknown_model(job)
            elif job.id in in_flight:
                self.dispatcher.restore(job)
            else:
                self.dispatcher.add(job)
                if self._is_last_attempt(job):
                    self.dispatcher.keep_together((job,))
                self._announcer.tell(Queued(job=job))
        self._recovered = True
        self._made_here.clear()
        self._orphans = dict(backlog.dispatched)
        if everything:
            log.info("Recovered", extra={"waiting": len(backlog.waiting), "dispatched": len(in_flight)})

    async def _end_unknown_model(self, job: Job) -> None:
        error = GenerationError(f"no model {job.request.model!r} any more", model=job.request.model)
        await self._end(Failed(job=job, error=error))

    def orphans(self, engine: str) -> tuple[Batch, ...]:
        """Batches that a former process handed to ``engine``; asked for once, by its worker. Those of which
        every job was cancelled since are among them: the server has to be told."""
        batches = self._orphans.pop(engine, ())
        return tuple(batch for batch in batches if batch.key.model in self._offers)

    def release_orphans(self, engines: Sequence[str]) -> None:
        """The fleet consists of ``engines``: what a former process handed to others waits again."""
        for name in [name for name in self._orphans if name not in engines]:
            for batch in self.orphans(name):
                self.return_batch(batch)

    async def settle(self, seconds: float) -> None:
        """Wait for deliveries under way, and for listeners to have heard, at most ``seconds``."""
        until = self._clock.now() + seconds
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        settled = asyncio.ensure_future(self._announcer.settled())
        await asyncio.wait([settled], timeout=max(until - self._clock.now(), 0.0))
        settled.cancel()

    async def aclose(self) -> None:
        """Stop what is still under way. What is not journaled as ended comes back at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._announcer.aclose()

    # ── what workers tell ───────────────────────────────────────────────────────────────────────

    def limits(self, engine: str) -> BatchLimits:
        """What is known of an engine's limits; what it learns from now on is remembered."""
        known = self._learned.setdefault(engine, {})

        def remember(model: str, learned: Learned) -> None:
            known[model] = learned
            self._spawn(self._remember(engine, model, learned), f"remember {model} on {engine}")

        return BatchLimits(known, remember)

    async def _remember(self, engine: str, model: str, learned: Learned) -> None:
        try:
            await self._store.learn(engine, model, learned)
        except StoreError as error:
            log.warning("Could not remember what was learned: %s", error, extra={"engine": engine})

    async def take(self, slot: EngineSlot) -> Flight:
        """The next batch for an engine, journaled as dispatched."""
        flight = await self.dispatcher.take(slot)
        self.adopt(flight)
        return flight

    async def journal_dispatch(self, flight: Flight) -> None:
        """Note where the batch goes, before it goes there."""
        await self._record(Dispatched(batch=flight.batch, engine=flight.slot.name))
        for job in self._aboard(flight):
            log.info("Dispatched", extra={"job": job.id, "run": flight.batch.id, "engine": flight.slot.name})

    def adopt(self, flight: Flight) -> None:
        """The batch is in flight, but for those of its jobs that were cancelled in the meantime."""
        for job in flight.batch.jobs:
            if self._queue.entry(job.id):
                self._flying[job.id] = flight
            else:
                flight.dropped.add(job.id)

    def started(self, flight: Flight) -> None:
        """The engine began the batch."""
        for job in self._aboard(flight):
            self._begun.add(job.id)
            self._announcer.tell(Started(job=job, engine=flight.slot.name, batch_size=len(flight.batch.jobs)))

    def progressed(self, flight: Flight, *, preview: tuple[int, bytes] | None = None) -> None:
        """A step more is done, or a preview came for the job at an index."""
        seconds = self._flight_ends_in(flight)
        expected = None if seconds is None else self._clock.unix() + seconds + self._handing_over
        for index, job in enumerate(flight.batch.jobs):
            if job.id in flight.dropped or (preview is not None and preview[0] != index):
                continue
            self._announcer.tell(
                Progressed(
                    job=job,
                    step=flight.step,
                    steps=flight.steps,
                    expected_at=expected,
                    preview=preview[1] if preview else None,
                )
            )

    def landed(self, flight: Flight) -> None:
        """The run ended well: learn from it, and deliver while the engine goes on."""
        seen = flight.observed()
        if seen is not None:
            self.durations.learn(seen)
        self._learn_fusion(flight, failed=False)
        for job in self._aboard(flight):
            self.dispatcher.made(job.id)
        self.dispatcher.land(flight)
        report = RunReport(
            engine=flight.slot.name,
            batch_size=len(flight.batch.jobs),
            started_at=flight.started_unix,
            ended_at=self._clock.unix(),
        )
        for index, job in enumerate(flight.batch.jobs):
            self._begun.discard(job.id)
            if job.id not in flight.dropped:
                self._delivering.add(job.id)
                self._spawn(self._hand_over(flight, index, job, report), f"deliver {job.id}")

    def suspect(self, flight: Flight, error: GenerationError) -> bool:
        """Note a failure that may be the engine's own. True if the engine is held to be sick."""
        jobs = self._aboard(flight)
        if error.blame == "content":
            self._learn_fusion(flight, failed=True)
        if jobs and (error.blame == "content" or (error.blame == "size" and len(jobs) == 1)):
            flight.slot.record.failed(jobs, str(error), self._clock.now())
            self._judge(flight.slot)
        return flight.slot.sick

    async def failed(self, flight: Flight, error: GenerationError) -> None:
        """The run came to nothing. What becomes of its jobs is a matter of the error's blame."""
        self.dispatcher.land(flight)
        jobs = self._aboard(flight)
        self._forget(flight)
        if not jobs:
            return
        log.warning(
            "Run failed: %s",
            error,
            extra={"run": flight.batch.id, "engine": flight.slot.name, "blame": error.blame},
        )
        slot, blame = flight.slot, error.blame
        if slot.sick and blame in ("content", "size"):
            for job in jobs:
                await self._wait_for_cure(job, error, slot)
        elif len(jobs) > 1 and blame in ("content", "size"):
            half = (len(jobs) + 1) // 2
            size = half if blame == "content" else max(1, slot.limits.of(flight.batch.key.model))
            await self._split(jobs, error, size, slot)
        else:
            for job in jobs:
                await self._run_again(job, error, flight)

    def returned(self, flight: Flight) -> None:
        """The batch was taken back before it began: its jobs wait again as if nothing had been."""
        self.dispatcher.land(flight)
        jobs = self._aboard(flight)
        self._forget(flight)
        for job in jobs:
            self._put_back(job)

    def rescue(self, flight: Flight) -> None:
        """Whoever followed the flight came to grief by a mistake of ours: those of its jobs that are nowhere
        now wait again."""
        self.dispatcher.land(flight)
        self._forget(flight)
        elsewhere = {
            job.id
            for slot in self.dispatcher.slots.values()
            for other in slot.flights
            for job in other.batch.jobs
        }
        for job in self._aboard(flight):
            entry = self._queue.entry(job.id)
            nowhere = job.id not in elsewhere and job.id not in self._delivering
            if entry is not None and not entry.waiting and nowhere:
                self._put_back(entry.job)

    def return_batch(self, batch: Batch) -> None:
        """A former process's batch is nowhere any more: its jobs wait again, in their places."""
        for job in batch.jobs:
            entry = self._queue.entry(job.id)
            if entry is not None and not entry.waiting and job.id not in self._delivering:
                self._put_back(job)
                self._announcer.tell(Queued(job=job))

    # ── inside: acceptance ──────────────────────────────────────────────────────────────────────

    def _check(self, request: GenerationRequest) -> None:
        offer = self._offers.get(request.model)
        if offer is None or offer.kind != request.kind:
            raise UnknownModel(model=request.model)
        if not self._somebody_can(offer):
            raise ModelUnavailable(model=offer.label)
        if offer.kind != "upscale" and not request.prompt.strip():
            raise BadPrompt(length=0, limit=MAX_PROMPT)
        if len(request.prompt) > MAX_PROMPT or len(request.negative) > MAX_PROMPT:
            raise BadPrompt(length=max(len(request.prompt), len(request.negative)), limit=MAX_PROMPT)
        if not 0 <= request.seed <= MAX_SEED:
            raise BadSeed(seed=str(request.seed))
        if offer.kind == "imagine" and request.size not in offer.sizes:
            raise BadSize(size=str(request.size), allowed=", ".join(map(str, offer.sizes)))
        least, most = offer.source_count
        if not least <= len(request.sources) <= most:
            raise NoSourceImage(least=least, most=most)

    def _somebody_can(self, offer: ModelOffer) -> bool:
        """False only if servers live and none of them has the model: with none alive, jobs wait."""
        slots = self.dispatcher.slots.values()
        if any(slot.living and slot.limits.of(offer.name) > 0 for slot in slots):
            return True
        return not any(slot.living for slot in slots)

    def _reserve(self, user_id: int, count: int, limit: int) -> None:
        reserved = self._reserved.get(user_id, 0)
        active = self._queue.active_count(user_id) + reserved
        if active + count > limit:
            raise UserLimitReached(active=active, limit=limit, asked=count)
        self._reserved[user_id] = reserved + count

    def _release(self, user_id: int, count: int) -> None:
        left = self._reserved.pop(user_id) - count
        if left:
            self._reserved[user_id] = left

    async def _journal(
        self, requests: Sequence[GenerationRequest], sources: Mapping[str, bytes]
    ) -> tuple[Job, ...]:
        now = self._clock.unix()
        try:
            numbers = await self._store.next_numbers(len(requests))
            jobs = tuple(
                Job(
                    id=JobId(uuid.uuid4().hex),
                    number=number,
                    request=request,
                    key=batch_key(request, self._offers[request.model]),
                    queued_at=now,
                )
                for number, request in zip(numbers, requests, strict=True)
            )
            if not self._recovered:
                self._made_here.update(job.id for job in jobs)
            await self._store.accept(jobs, sources)
        except StoreError as error:
            log.exception("Could not journal a request")
            raise QueueClosed("store") from error
        return jobs

    # ── inside: delivery ────────────────────────────────────────────────────────────────────────

    async def _hand_over(self, flight: Flight, index: int, job: Job, report: RunReport) -> None:
        assert flight.run is not None
        ended = self._clock.now()
        async with self._handover.place(job.request.user_id):
            try:
                picture = await flight.run.fetch(index)
            except GenerationError as error:
                self._out_of_hand(job.id)
                await self._fetch_failed(job, error, flight)
                return
            self._came_through(flight, job)
            await self._deliver(Finished(job=job, picture=picture, report=report))
        self._handing_over += 0.2 * (self._clock.now() - ended - self._handing_over)

    async def _fetch_failed(self, job: Job, error: GenerationError, flight: Flight) -> None:
        slot = flight.slot
        if error.blame != "content":
            await self._retry(job, error, flight)
            return
        slot.record.failed((job,), str(error), self._clock.now())
        if self._judge(slot):
            await self._wait_for_cure(job, error, slot)
        elif job.attempts == 0:
            # Its picture alone was missing: one try by itself tells whether the job is to blame.
            await self._run_apart(replace(job, attempts=1), error, slot)
        else:
            await self._fail(job, error)

    async def _deliver(self, finished: Finished) -> None:
        job = finished.job
        await self._record(finished)
        self._announcer.tell(finished)
        try:
            receipt = await self._receipt(finished)
        except GenerationError as error:
            self._out_of_hand(job.id)
            await self._fail(job, error)
            return
        await self._record(Delivered(job=job, receipt=receipt))
        self._out_of_hand(job.id)  # only now: a picture that was posted can be cancelled no more
        self.dispatcher.end(job.id)
        self._announcer.tell(Delivered(job=job, receipt=receipt))

    def _out_of_hand(self, job_id: JobId) -> None:
        """The job's picture is not on its way any more."""
        self._delivering.discard(job_id)
        self._flying.pop(job_id, None)

    async def _receipt(self, finished: Finished) -> Receipt:
        """Deliver, again and again in growing pauses: forever while the store is away, `DELIVERIES` times
        if delivering itself is at fault. Whether the picture was posted is looked up before each new try.

        Raises `GenerationError` when it is given up, `LeaseLost`.
        """
        assert self._delivery is not None
        tries, pause = 0, FIRST_PAUSE
        while True:
            try:
                return await self._delivery.deliver(finished)
            except LeaseLost:
                self.store_lost.set()
                raise
            except StoreUnavailable as error:
                log.warning("Could not deliver: %s", error, extra={"job": finished.job.id})
            except Exception as error:
                tries += 1
                log.exception("Could not deliver", extra={"job": finished.job.id})
                if tries == DELIVERIES:
                    raise GenerationError("the picture was made, but could not be delivered") from error
            await self._clock.sleep(pause)
            pause = min(2.0 * pause, LONGEST_PAUSE)
            finished = replace(finished, job=replace(finished.job, maybe_posted=True))

    # ── inside: failures ────────────────────────────────────────────────────────────────────────

    async def _retry(self, job: Job, error: GenerationError, flight: Flight) -> None:
        """Once more, elsewhere if there is an elsewhere; what had only waited there does not count."""
        begun = flight.started_at is not None or flight.run is None or error.blame == "size"
        again = replace(job, attempts=job.attempts + begun)
        if again.attempts >= self._max_attempts:
            last = (
                error
                if isinstance(error, OutOfMemory)
                else AttemptsExhausted(str(error), attempts=again.attempts)
            )
            await self._fail(job, last)
            return
        if not await self._requeue(again, error):
            return
        self._put_back(again, avoid=flight.slot.name)
        self._announcer.tell(Requeued(job=again, error=error))

    def _put_back(self, job: Job, *, avoid: str | None = None) -> None:
        """The job waits again. Its last attempt is its own: if it is this job that kills servers, it takes
        nobody with it, and the others of its batch are served."""
        self.dispatcher.put_back(job, avoid=avoid)
        if self._is_last_attempt(job):
            self.dispatcher.keep_together((job,))

    def _is_last_attempt(self, job: Job) -> bool:
        return 0 < job.attempts == self._max_attempts - 1

    async def _run_again(self, job: Job, error: GenerationError, flight: Flight) -> None:
        """What becomes of a job by itself, or of one that is not at fault."""
        if error.blame in ("server", "size"):
            await self._retry(job, error, flight)
        elif error.blame == "content":
            await self._try_elsewhere(job, error, flight.slot)
        elif error.blame == "fusion" and await self._requeue(job, error):
            self._put_back(job)
            self._announcer.tell(Requeued(job=job, error=error))
        elif error.blame == "nobody":
            await self._fail(job, error)

    async def _try_elsewhere(self, job: Job, error: GenerationError, slot: EngineSlot) -> None:
        """The job failed alone, for its content: once more on another engine, if there is one. What fails on
        two engines that nothing else speaks against is at fault itself."""
        entry = self._queue.entry(job.id)
        if entry is None:
            return
        entry.failed_on = (*entry.failed_on, slot.name)
        sound = sum(self._is_trusted(name, job) for name in set(entry.failed_on))
        tried = len(entry.failed_on)
        if sound < 2 and tried <= TRIES_ON_SICK and self.dispatcher.elsewhere(job, entry.failed_on):
            await self._run_apart(job, error, slot)
        else:
            self._clear(job, entry.failed_on)
            await self._fail(job, error)

    async def _wait_for_cure(self, job: Job, error: GenerationError, slot: EngineSlot) -> None:
        """The engine is held to be sick, so the job's failure is not its own, `TRIES_ON_SICK` times."""
        entry = self._queue.entry(job.id)
        if entry is None:
            return
        entry.failed_on = (*entry.failed_on, slot.name)
        if len(entry.failed_on) > TRIES_ON_SICK:
            await self._fail(job, error)
            return
        sick = EngineSick(slot.record.sentence())
        if await self._requeue(job, sick):
            self._put_back(job, avoid=slot.name)
            self._announcer.tell(Requeued(job=job, error=sick))

    async def _run_apart(self, job: Job, error: GenerationError, slot: EngineSlot) -> None:
        """The job runs again with nobody else, on another engine if there is one."""
        if await self._requeue(job, error):
            self.dispatcher.put_back_together((job,), because=slot.name, avoid=slot.name)
            self._announcer.tell(Requeued(job=job, error=error))

    async def _split(self, jobs: Sequence[Job], error: GenerationError, size: int, slot: EngineSlot) -> None:
        """Run the jobs again in smaller batches: what is to blame ends up alone."""
        for job in jobs:
            await self._requeue(job, error)
        alive = [job for job in jobs if self._queue.entry(job.id)]
        for start in range(0, len(alive), size):
            self.dispatcher.put_back_together(tuple(alive[start : start + size]), because=slot.name)
        for job in alive:
            self._announcer.tell(Requeued(job=job, error=error))

    # ── inside: who is at fault ─────────────────────────────────────────────────────────────────

    def _judge(self, slot: EngineSlot) -> bool:
        """Whether the engine is held to be sick, by its record. It gets nothing more then, but for one job
        at a time that shows whether it is well again."""
        if not slot.sick and slot.record.culprits(self._working) >= SICK_AFTER:
            slot.sick = True
            log.error("Engine is held to be sick: %s", slot.record.sentence(), extra={"engine": slot.name})
            self.dispatcher.absolve(slot.name)
            slot.stir.set()
        return slot.sick

    def _is_trusted(self, engine: str, job: Job) -> bool:
        """Whether nothing failed there lately but what ``job`` was part of."""
        slot = self.dispatcher.slots.get(engine)
        return slot is None or not (slot.sick or slot.record.failed_without(job.id))

    def _came_through(self, flight: Flight, job: Job) -> None:
        """The engine made the job's picture: it is sound, and the job innocent of what befell others."""
        slot = flight.slot
        slot.pictures += 1
        slot.record.succeeded(self._clock.now())
        if slot.sick:
            slot.sick, slot.last_error = False, None
            log.info("Engine is well again", extra={"engine": slot.name})
            self.dispatcher.seen(slot)
            slot.stir.set()
        self._working.add(job.key.model)
        for other in self.dispatcher.slots.values():
            if other.record.runs:
                other.record.innocent(job.id)
                self._judge(other)

    def _clear(self, job: Job, engines: Sequence[str]) -> None:
        """The job failed on all of ``engines``, one of which made pictures meanwhile: it is to blame."""
        slots = [slot for name in engines if (slot := self.dispatcher.slots.get(name)) is not None]
        if any(a.record.succeeded_at >= b.record.since for a in slots for b in slots if a is not b):
            for slot in slots:
                slot.record.guilty(job.id)

    def _learn_fusion(self, flight: Flight, *, failed: bool) -> None:
        """Whether a model works alone on this engine, and not in a batch."""
        slot, model = flight.slot, flight.batch.key.model
        ids = [job.id for job in flight.batch.jobs]
        if failed:
            slot.fusion_doubts.failed(model, ids)
        elif slot.fusion_doubts.succeeded(model, ids) >= ALONE_AFTER:
            self.run_alone(slot, model, "its batches failed there, and each of their jobs worked alone")

    def run_alone(self, slot: EngineSlot, model: str, why: str) -> None:
        """The engine fuses ``model`` no more, until its template, the node pack or the server changes."""
        if slot.limits.why_alone(model) is None:
            slot.limits.run_alone(model, why)
            log.warning("%s runs one by one from now on: %s", model, why, extra={"engine": slot.name})
            self.dispatcher.seen(slot)

    async def _requeue(self, job: Job, error: GenerationError) -> bool:
        """Note that the job waits again; false if it was cancelled meanwhile."""
        if self._queue.entry(job.id) is not None:
            await self._record(Requeued(job=job, error=error))
        return self._queue.entry(job.id) is not None

    async def _fail(self, job: Job, error: GenerationError) -> None:
        if self._queue.entry(job.id) is None:
            return
        self.dispatcher.end(job.id)
        await self._end(Failed(job=job, error=error))

    async def _end(self, event: Failed | Cancelled) -> None:
        await self._record(event)
        self._announcer.tell(event)  # only now: what somebody was told must not come undone by a crash

    async def _record(self, turn: JobTurn) -> None:
        try:
            await self._store.record(turn)
        except StoreError:
            self.store_lost.set()
            raise

    def _aboard(self, flight: Flight) -> list[Job]:
        """The flight's jobs that were not cancelled, as the queue knows them now."""
        return [job for job in flight.batch.jobs if job.id not in flight.dropped]

    def _forget(self, flight: Flight) -> None:
        for job in flight.batch.jobs:
            self._begun.discard(job.id)
            if self._flying.get(job.id) is flight:
                del self._flying[job.id]

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    # ── inside: forecasts ───────────────────────────────────────────────────────────────────────

    def _flight_ends_in(self, flight: Flight) -> float | None:
        now = self._clock.now()
        total = 0.0
        for other in flight.slot.flights:
            remaining = other.remaining(now)
            if remaining is None:
                return None
            total += remaining
            if other is flight:
                return total
        return 0.0

    def _forecast(self, entry: QueueEntry, ahead: int) -> float | None:
        now = self._clock.now()
        if ahead >= PLAYED_THROUGH:
            rate = self._fleet_rate()
            return None if not rate else (ahead + 1) / rate
        if now >= self._forecast_until or self._queue.version != self._forecast_version:
            self._forecasts = self._played_through(now)
            self._forecast_until, self._forecast_version = now + FORECAST_FOR, self._queue.version
        ends_at = self._forecasts.get(entry.job.id)
        return None if ends_at is None else ends_at - now

    def _played_through(self, now: float) -> dict[JobId, float]:
        """When each of the first waiting jobs will be done, by the clock; those of which it can be told."""
        lanes = [
            lane
            for slot in self.dispatcher.slots.values()
            if slot.living and (lane := self.dispatcher.lane(slot, now))
        ]
        lanes = sorted(lanes, key=lambda lane: lane.free_in)[:FORECAST_LANES]
        jobs = list(islice(self._queue.in_order(), PLAYED_THROUGH))
        line = [(job.key, self.dispatcher.weights(job.key)) for job in jobs]
        ends = finish_times(lanes, line, max_key_wait=self._max_key_wait)
        return {job.id: now + end for job, end in zip(jobs, ends, strict=True) if end is not None}

    def _fleet_rate(self) -> float | None:
        """Pictures a second that the living engines make, looked up once a second at most."""
        now = self._clock.now()
        if self._rate[0] > now:
            return self._rate[1]
        rate = sum(
            slot.pictures / slot.busy_seconds
            for slot in self.dispatcher.slots.values()
            if slot.living and slot.pictures and slot.busy_seconds
        )
        self._rate = (now + 1.0, rate or None)
        return self._rate[1]
