"""Matches waiting jobs and free engines, by the fair queue and the rules of `batching`."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice

from modules.queue_manager.jobs import Batch, BatchKey, Job, JobId
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock, Run
from modules.queue_manager.scheduling.batching import Candidate, Lane, Work, choose_key, finish_by, rows_for
from modules.queue_manager.scheduling.engine_registry import EngineRegistry, Remember
from modules.queue_manager.scheduling.estimates import Duration, DurationBook
from modules.queue_manager.scheduling.eta import PLAYED_THROUGH, SOONEST, Line
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.idle_engines import IdleEngines
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch
from modules.queue_manager.scheduling.own_first import OwnFirst

SLOWER = 1.2
"""An engine whose run takes at most this many times the fastest one's does not stand back."""

SOONER = 0.95
"""An engine stands back only if the others need at most this share of its time."""

PLANNED = 16
"""Engines that are considered when one may have to stand back."""

RECHECK = 0.25
"""Seconds after which an engine that stood back looks again, if nothing happens before."""

QUIET = 0.2
"""Share of the window without a new job after which an idle engine stops waiting."""

FASTEST_FOR = 1.0
"""Seconds for which the fastest engine's time is remembered."""


@dataclass(kw_only=True, slots=True)
class _Group:
    """Jobs that run together, with no others and before others: part of a batch that failed for its content
    or its size on the engine ``because``, or (None) a job that has one attempt left."""

    jobs: tuple[Job, ...]
    because: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class Dispatcher:
    """Decides only: it starts no run and talks to no server. ``window`` (seconds): how long an idle engine
    waits for a batch to fill."""

    queue: FairQueue
    offers: Offers
    durations: DurationBook
    clock: Clock
    max_key_wait: int
    window: float
    remember: Remember

    def __post_init__(self) -> None:
        self.engines = EngineRegistry(
            clock=self.clock,
            durations=self.durations,
            on_change=self.seen,
            on_sick=self._absolve,
            remember=self.remember,
        )
        self._idle_engines = IdleEngines()
        self._warm: dict[str, str] = {}
        self._with_loaded: dict[str, dict[str, EngineState]] = {}
        self._stood_back: dict[str, tuple[float, EngineState, list[Job]]] = {}
        self._groups: deque[_Group] = deque()
        self._grouped: set[JobId] = set()
        self._avoid: dict[JobId, frozenset[str]] = {}
        self._arrived: dict[JobId, float] = {}
        self._passes: dict[BatchKey, int] = {}
        self._fastest_known: dict[tuple[BatchKey, int], tuple[float, float | None]] = {}
        self._own_first = OwnFirst(
            queue=self.queue,
            engines=self.engines,
            max_key_wait=self.max_key_wait,
            soonest_lanes=self.soonest_lanes,
            first_in_line=self.first_in_line,
            may_run=self._may_run,
            avoided=lambda job: self._avoid.get(job.id, frozenset()),
            waits_since=lambda job: self._arrived.setdefault(job.id, self.clock.now()),
        )
        self._pending: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.paused = False
        self.expected = 0

    # ── engines ─────────────────────────────────────────────────────────────────────────────────

    def unregister(self, engine: EngineState) -> None:
        self.engines.remove(engine)
        self._idle_engines.remove(engine)
        self._note_warm(engine)
        self.schedule()

    async def take(self, engine: EngineState) -> InFlightBatch:
        """The next batch for this engine, as soon as there is one for it."""
        next_batch: asyncio.Future[InFlightBatch] = asyncio.get_running_loop().create_future()
        engine.next_batch = next_batch
        self.seen(engine)
        try:
            return await next_batch
        except asyncio.CancelledError:
            if next_batch.done() and not next_batch.cancelled():
                self.land(next_batch.result())
                for job in next_batch.result().batch.jobs:
                    if self.queue.entry(job.id) is not None:  # it may have been cancelled meanwhile
                        self.put_back(job)
            raise
        finally:
            self._idle_engines.remove(engine)
            engine.next_batch = None

    def seen(self, engine: EngineState) -> None:
        """The engine's state, its model or what it can do may have changed."""
        if engine.state == "down":
            engine.warm = None  # its models may be unloaded
        self._note_warm(engine)
        if (
            engine.living
            and not engine.doubted
            and engine.next_batch is not None
            and not engine.next_batch.done()
        ):
            self._idle_engines.add(engine)
        else:
            self._idle_engines.remove(engine)
        self.schedule()

    def adopt(self, batch: Batch, engine: EngineState, run: Run) -> InFlightBatch:
        """Follow a batch that an earlier process gave to the engine, and that the engine still has."""
        now = self.clock.now()
        in_flight = InFlightBatch(
            batch=batch,
            engine=engine,
            weights=self.weights(batch.key),
            swapped=True,
            expected=None,
            resumed=True,
            taken_at=now,
            heard_at=now,
            run=run,
        )
        engine.batches.append(in_flight)
        self._loads(engine, in_flight.weights)
        for job in batch.jobs:
            entry = self.queue.entry(job.id)
            if entry is not None:
                entry.in_flight = in_flight
            else:
                in_flight.dropped.add(job.id)
        return in_flight

    def land(self, in_flight: InFlightBatch) -> None:
        """The engine is through with the batch."""
        if in_flight in in_flight.engine.batches:
            in_flight.engine.batches.remove(in_flight)
        self.seen(in_flight.engine)

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def add(self, job: Job) -> None:
        now = self.clock.now()
        self.queue.add(job, now=now)
        self._arrived[job.id] = now
        self.schedule()

    def restore(self, job: Job) -> None:
        """A job of an earlier process that a server may still have: active, but not waiting."""
        self.queue.add(job, now=self.clock.now())
        self.queue.dispatch(job.id)

    def put_back(self, job: Job, *, avoid: str | None = None) -> None:
        """A job waits again, in its old place; not for the engine ``avoid`` while others can take it."""
        if avoid is not None:
            self._avoid[job.id] = self._avoid.get(job.id, frozenset()) | {avoid}
        self.queue.put_back(job)
        self.schedule()

    def keep_together(self, jobs: tuple[Job, ...], *, because: str | None = None) -> None:
        """Waiting jobs go first and with no others; ``because`` is the engine on which they failed, if that
        is the reason."""
        self._grouped.update(job.id for job in jobs)
        self._groups.append(_Group(jobs=jobs, because=because))
        self.schedule()

    def _absolve(self, engine: EngineState) -> None:
        """The engine was to blame for what failed there: those jobs wait like all others again."""
        for group in [group for group in self._groups if group.because == engine.name]:
            self._groups.remove(group)
            self._grouped.difference_update(job.id for job in group.jobs)
        self.schedule()

    def end(self, job_id: JobId) -> None:
        entry = self.queue.entry(job_id)
        self.queue.end(job_id)
        if entry is not None and not self.queue.waiting_count(entry.job.key):
            self._passes.pop(entry.job.key, None)
        self._avoid.pop(job_id, None)
        self._arrived.pop(job_id, None)
        self._grouped.discard(job_id)
        self.schedule()

    # ── matching ────────────────────────────────────────────────────────────────────────────────

    def schedule(self) -> None:
        """Match once, soon, however often this is called."""
        if self._pending is None:
            self._pending = asyncio.get_running_loop().call_soon(self._match)

    def _look_again(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + max(seconds, 0.001)
        if self._timer is not None:
            if self._timer.when() <= when and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.schedule()

    def _match(self) -> None:
        self._pending = None
        now = self.clock.now()
        self.queue.lift(now)
        if self.paused:
            return
        while len(self.queue) and self._idle_engines and self._match_one(now):
            pass

    def _match_one(self, now: float) -> bool:
        """Give one waiting engine one batch; false if there is no more to give."""
        self._stood_back = {}
        for sort in self._idle_engines.sorts(self._head_weights()):
            for engine in self._idle_engines.of(sort, PLANNED):
                if engine.next_batch is None or engine.next_batch.done():
                    self._idle_engines.remove(engine)  # cancelled in this instant
                    continue
                if jobs := self._next_group(engine) or self._next_jobs(engine, now):
                    self._send(engine, jobs, now)
                    return True
                if engine.name not in self._stood_back and not self._avoid:
                    break  # the others of this sort find nothing either
        return self._after_you(now)

    def _after_you(self, now: float) -> bool:
        """If every engine stands back for another one and none is at work, the quickest one goes."""
        if not self._stood_back or any(
            engine.batches for engine in self.engines.states.values() if engine.living
        ):
            return False
        _, engine, jobs = min(self._stood_back.values(), key=lambda item: item[0])
        self._send(engine, jobs, now)
        return True

    def _head_weights(self) -> str | None:
        first = next(self.queue.in_order(), None)
        return None if first is None else self.weights(first.key)

    def _send(self, engine: EngineState, jobs: list[Job], now: float) -> None:
        key = jobs[0].key
        first = self.queue.head(key)
        if first is None or first.job in jobs:  # else the first one is passed over once more
            self._passes.pop(key, None)
        weights = self.weights(key)
        swapped = engine.elastic is None and engine.warm != weights
        in_flight = InFlightBatch(
            batch=Batch(
                id=str(uuid.uuid4()),
                key=key,
                jobs=tuple(jobs),
                fused=engine.limits.why_alone(key.model) is None,
            ),
            engine=engine,
            weights=weights,
            swapped=swapped,
            expected=self._duration(engine, key, len(jobs), swap=swapped),
            taken_at=now,
            heard_at=now,
        )
        self.queue.dispatch(*(job.id for job in jobs), in_flight=in_flight)
        self._idle_engines.remove(engine)
        self._loads(engine, weights)
        self._note_warm(engine)
        engine.batches.append(in_flight)
        assert engine.next_batch is not None
        engine.next_batch.set_result(in_flight)

    def _loads(self, engine: EngineState, weights: str) -> None:
        """Note that the engine will have loaded ``weights``: its next batch needs them."""
        if engine.elastic is None:
            engine.warm = weights

    def _next_group(self, engine: EngineState) -> list[Job]:
        for group in list(self._groups):
            jobs = [job for job in group.jobs if job.id in self._grouped]
            entries = [entry for job in jobs if (entry := self.queue.entry(job.id)) and entry.waiting]
            if not entries:
                self._groups.remove(group)
                continue
            limit = engine.rows(entries[0].job.key.need)
            able = [entry.job for entry in entries if self._may_run(entry.job, engine)]
            if engine.elastic is not None:
                late = self._own_first.late(engine, self.clock.now())
                able = [job for job in able if job in late]
            taken = able[:limit]
            if taken:
                self._grouped.difference_update(job.id for job in taken)
                group.jobs = tuple(entry.job for entry in entries if entry.job not in taken)
                return taken
        return []

    def _next_jobs(self, engine: EngineState, now: float) -> list[Job]:
        if engine.elastic is not None:
            return self._next_late(engine, now)
        candidates = self._candidates(engine)
        choice = choose_key(
            candidates,
            warm=engine.warm,
            left=self._left_to_others(engine, candidates, now),
            passes=self._passes,
            max_key_wait=self.max_key_wait,
        )
        if choice is None:
            return []
        key = choice.key
        limit = engine.rows(key.need)
        idle = 0 if engine.batches else self._idle_engines.idle(key.need)
        rows = rows_for(self.queue.waiting_count(key), limit=limit, idle_engines=idle)
        jobs = self.queue.first(key, rows, accept=self._acceptor(engine))
        if not jobs or self._gathering(engine, jobs, limit, now) or self._stands_back(engine, jobs, now):
            return []
        if choice.passed_over is not None:
            self._passes[choice.passed_over] = self._passes.get(choice.passed_over, 0) + 1
        return jobs

    def _next_late(self, engine: EngineState, now: float) -> list[Job]:
        """The first job that an elastic engine's terms let it have."""
        self._look_again(RECHECK)
        late = self._own_first.late(engine, now)
        free = (job for job in late if job.id not in self._grouped and self._waits(job))
        job = next((job for job in free if not self._is_gathered(job)), None)
        return [] if job is None or self._stands_back(engine, [job], now) else [job]

    def _is_gathered(self, job: Job) -> bool:
        """Whether an idle GPU of your own may have the job as soon as its batch is full."""
        return self._idle_engines.idle(job.key.need) > 0 and any(
            own.reliable and own.next_batch is not None and own.can(job.key.need)
            for own in self.engines.states.values()
            if own.elastic is None and not own.batches and self._may_run(job, own)
        )

    def _waits(self, job: Job) -> bool:
        entry = self.queue.entry(job.id)
        return entry is not None and entry.waiting

    def _candidates(self, engine: EngineState) -> list[Candidate]:
        """The first job of each need: `choose_key` never chooses a later one with the same weights."""
        accept = self._acceptor(engine)
        needs = filter(engine.can, self.queue.needs())
        first = [entry for need in needs if (entry := self.queue.first_for(need, accept=accept))]
        return [
            Candidate(key=entry.job.key, weights=self.weights(entry.job.key), order=entry.order)
            for entry in first
        ]

    def _acceptor(self, engine: EngineState) -> Callable[[Job], bool] | None:
        if not self._avoid and not self._grouped:
            return None
        return lambda job: job.id not in self._grouped and self._may_run(job, engine)

    def _may_run(self, job: Job, engine: EngineState) -> bool:
        """Whether the job has not failed on ``engine``, or no other engine can run it."""
        if not engine.takes(job):
            return False
        avoid = self._avoid.get(job.id)
        if not avoid or engine.name not in avoid:
            return True
        if engine.sick and self._others_wait(engine):
            return False  # a job that has not failed there shows whether it works again
        return not self.elsewhere(job, avoid)

    def elsewhere(self, job: Job, avoid: Collection[str]) -> bool:
        """Whether an engine that is not in ``avoid`` could run the job."""
        return any(
            other.living
            and not other.sick
            and other.name not in avoid
            and other.can(job.key.need)
            and other.takes(job)
            for other in self.engines.states.values()
        )

    def _others_wait(self, engine: EngineState) -> bool:
        """Whether a waiting job could run on ``engine`` and has not failed there."""
        waiting = sum(map(self.queue.waiting_for, filter(engine.can, self.queue.needs())))
        failed = sum(
            engine.name in names and (entry := self.queue.entry(job_id)) is not None and entry.waiting
            for job_id, names in self._avoid.items()
        )
        return waiting > failed

    def _left_to_others(self, engine: EngineState, candidates: list[Candidate], now: float) -> list[BatchKey]:
        """The keys to leave to another engine: it has their model loaded, and will be done with them before
        this engine would be, if this one first passes them over as often as it may."""
        foreign = [c for c in candidates if c.weights != engine.warm and c.weights in self._with_loaded]
        if not foreign:
            return []
        own = next((c.key for c in candidates if c.weights == engine.warm), None)
        until = engine.free_in(now) or 0.0
        if own is not None:
            turn = self._seconds(engine, own, engine.rows(own.need), swap=False)
            until += self.max_key_wait * (turn or 0.0)
        return [
            c.key
            for c in foreign
            if any(
                self._serves_by(
                    other, c.key, until + (self._seconds(engine, c.key, 1, swap=True) or 0.0), now
                )
                for other in self._with_loaded[c.weights].values()
            )
        ]

    def _serves_by(self, other: EngineState, key: BatchKey, until: float, now: float) -> bool:
        """Whether ``other``, which has the model loaded, may run the first job of ``key`` and will be done
        with it in ``until`` seconds, as far as is known."""
        head = self.queue.head(key)
        able = other.reliable and other.can(key.need)
        if not able or head is None or not self._may_run(head.job, other):
            return False
        free_in = other.free_in(now)
        return free_in is None or free_in + (self._seconds(other, key, 1, swap=False) or 0.0) <= until

    def _note_warm(self, engine: EngineState) -> None:
        before = self._warm.pop(engine.name, None)
        now = engine.warm if engine.living and engine.name in self.engines.states else None
        if before is not None:
            loaded = self._with_loaded[before]
            del loaded[engine.name]
            if not loaded:
                del self._with_loaded[before]
        if now is not None:
            self._warm[engine.name] = now
            self._with_loaded.setdefault(now, {})[engine.name] = engine

    def _gathering(self, engine: EngineState, jobs: list[Job], limit: int, now: float) -> bool:
        """Whether an idle engine waits for a batch to fill: until nobody is ``expected`` and no job has come
        for a while, at most ``window`` seconds from the first job's arrival."""
        if engine.batches or len(jobs) >= limit or self.window <= 0:
            return False
        arrivals = [self._arrived.get(job.id, 0.0) for job in jobs]
        until = min(arrivals) + self.window
        if not self.expected:
            until = min(until, max(arrivals) + QUIET * self.window)
        left = until - now
        if left <= 0:
            return False
        self._look_again(left)
        return True

    def _stands_back(self, engine: EngineState, jobs: list[Job], now: float) -> bool:
        """Whether the other engines that are your own would finish everything that waits before this engine
        finished ``jobs``."""
        key, rows = jobs[0].key, len(jobs)
        mine = self._seconds(engine, key, rows, swap=engine.warm != self.weights(key))
        if mine is None:
            return False
        fastest = self._fastest(key, rows, now)
        if fastest is None or mine <= SLOWER * fastest:
            return False
        limit = engine.rows(key.need)
        if len(self.queue) > PLANNED * limit * (mine / max(fastest, 1e-3) + 1.0):
            return False  # more than any other engines could do in that time
        others = [
            s
            for s in self.engines.states.values()
            if s is not engine and s.elastic is None and s.reliable and s.can(key.need)
            if not self._avoid or all(self._may_run(job, s) for job in jobs)
        ]
        near = nsmallest(PLANNED, others, key=lambda s: s.free_in(now) or 0.0)
        lanes = [lane for s in near for lane in self.lanes(s, now)]
        mine += engine.free_in(now) or 0.0
        if finish_by(lanes, self._work_until(key), within=SOONER * mine) is None:
            return False
        self._look_again(RECHECK)
        self._stood_back[engine.name] = (mine, engine, jobs)
        return True

    def _fastest(self, key: BatchKey, rows: int, now: float) -> float | None:
        """Seconds of the run on the fastest of your own living engines, computed at most once a second."""
        known = self._fastest_known.get((key, rows))
        if known is not None and known[0] > now:
            return known[1]
        seconds = [
            time
            for engine in self.engines.states.values()
            if engine.elastic is None and engine.living and not engine.sick and engine.can(key.need)
            if (time := self._seconds(engine, key, rows, swap=False)) is not None
        ]
        if len(self._fastest_known) > 1024:
            self._fastest_known.clear()
        fastest = min(seconds, default=None)
        self._fastest_known[key, rows] = (now + FASTEST_FOR, fastest)
        return fastest

    def _work_until(self, key: BatchKey) -> list[Work]:
        """Everything that waits, the jobs of ``key`` last."""
        work = [
            Work(key=other, weights=self.weights(other), count=self.queue.waiting_count(other))
            for other in self.queue.batch_keys()
            if other != key
        ]
        work.append(Work(key=key, weights=self.weights(key), count=self.queue.waiting_count(key)))
        return work

    # ── values for planners ─────────────────────────────────────────────────────────────────────

    def weights(self, key: BatchKey) -> str:
        return self.offers.by_id[key.model].weights or key.model

    def lanes(self, engine: EngineState, now: float) -> list[Lane]:
        """The engine as planners see it: one lane, or one for each slot; none if nobody knows when it will be
        free."""
        if engine.elastic is not None:
            free = engine.slots_free_in(now)
        else:
            free = [] if (free_in := engine.free_in(now)) is None else [free_in]
        return [
            Lane(
                name=f"{engine.name} {slot}",
                free_in=free_in,
                warm=engine.warm,
                limit=engine.rows,
                seconds=lambda key, rows, swap: self._seconds(engine, key, rows, swap=swap),
                after=None if engine.elastic is None else engine.elastic.after,
            )
            for slot, free_in in enumerate(free)
        ]

    def soonest_lanes(self, engines: Iterable[EngineState], now: float) -> list[Lane]:
        """The lanes that will be free first, of those engines that are alive and not sick."""
        lanes = [lane for e in engines if e.living and not e.sick for lane in self.lanes(e, now)]
        return sorted(lanes, key=lambda lane: lane.free_in)[:SOONEST]

    def first_in_line(self) -> tuple[list[Job], Line]:
        """The first waiting jobs, as many as are simulated."""
        jobs = list(islice(self.queue.in_order(), PLAYED_THROUGH))
        return jobs, [(job.key, self.weights(job.key)) for job in jobs]

    def _duration(self, engine: EngineState, key: BatchKey, rows: int, *, swap: bool) -> Duration | None:
        return self.durations.predict(engine.name, key.model, rows, work=key.size.work, swap=swap)

    def _seconds(self, engine: EngineState, key: BatchKey, rows: int, *, swap: bool) -> float | None:
        duration = self._duration(engine, key, rows, swap=swap)
        return None if duration is None else duration.total
