"""The queue: accepts requests and answers questions about them.

A job is accepted once it is journaled. It then waits, is taken, runs, arrives, and ends as exactly one of
delivered (or kept), failed and cancelled. Until then it counts against its owner's limit.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from modules.queue_manager.backports import timeout
from modules.queue_manager.delivery import Deliveries
from modules.queue_manager.errors import (
    BadPrompt,
    BadSeed,
    BadSize,
    BadStrength,
    CannotMask,
    CannotStart,
    LoraUnavailable,
    MaskNeeded,
    ModelGone,
    ModelUnavailable,
    NoSourceImage,
    QueueClosed,
    StoreError,
    UnknownJob,
    UnknownModel,
    UserLimitReached,
    VariationUnavailable,
    WrongSourceCount,
)
from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.jobs import (
    MAX_SEED,
    START_STEP,
    Batch,
    BatchKey,
    GenerationRequest,
    Job,
    JobId,
    Learned,
    ModelOffer,
    batch_key,
)
from modules.queue_manager.journal import Journal
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import (
    Cancelled,
    Clock,
    JobListener,
    JobStore,
    PictureDelivery,
    Queued,
)
from modules.queue_manager.prompt_text import is_blank
from modules.queue_manager.retry import Retry
from modules.queue_manager.run_tracker import RunTracker
from modules.queue_manager.scheduling.costs import PictureCosts
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.estimates import DurationBook
from modules.queue_manager.scheduling.eta import PLAYED_THROUGH, finish_times
from modules.queue_manager.scheduling.fair_queue import Fairness, FairQueue, QueueEntry
from modules.queue_manager.status import QueuePosition, QueueStatus
from modules.queue_manager.stranded import StrandedJobs

log = logging.getLogger(__name__)

MAX_PROMPT = 6000
"""Characters of a prompt: the most that an option of a Discord command can carry."""

FORECAST_FOR = 0.25
"""Seconds for which a forecast is used, if no job comes or goes meanwhile."""


class QueueManager:
    """Not thread-safe. ``runs`` is for the workers."""

    def __init__(
        self,
        *,
        offers: Sequence[ModelOffer],
        store: JobStore,
        clock: Clock,
        delivery: PictureDelivery,
        max_jobs_per_user: int = 2,
        max_key_wait: int = 2,
        max_attempts: int = 3,
        batch_window: float = 0.1,
        lift_after: float = 120.0,
        top_tier: int = 0,
        pictures_at_once: int = 32,
        fairness: Fairness = "pictures",
    ) -> None:
        """``batch_window``, ``lift_after``: seconds. ``pictures_at_once``: see `Deliveries`; ``fairness``:
        what a turn is, see `fair_queue`."""
        self.offers = offers if isinstance(offers, Offers) else Offers(offers)
        self.durations = DurationBook()
        self._store = store
        self._clock = clock
        self._publisher = EventPublisher()
        self._max_jobs = max_jobs_per_user
        self._max_key_wait = max_key_wait
        costs = PictureCosts()
        self._queue = FairQueue(
            lift_after=lift_after,
            top_tier=top_tier,
            seconds=(lambda job: costs.expected(job.key)) if fairness == "gpu_seconds" else None,
        )
        self.dispatcher = Dispatcher(
            queue=self._queue,
            offers=self.offers,
            durations=self.durations,
            clock=clock,
            max_key_wait=max_key_wait,
            window=batch_window,
            remember=self._remember,
        )
        self._journal = Journal(store)
        self._retry = Retry(
            queue=self._queue,
            dispatcher=self.dispatcher,
            journal=self._journal,
            publisher=self._publisher,
            max_attempts=max_attempts,
        )
        self._deliveries = Deliveries(
            queue=self._queue,
            dispatcher=self.dispatcher,
            delivery=delivery,
            retry=self._retry,
            journal=self._journal,
            publisher=self._publisher,
            clock=clock,
            pictures_at_once=pictures_at_once,
        )
        self.runs = RunTracker(
            queue=self._queue,
            dispatcher=self.dispatcher,
            deliveries=self._deliveries,
            retry=self._retry,
            journal=self._journal,
            publisher=self._publisher,
            durations=self.durations,
            costs=costs,
            offers=self.offers,
            clock=clock,
            spawn=self._spawn,
        )
        self.stranded = StrandedJobs(
            queue=self._queue,
            dispatcher=self.dispatcher,
            offers=self.offers,
            retry=self._retry,
            clock=clock,
        )
        self._reserved: dict[int, int] = {}
        self._shut: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._made_here: set[JobId] = set()
        self._recovered = False
        self._closed: str | None = None
        self._rate: tuple[float, float | None] = (0.0, None)
        self._forecasts: dict[JobId, float] = {}
        self._forecast_until = float("-inf")
        self._forecast_version = -1

    @property
    def store_lost(self) -> asyncio.Event:
        """Set once this process may no longer write to the store: it must stop then."""
        return self._journal.lost

    def subscribe(self, listener: JobListener) -> None:
        self._publisher.add(listener)

    # ── what people ask ─────────────────────────────────────────────────────────────────────────

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Somebody is about to submit: idle engines wait for them, within the batch window."""
        self.dispatcher.expected += 1
        try:
            yield
        finally:
            self.dispatcher.expected -= 1
            self.dispatcher.schedule()

    @contextmanager
    def shut_for(self, user_id: int) -> Iterator[bool]:
        """Inside, nothing is accepted from this person; yields whether they have no job and are not
        submitting one."""
        idle = not self._queue.active_count(user_id) and user_id not in self._reserved
        self._shut[user_id] += 1
        try:
            yield idle
        finally:
            self._shut[user_id] -= 1
            self._shut += Counter()  # drops those at zero

    async def submit(
        self,
        requests: Sequence[GenerationRequest],
        *,
        sources: Mapping[str, bytes] | None = None,
        limit: int | None = None,
    ) -> tuple[Job, ...]:
        """Accept all of one person's ``requests``, or none.

        ``limit`` replaces the usual number of active jobs. Returns once the jobs are journaled.
        Raises `RequestRejected`; then nothing was accepted.
        """
        if self._closed is not None:
            raise QueueClosed(self._closed)
        if self._shut[requests[0].user_id]:
            raise QueueClosed("forgetting")
        for request in requests:
            self.check(request)
        keys = [batch_key(request, self._offer(request)) for request in requests]
        user_id = requests[0].user_id
        self._reserve(user_id, len(requests), self._max_jobs if limit is None else limit)
        try:
            jobs = await self._accept(requests, keys, sources or {})
        finally:
            self._release(user_id, len(requests))
        for job in jobs:
            self.dispatcher.add(job)
            self._publisher.tell(Queued(job=job))
        return jobs

    async def cancel(self, job_id: JobId, *, by: int | None) -> Job:
        """End an active job; the caller checks whether ``by`` may do so.

        In a batch with others, only its own row is dropped. Raises `UnknownJob` if it has ended, or its
        picture is already on its way.
        """
        entry = self._queue.entry(job_id)
        if entry is None or entry.state == "arriving":
            raise UnknownJob(job_id)
        job, in_flight = entry.job, entry.in_flight
        if in_flight is not None:
            in_flight.dropped.add(job_id)
            if in_flight.abandoned:
                in_flight.unwanted.set()
        await self._retry.end(Cancelled(job=job, by=by))
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

    def somebody_has(self, offer: ModelOffer, lora: str = "") -> bool:
        """False only if servers are alive and none of them has the model and this LoRA's file; if none is
        alive, jobs wait. A changed model counts as available where it was before, until that server has been
        asked."""
        living = list(self.dispatcher.engines.living())
        before = f"{offer.name}@"
        return not living or any(
            engine.limits.of(offer.id) > 0
            or (offer.version and any(f"{model}@".startswith(before) for model in engine.limits.models()))
            for engine in living
            if not lora or lora in engine.loras
        )

    def models_in_use(self) -> set[str]:
        """The ids of the models that accepted jobs need; while a job is being accepted, also those of
        all that are offered."""
        accepting = self.offers.by_id if self._reserved else ()
        return {*accepting, *(entry.job.key.model for entry in self._queue.entries())}

    def job(self, job_id: JobId) -> Job | None:
        entry = self._queue.entry(job_id)
        return entry.job if entry else None

    def active_jobs(self, user_id: int) -> tuple[Job, ...]:
        """A person's active jobs, in the order of acceptance."""
        return tuple(entry.job for entry in self._queue.of_user(user_id))

    def together_with(self, job: Job) -> tuple[Job, ...]:
        """The active jobs of its group, itself included while it is active."""
        return tuple(one for one in self.active_jobs(job.request.user_id) if one.group == job.group)

    def place(self, job_id: JobId) -> QueuePosition | None:
        """Where an active job stands."""
        entry = self._queue.entry(job_id)
        if entry is None:
            return None
        if entry.waiting:
            ahead = self._queue.ahead(job_id)
            seconds = self._forecast(entry, ahead)
        else:
            ahead, in_flight = 0, entry.in_flight
            seconds = in_flight.ends_in(self._clock.now()) if in_flight else None
        return QueuePosition(
            state=entry.state,
            ahead=ahead,
            waiting=len(self._queue),
            expected_at=None if seconds is None else self._clock.unix() + seconds + self._deliveries.seconds,
        )

    def last_expected_at(self) -> float | None:
        """When the last waiting job in the fair order should be done (Unix seconds); None if no job waits or
        nothing is known."""
        last = deque(self._queue.in_order(), maxlen=1)
        place = self.place(last[0].id) if last else None
        return place.expected_at if place is not None else None

    def status(self) -> QueueStatus:
        return QueueStatus(
            waiting=self._queue.count("waiting"),
            taken=self._queue.count("taken"),
            running=self._queue.count("running"),
            arriving=self._queue.count("arriving"),
            users=self._queue.people,
            paused=self.dispatcher.paused,
            closed_because=self._closed,
        )

    # ── opening and closing ─────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Accept jobs, but give none to an engine."""
        self.dispatcher.paused = True

    def resume(self) -> None:
        self.dispatcher.paused = False
        self.dispatcher.schedule()

    def close(self, why: str) -> None:
        """Accept no job from now on; see `QueueClosed` for ``why``."""
        self._closed = why

    def open(self) -> None:
        self._closed = None

    async def recover(self) -> None:
        """Take over what an earlier process left: waiting jobs in their order, and batches that engines may
        still have, which their workers will ask about."""
        self.dispatcher.engines.recall(await self._store.learned())
        backlog = await self._store.backlog()
        at_engines = {
            engine: tuple(map(self._renewed_batch, batches)) for engine, batches in backlog.dispatched.items()
        }
        dispatched = [job for batches in at_engines.values() for batch in batches for job in batch.jobs]
        everything = sorted([*map(self._renewed, backlog.waiting), *dispatched], key=lambda job: job.number)
        at_servers = {job.id for job in dispatched}
        for job in everything:
            if job.id in self._made_here:
                continue  # accepted by this process, while or before the backlog was read
            if self.offers.named(job.request.model) is None:
                self.dispatcher.restore(job)
                name = job.request.model
                await self._retry.fail(job, ModelGone(f"there is no model {name!r} any more", model=name))
            elif job.id in at_servers:
                self.dispatcher.restore(job)
            else:
                self.dispatcher.add(job)
                if self._retry.is_last_attempt(job):
                    self.dispatcher.keep_together((job,))
                self._publisher.tell(Queued(job=job))
        self._recovered = True
        self._made_here.clear()
        self.runs.inherit(at_engines)
        if everything:
            log.info("Recovered", extra={"waiting": len(backlog.waiting), "dispatched": len(at_servers)})

    def _renewed(self, job: Job) -> Job:
        """An earlier process's job, changed to the graph that its model has now if it was accepted with one
        that is gone: only that process had it."""
        offer = self.offers.named(job.request.model)
        if offer is None or job.key.model in self.offers.by_id:
            return job
        return replace(job, key=batch_key(job.request, offer))

    def _renewed_batch(self, batch: Batch) -> Batch:
        jobs = tuple(map(self._renewed, batch.jobs))
        return replace(batch, key=jobs[0].key if jobs else batch.key, jobs=jobs)

    async def settle(self, seconds: float) -> None:
        """Wait until pictures are delivered and listeners have heard everything, at most ``seconds``."""
        with suppress(asyncio.TimeoutError):
            async with timeout(seconds):
                if self._tasks:
                    await asyncio.wait(self._tasks)
                await self._publisher.settled()

    async def aclose(self) -> None:
        """Stop everything. Jobs that are not journaled as ended come back at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._publisher.aclose()

    # ── acceptance ──────────────────────────────────────────────────────────────────────────────

    def varies(self) -> bool:
        """Whether variations can be made: a living server has the node pack, or no server is there to ask."""
        living = list(self.dispatcher.engines.living())
        return not living or any(engine.varies for engine in living)

    def check(self, request: GenerationRequest) -> None:
        """Raise `RequestRejected` if the request cannot be made; `submit` checks the same."""
        offer = self._offer(request)
        if not self.somebody_has(offer):
            raise ModelUnavailable(model=offer.label)
        if request.lora is not None and not self.somebody_has(offer, request.lora.file):
            raise LoraUnavailable(lora=request.lora.label, model=offer.label)
        if request.variation is not None and not self.varies():
            raise VariationUnavailable
        if offer.kind != "upscale" and is_blank(request.prompt):
            raise BadPrompt(length=0, limit=MAX_PROMPT)
        longest = max(len(request.full_prompt), len(request.full_negative))
        if longest > MAX_PROMPT:
            raise BadPrompt(length=longest, limit=MAX_PROMPT)
        if not 0 <= request.seed <= MAX_SEED:
            raise BadSeed(seed=str(request.seed))
        if offer.kind == "imagine" and request.size not in offer.sizes:
            raise BadSize(size=str(request.size), allowed=", ".join(map(str, offer.sizes)))
        self._check_start(request, offer)
        least, most = (1, 1) if offer.kind == "imagine" and request.starts else offer.source_count
        if least and not request.sources:
            raise NoSourceImage
        if not least <= len(request.sources) <= most:
            count = f"{most}" if least == most else f"{least}–{most}"
            raise WrongSourceCount(model=offer.label, count=count)

    def _check_start(self, request: GenerationRequest, offer: ModelOffer) -> None:
        if request.strength is not None:
            if not offer.starts:
                raise CannotStart(model=offer.label, others=self._labels(lambda known: known.starts))
            if not START_STEP <= request.strength <= 1:
                raise BadStrength(strength=request.strength)
        if request.mask is not None and offer.masks == "none":
            raise CannotMask(model=offer.label, others=self._labels(lambda known: known.masks != "none"))
        if request.mask is None and offer.masks == "must" and request.sources:
            raise MaskNeeded(model=offer.label)
        if request.starts and any(
            one.size != request.size for one in (*request.sources[:1], request.mask) if one
        ):
            raise BadSize(size=str(request.sources[0].size), allowed=str(request.size))

    def _labels(self, can: Callable[[ModelOffer], bool]) -> str:
        """The labels of the models that can and are not nsfw; ``none`` if there are none."""
        return ", ".join(offer.label for offer in self.offers if can(offer) and not offer.nsfw) or "none"

    def _offer(self, request: GenerationRequest) -> ModelOffer:
        offer = self.offers.named(request.model)
        if offer is None or offer.kind != request.kind:
            raise UnknownModel(model=request.model)
        return offer

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

    async def _accept(
        self, requests: Sequence[GenerationRequest], keys: Sequence[BatchKey], sources: Mapping[str, bytes]
    ) -> tuple[Job, ...]:
        now = self._clock.unix()
        try:
            numbers = await self._store.next_numbers(len(requests))
            jobs = tuple(
                Job(
                    id=JobId(uuid.uuid4().hex),
                    number=number,
                    request=request,
                    key=key,
                    queued_at=now,
                )
                for number, request, key in zip(numbers, requests, keys, strict=True)
            )
            if not self._recovered:
                self._made_here.update(job.id for job in jobs)
            await self._store.accept(jobs, sources)
        except StoreError as error:
            log.exception("Could not journal a request", extra={"user": requests[0].user_id})
            raise QueueClosed("store") from error
        return jobs

    def _remember(self, engine: str, model: str, learned: Learned) -> None:
        self._spawn(
            self._write_learned(engine, model, learned), f"Storing what was learned about {model} on {engine}"
        )

    async def _write_learned(self, engine: str, model: str, learned: Learned) -> None:
        try:
            await self._store.learn(engine, model, learned)
        except StoreError as error:
            log.warning(
                "Could not store what was learned about a server: %s", error, extra={"engine": engine}
            )

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    # ── forecasts ───────────────────────────────────────────────────────────────────────

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
        """When each of the first waiting jobs will be done, by the clock, as far as that is known."""
        lanes = self.dispatcher.soonest_lanes(self.dispatcher.engines.living(), now)
        jobs, line = self.dispatcher.first_in_line()
        ends = finish_times(lanes, line, max_key_wait=self._max_key_wait)
        return {job.id: now + end for job, end in zip(jobs, ends, strict=True) if end is not None}

    def _fleet_rate(self) -> float | None:
        """Pictures that the living engines make in a second, computed at most once a second."""
        now = self._clock.now()
        if self._rate[0] > now:
            return self._rate[1]
        rate = sum(
            engine.pictures / engine.busy_seconds * engine.slots
            for engine in self.dispatcher.engines.living()
            if engine.pictures and engine.busy_seconds
        )
        self._rate = (now + 1.0, rate or None)
        return self._rate[1]
