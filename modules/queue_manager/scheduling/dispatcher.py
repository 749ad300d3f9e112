"""Brings waiting jobs and free engines together: holds the fair queue and asks `batching` what to do."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import nsmallest

from modules.queue_manager.jobs import Batch, BatchKey, Job, JobId
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock, Run
from modules.queue_manager.scheduling.batching import Candidate, Lane, Work, choose_key, finish_by, rows_for
from modules.queue_manager.scheduling.engine_registry import EngineRegistry, Remember
from modules.queue_manager.scheduling.estimates import DurationBook
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.idle_engines import IdleEngines
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch

SLOWER = 1.2
"""An engine whose run takes at most so many times the fastest one's is not asked to stand back."""

SOONER = 0.95
"""An engine stands back if the others need at most this share of its time: not for a mere tie."""

PLANNED = 16
"""Engines that are considered when one is asked to stand back."""

RECHECK = 0.25
"""Seconds after which an engine that stood back looks again, if nothing else makes it."""

QUIET = 0.2
"""Share of the window without a newcomer after which an idle engine waits no longer."""

FASTEST_FOR = 1.0
"""Seconds for which the fastest engine's time is remembered."""


@dataclass(kw_only=True, slots=True)
class _Group:
    """Jobs that must run together and before others: the halves of a batch that failed for its
    content or its size, on the engine ``because``."""

    jobs: tuple[Job, ...]
    because: str | None = None


class Dispatcher:
    """Who waits, who is free, and who gets what. Decides only; it starts and awaits nothing."""

    def __init__(
        self,
        *,
        queue: FairQueue,
        offers: Offers,
        durations: DurationBook,
        clock: Clock,
        max_key_wait: int,
        window: float,
        remember: Remember,
    ) -> None:
        self._queue = queue
        self._offers = offers
        self._durations = durations
        self._clock = clock
        self._max_key_wait = max_key_wait
        self._window = window
        self.engines = EngineRegistry(
            clock=clock, on_change=self.seen, on_sick=self._absolve, remember=remember
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
        self._pending: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.paused = False
        self.expected = 0

    # ── engines ─────────────────────────────────────────────────────────────────────────────────

    def unregister(self, engine_state: EngineState) -> None:
        """A worker went."""
        self.engines.remove(engine_state)
        self._idle_engines.remove(engine_state)
        self._note_warm(engine_state)
        self.schedule()

    async def take(self, engine_state: EngineState) -> InFlightBatch:
        """The next batch for this engine, as soon as there is one for it."""
        next_batch: asyncio.Future[InFlightBatch] = asyncio.get_running_loop().create_future()
        engine_state.next_batch = next_batch
        self.seen(engine_state)
        try:
            return await next_batch
        except asyncio.CancelledError:
            if next_batch.done() and not next_batch.cancelled():
                self.land(next_batch.result())
                for job in next_batch.result().batch.jobs:
                    if self._queue.entry(job.id) is not None:  # it may have been cancelled meanwhile
                        self.put_back(job)
            raise
        finally:
            self._idle_engines.remove(engine_state)
            engine_state.next_batch = None

    def seen(self, engine_state: EngineState) -> None:
        """Something about this engine may have changed: its state, its model, what it can do."""
        if engine_state.state == "down":
            engine_state.warm = None  # what was loaded may be loaded no more
        self._note_warm(engine_state)
        if (
            engine_state.living
            and not engine_state.doubted
            and engine_state.next_batch is not None
            and not engine_state.next_batch.done()
        ):
            self._idle_engines.add(engine_state)
        else:
            self._idle_engines.remove(engine_state)
        self.schedule()

    def adopt(self, batch: Batch, engine_state: EngineState, run: Run) -> InFlightBatch:
        """A batch that a former process gave to the engine, and that the engine still has."""
        now = self._clock.now()
        in_flight = InFlightBatch(
            batch=batch,
            engine_state=engine_state,
            weights=self.weights(batch.key),
            swapped=True,
            expected=None,
            resumed=True,
            taken_at=now,
            heard_at=now,
            run=run,
        )
        engine_state.batches.append(in_flight)
        engine_state.warm = in_flight.weights
        for job in batch.jobs:
            entry = self._queue.entry(job.id)
            if entry is not None:
                entry.in_flight = in_flight
            else:
                in_flight.dropped.add(job.id)
        return in_flight

    def land(self, in_flight: InFlightBatch) -> None:
        """The batch occupies its engine no longer."""
        if in_flight in in_flight.engine_state.batches:
            in_flight.engine_state.batches.remove(in_flight)
        self.seen(in_flight.engine_state)

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def add(self, job: Job) -> None:
        """A newly accepted job waits."""
        now = self._clock.now()
        self._queue.add(job, now=now)
        self._arrived[job.id] = now
        self.schedule()

    def restore(self, job: Job) -> None:
        """A job of a former process that a server may still have: active, but not waiting."""
        self._queue.add(job, now=self._clock.now())
        self._queue.dispatch(job.id)

    def put_back(self, job: Job, *, avoid: str | None = None) -> None:
        """A job of a batch waits again, in its old place; not for ``avoid`` while others can take it."""
        if avoid is not None:
            self._avoid[job.id] = self._avoid.get(job.id, frozenset()) | {avoid}
        self._queue.put_back(job)
        self.schedule()

    def keep_together(self, jobs: tuple[Job, ...], *, because: str | None = None) -> None:
        """Waiting jobs go first, and with nobody else, since they failed on the engine ``because``."""
        self._grouped.update(job.id for job in jobs)
        self._groups.append(_Group(jobs=jobs, because=because))
        self.schedule()

    def _absolve(self, engine_state: EngineState) -> None:
        """What failed on the engine was its own fault: those jobs wait like all others again."""
        for group in [group for group in self._groups if group.because == engine_state.name]:
            self._groups.remove(group)
            self._grouped.difference_update(job.id for job in group.jobs)
        self.schedule()

    def end(self, job_id: JobId) -> None:
        """The job is over."""
        entry = self._queue.entry(job_id)
        self._queue.end(job_id)
        if entry is not None and not self._queue.waiting_count(entry.job.key):
            self._passes.pop(entry.job.key, None)
        self._avoid.pop(job_id, None)
        self._arrived.pop(job_id, None)
        self._grouped.discard(job_id)
        self.schedule()

    # ── matching ────────────────────────────────────────────────────────────────────────────────

    def schedule(self) -> None:
        """Look once, soon, however many reasons there are."""
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
        now = self._clock.now()
        self._queue.lift(now)
        if self.paused:
            return
        while len(self._queue) and self._idle_engines and self._match_one(now):
            pass

    def _match_one(self, now: float) -> bool:
        """Give one waiting engine one batch; false if there is no more to give."""
        self._stood_back = {}
        for sort in self._idle_engines.sorts(self._head_weights()):
            for engine_state in self._idle_engines.of(sort, PLANNED):
                if engine_state.next_batch is None or engine_state.next_batch.done():
                    self._idle_engines.remove(engine_state)  # cancelled in this instant
                    continue
                jobs = self._jobs_for(engine_state, now)
                if jobs:
                    self._send(engine_state, jobs, now)
                    return True
                if engine_state.name not in self._stood_back and not self._avoid:
                    break  # nor is there anything for the others of this sort
        return self._after_you(now)

    def _after_you(self, now: float) -> bool:
        """Where everybody stands back for somebody else and nobody is at work, the quickest goes."""
        if not self._stood_back or any(
            engine_state.batches for engine_state in self.engines.states.values() if engine_state.living
        ):
            return False
        _, engine_state, jobs = min(self._stood_back.values(), key=lambda item: item[0])
        self._send(engine_state, jobs, now)
        return True

    def _head_weights(self) -> str | None:
        heads = [entry for key in self._queue.batch_keys() if (entry := self._queue.head(key))]
        first = min(heads, key=lambda entry: entry.order, default=None)
        return None if first is None else self.weights(first.job.key)

    def _jobs_for(self, engine_state: EngineState, now: float) -> list[Job]:
        if (jobs := self._next_group(engine_state)) is not None:
            return jobs
        return self._next_jobs(engine_state, now)

    def _send(self, engine_state: EngineState, jobs: list[Job], now: float) -> None:
        key = jobs[0].key
        first = self._queue.head(key)
        if first is None or first.job in jobs:  # else who waits longest goes on doing so
            self._passes.pop(key, None)
        weights = self.weights(key)
        swapped = engine_state.warm != weights
        in_flight = InFlightBatch(
            batch=Batch(
                id=str(uuid.uuid4()),
                key=key,
                jobs=tuple(jobs),
                fused=engine_state.limits.why_alone(key.model) is None,
            ),
            engine_state=engine_state,
            weights=weights,
            swapped=swapped,
            expected=self._durations.predict(engine_state.name, key.model, len(jobs), swap=swapped),
            taken_at=now,
            heard_at=now,
        )
        for job in jobs:
            self._queue.dispatch(job.id, in_flight)
        self._idle_engines.remove(engine_state)
        engine_state.warm = weights
        self._note_warm(engine_state)
        engine_state.batches.append(in_flight)
        assert engine_state.next_batch is not None
        engine_state.next_batch.set_result(in_flight)

    def _next_group(self, engine_state: EngineState) -> list[Job] | None:
        for group in list(self._groups):
            jobs = [job for job in group.jobs if job.id in self._grouped]
            entries = [entry for job in jobs if (entry := self._queue.entry(job.id)) and entry.waiting]
            limit = engine_state.rows(group.jobs[0].key.model)
            if not entries:
                self._groups.remove(group)
            elif limit > 0 and self._may_run(entries[0].job, engine_state):
                taken = [entry.job for entry in entries[:limit]]
                self._grouped.difference_update(job.id for job in taken)
                # The others stay a group; those taken may be one again, but another one.
                at = self._groups.index(group)
                del self._groups[at]
                if left := tuple(entry.job for entry in entries[limit:]):
                    self._groups.insert(at, _Group(jobs=left, because=group.because))
                return taken
        return None

    def _next_jobs(self, engine_state: EngineState, now: float) -> list[Job]:
        candidates = self._candidates(engine_state)
        choice = choose_key(
            candidates,
            warm=engine_state.warm,
            left=self._left_to_others(engine_state, candidates, now),
            passes=self._passes,
            max_key_wait=self._max_key_wait,
        )
        if choice is None:
            return []
        key = choice.key
        limit = engine_state.rows(key.model)
        idle = 0 if engine_state.batches else self._idle_engines.idle(key.model)
        rows = rows_for(self._queue.waiting_count(key), limit=limit, idle_engines=idle)
        jobs = self._queue.first(key, rows, accept=self._acceptor(engine_state))
        if (
            not jobs
            or self._gathering(engine_state, jobs, limit, now)
            or self._stands_back(engine_state, jobs, now)
        ):
            return []
        if choice.passed_over is not None:
            self._passes[choice.passed_over] = self._passes.get(choice.passed_over, 0) + 1
        return jobs

    def _candidates(self, engine_state: EngineState) -> list[Candidate]:
        found = []
        for key in self._queue.batch_keys():
            if engine_state.limits.of(key.model) <= 0:
                continue
            jobs = self._queue.first(key, 1, accept=self._acceptor(engine_state))
            if jobs:
                entry = self._queue.entry(jobs[0].id)
                assert entry is not None
                found.append(Candidate(key=key, weights=self.weights(key), order=entry.order))
        return found

    def _acceptor(self, engine_state: EngineState) -> Callable[[Job], bool] | None:
        if not self._avoid and not self._grouped:
            return None
        return lambda job: job.id not in self._grouped and self._may_run(job, engine_state)

    def _may_run(self, job: Job, engine_state: EngineState) -> bool:
        """Whether ``engine_state`` has not failed this job yet, or is all there is."""
        avoid = self._avoid.get(job.id)
        if not avoid or engine_state.name not in avoid:
            return True
        if engine_state.sick and self._others_wait(engine_state):
            return False  # whether it is well again is shown by a job that has not failed there
        return not self.elsewhere(job, avoid)

    def elsewhere(self, job: Job, avoid: Collection[str]) -> bool:
        """Whether an engine besides those in ``avoid`` could run the job."""
        return any(
            other.living and not other.sick and other.name not in avoid and other.limits.of(job.key.model) > 0
            for other in self.engines.states.values()
        )

    def _others_wait(self, engine_state: EngineState) -> bool:
        """Whether jobs wait for ``engine_state`` that have not failed there."""
        waiting = sum(
            self._queue.waiting_count(key)
            for key in self._queue.batch_keys()
            if engine_state.limits.of(key.model) > 0
        )
        failed = sum(
            engine_state.name in names and (entry := self._queue.entry(job_id)) is not None and entry.waiting
            for job_id, names in self._avoid.items()
        )
        return waiting > failed

    def _left_to_others(
        self, engine_state: EngineState, candidates: list[Candidate], now: float
    ) -> list[BatchKey]:
        """The keys that another engine has loaded and will have done by the time at which this one would,
        having passed them over as often as it may."""
        foreign = [c for c in candidates if c.weights != engine_state.warm and c.weights in self._with_loaded]
        if not foreign:
            return []
        own = next((c.key for c in candidates if c.weights == engine_state.warm), None)
        until = engine_state.free_in(now) or 0.0
        if own is not None:
            turn = self._seconds(engine_state, own, engine_state.rows(own.model), swap=False)
            until += self._max_key_wait * (turn or 0.0)
        return [
            c.key
            for c in foreign
            if any(
                self._serves_by(
                    other, c.key, until + (self._seconds(engine_state, c.key, 1, swap=True) or 0.0), now
                )
                for other in self._with_loaded[c.weights].values()
            )
        ]

    def _serves_by(self, other: EngineState, key: BatchKey, until: float, now: float) -> bool:
        """Whether ``other``, which has the model loaded, may run the first job of ``key``, and will have done
        it in ``until`` seconds as far as anything is known."""
        head = self._queue.head(key)
        able = other.reliable and other.limits.of(key.model) > 0
        if not able or head is None or not self._may_run(head.job, other):
            return False
        free_in = other.free_in(now)
        return free_in is None or free_in + (self._seconds(other, key, 1, swap=False) or 0.0) <= until

    def _note_warm(self, engine_state: EngineState) -> None:
        """Keep note of what is loaded on living engines."""
        before = self._warm.pop(engine_state.name, None)
        now = engine_state.warm if engine_state.living and engine_state.name in self.engines.states else None
        if before is not None:
            loaded = self._with_loaded[before]
            del loaded[engine_state.name]
            if not loaded:
                del self._with_loaded[before]
        if now is not None:
            self._warm[engine_state.name] = now
            self._with_loaded.setdefault(now, {})[engine_state.name] = engine_state

    def _gathering(self, engine_state: EngineState, jobs: list[Job], limit: int, now: float) -> bool:
        """An idle engine waits a moment for a batch to fill: until nobody is ``expected`` and nobody came
        for a while, at most ``window`` seconds from the first one's arrival."""
        if engine_state.batches or len(jobs) >= limit or self._window <= 0:
            return False
        arrivals = [self._arrived.get(job.id, 0.0) for job in jobs]
        until = min(arrivals) + self._window
        if not self.expected:
            until = min(until, max(arrivals) + QUIET * self._window)
        left = until - now
        if left <= 0:
            return False
        self._look_again(left)
        return True

    def _stands_back(self, engine_state: EngineState, jobs: list[Job], now: float) -> bool:
        """Whether the other engines would have finished all that waits, these jobs included, before
        this engine had finished them."""
        key, rows = jobs[0].key, len(jobs)
        mine = self._seconds(engine_state, key, rows, swap=engine_state.warm != self.weights(key))
        if mine is None:
            return False
        fastest = self._fastest(key, rows, now)
        if fastest is None or mine <= SLOWER * fastest:
            return False
        limit = engine_state.rows(key.model)
        if len(self._queue) > PLANNED * limit * (mine / max(fastest, 1e-3) + 1.0):
            return False  # more than the others could do in that time, whoever they are
        others = [
            s
            for s in self.engines.states.values()
            if s is not engine_state and s.reliable and s.limits.of(key.model) > 0
            if not self._avoid or all(self._may_run(job, s) for job in jobs)
        ]
        near = nsmallest(PLANNED, others, key=lambda s: s.free_in(now) or 0.0)
        lanes = [lane for s in near if (lane := self.lane(s, now))]
        mine += engine_state.free_in(now) or 0.0
        if finish_by(lanes, self._work_until(key), within=SOONER * mine) is None:
            return False
        self._look_again(RECHECK)
        self._stood_back[engine_state.name] = (mine, engine_state, jobs)
        return True

    def _fastest(self, key: BatchKey, rows: int, now: float) -> float | None:
        """What the run takes on the fastest living engine, looked up once a second at most."""
        known = self._fastest_known.get((key, rows))
        if known is not None and known[0] > now:
            return known[1]
        seconds = [
            time
            for engine_state in self.engines.states.values()
            if engine_state.living and not engine_state.sick and engine_state.limits.of(key.model) > 0
            if (time := self._seconds(engine_state, key, rows, swap=False)) is not None
        ]
        if len(self._fastest_known) > 1024:
            self._fastest_known.clear()
        fastest = min(seconds, default=None)
        self._fastest_known[key, rows] = (now + FASTEST_FOR, fastest)
        return fastest

    def _work_until(self, key: BatchKey) -> list[Work]:
        """Everything that waits, the jobs in question last."""
        work = [
            Work(key=other, weights=self.weights(other), count=self._queue.waiting_count(other))
            for other in self._queue.batch_keys()
            if other != key
        ]
        work.append(Work(key=key, weights=self.weights(key), count=self._queue.waiting_count(key)))
        return work

    # ── values for planners ─────────────────────────────────────────────────────────────────────

    def weights(self, key: BatchKey) -> str:
        """What must be loaded for jobs of ``key``."""
        return self._offers.by_id[key.model].weights or key.model

    def lane(self, engine_state: EngineState, now: float) -> Lane | None:
        """The engine as a planner sees it, or None while it cannot be told when it is free."""
        free_in = engine_state.free_in(now)
        if free_in is None:
            return None
        return Lane(
            name=engine_state.name,
            free_in=free_in,
            warm=engine_state.warm,
            limit=engine_state.rows,
            seconds=lambda key, rows, swap: self._seconds(engine_state, key, rows, swap=swap),
        )

    def _seconds(self, engine_state: EngineState, key: BatchKey, rows: int, *, swap: bool) -> float | None:
        duration = self._durations.predict(engine_state.name, key.model, rows, swap=swap)
        return None if duration is None else duration.total
