"""What servers have: an `InFlightBatch` for each batch, an `EngineState` for each server.

The worker that follows a batch writes its `InFlightBatch`; the dispatcher reads it. Times are of the injected
clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.queue_manager.jobs import Batch, Elastic, Job, JobId, Need
from modules.queue_manager.ports import Run
from modules.queue_manager.scheduling.batch_limits import BatchLimits
from modules.queue_manager.scheduling.estimates import Duration, Observation
from modules.queue_manager.scheduling.failure_record import FailureRecord, FusionDoubts
from modules.queue_manager.status import EngineAvailability


@dataclass(kw_only=True, eq=False, slots=True)
class InFlightBatch:
    """One batch on one engine, from the moment it was taken until its pictures are on their way.

    ``expected`` was predicted when it was taken; ``resumed``: an earlier process started it, so its start is
    not known.
    """

    batch: Batch
    engine: EngineState
    weights: str
    swapped: bool
    expected: Duration | None
    taken_at: float
    resumed: bool = False
    started_at: float | None = None
    started_unix: float = 0.0
    ended_at: float | None = None
    step: int = 0
    steps: int = 0
    first_step_at: float | None = None
    last_step_at: float | None = None
    longest_step: float = 0.0
    heard_at: float = 0.0
    run: Run | None = None
    dropped: set[JobId] = field(default_factory=set)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, now: float, unix: float) -> None:
        if self.started_at is None:
            self.started_at, self.started_unix = now, unix
        self.hear(now)

    def advance(self, step: int, steps: int, now: float) -> None:
        if step > self.step or steps != self.steps:
            if self.last_step_at is not None:
                self.longest_step = max(self.longest_step, now - self.last_step_at)
            self.first_step_at = now if self.first_step_at is None and step > 0 else self.first_step_at
            self.last_step_at = now if step > 0 else self.last_step_at
        self.step, self.steps = step, steps
        self.hear(now)

    def hear(self, now: float) -> None:
        """The engine gave a sign of life."""
        self.heard_at = now
        self.moved.set()

    def remaining(self, now: float) -> float | None:
        """Seconds until the engine is done with it; None while that is not known."""
        if self.ended_at is not None:
            return 0.0
        expected = self.expected or self._from_own_pace()
        if expected is None:
            return None
        if self.started_at is None:
            return expected.total
        since_step = now - self.last_step_at if self.last_step_at is not None else 0.0
        return expected.remaining(
            elapsed=now - self.started_at, step=self.step, since_step=since_step, pace=self.pace()
        )

    def ends_in(self, now: float) -> float | None:
        """Seconds until its engine is done with it and with what comes before; None while that is not
        known."""
        if self.engine.elastic is not None:
            return self.remaining(now)
        total = 0.0
        for other in self.engine.batches:
            remaining = other.remaining(now)
            if remaining is None:
                return None
            total += remaining
            if other is self:
                return total
        return 0.0

    def pace(self) -> float | None:
        """Its own seconds per step, once it has done three."""
        if self.first_step_at is None or self.last_step_at is None or self.step < 3:
            return None
        return (self.last_step_at - self.first_step_at) / max(self.step - 1, 1)

    def _from_own_pace(self) -> Duration | None:
        """For a model that never ran before: its first steps show how long the others take."""
        if self.started_at is None or self.step < 2 or self.first_step_at is None:
            return None
        assert self.last_step_at is not None
        pace = (self.last_step_at - self.first_step_at) / (self.step - 1)
        return Duration(load=0.0, before=0.0, step=pace, after=pace, steps=self.steps)

    def observed(self) -> Observation | None:
        """What it took, once it has succeeded."""
        if self.resumed or self.started_at is None or self.ended_at is None:
            return None
        done = self.steps > 0 and self.step >= self.steps
        first = self.first_step_at if done else None
        last = self.last_step_at if done else None
        return Observation(
            engine=self.engine.name,
            model=self.batch.key.model,
            batch_size=len(self.batch.jobs),
            swapped=self.swapped,
            steps=max(self.steps, 1),
            first_step=None if first is None else first - self.started_at,
            last_step=None if last is None else last - self.started_at,
            total=self.ended_at - self.started_at,
            longest_step=self.longest_step,
            work=self.batch.key.size.work,
        )

    def seconds_per_picture(self) -> float | None:
        """Seconds per picture, once it has succeeded, without loading the model."""
        seen = self.observed()
        if seen is None or (seen.swapped and self.expected is None):
            return None
        load = self.expected.load if self.expected is not None else 0.0
        return max(seen.total - load, 0.0) / seen.batch_size

    @property
    def aboard(self) -> list[Job]:
        """Its jobs that were not cancelled."""
        return [job for job in self.batch.jobs if job.id not in self.dropped]

    @property
    def abandoned(self) -> bool:
        """Every job of it was cancelled."""
        return len(self.dropped) == len(self.batch.jobs)


@dataclass(kw_only=True, eq=False, slots=True)
class EngineState:
    """One engine. Only the `Dispatcher` writes what the engine is given (``warm``, ``batches``,
    ``next_batch``), only the `EngineRegistry` the rest.

    ``warm`` are the weights it has loaded, or will have after its batches; ``batches`` are at most two: one
    runs, the other is queued at the server. An ``elastic`` one has at most as many batches as slots, nothing
    is known of what it has loaded, and it takes no more before ``full_until``. ``asked`` is true once it has
    said what it can do. It is ``doubted`` while it is asked whether it is still there, or its run is silent,
    and ``sick`` from the verdict on its ``record`` until a run succeeds: meanwhile it gets one job at a time,
    to show that it works again. ``stir`` wakes its worker.
    """

    name: str
    elastic: Elastic | None = None
    full_until: float = 0.0
    limits: BatchLimits = field(default_factory=BatchLimits)
    state: EngineAvailability = "starting"
    record: FailureRecord = field(default_factory=FailureRecord)
    fusion_doubts: FusionDoubts = field(default_factory=FusionDoubts)
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False
    doubted: bool = False
    sick: bool = False
    since: float = 0.0
    warm: str | None = None
    batches: list[InFlightBatch] = field(default_factory=list)
    next_batch: asyncio.Future[InFlightBatch] | None = None
    notes: tuple[str, ...] = ()
    missing_files: Mapping[str, str] = field(default_factory=dict)
    varies: bool = True
    loras: frozenset[str] = frozenset()
    last_error: str | None = None
    pictures: int = 0
    busy_seconds: float = 0.0

    @property
    def pace(self) -> float:
        """Mean seconds of work for a picture."""
        return self.busy_seconds / self.pictures if self.pictures else 0.0

    @property
    def living(self) -> bool:
        """Whether jobs may go there."""
        return self.state in ("idle", "busy")

    @property
    def reliable(self) -> bool:
        """Whether it can be relied on to take what others leave."""
        return self.living and not self.doubted and not self.sick

    @property
    def slots(self) -> int:
        """How many runs may be at work there."""
        return 1 if self.elastic is None else self.elastic.slots

    def takes(self, job: Job) -> bool:
        """Whether it can do what the job asks for, if it can run the job's model: no platform has the nodes
        that mix the noise of a variation."""
        return self.elastic is None or job.request.variation is None

    def can(self, need: Need) -> bool:
        """Whether it has what a job needs."""
        return self.limits.of(need.model) > 0 and (not need.lora or need.lora in self.loras)

    def rows(self, need: Need) -> int:
        """The most rows of jobs with this need that may go there now; 0: it cannot run them."""
        limit = self.limits.of(need.model) if self.can(need) else 0
        return min(limit, 1) if self.sick else limit

    def free_in(self, now: float) -> float | None:
        """Seconds until all its batches are done, or until a slot is free; None while that is unknown."""
        if self.elastic is not None:
            return min(self.slots_free_in(now), default=None)
        total = 0.0
        for in_flight in self.batches:
            remaining = in_flight.remaining(now)
            if remaining is None:
                return None
            total += remaining
        return total

    def slots_free_in(self, now: float) -> list[float]:
        """Seconds until each slot is free, for the slots of which that is known."""
        free = [0.0] * max(self.slots - len(self.batches), 0)
        free += [left for batch in self.batches if (left := batch.remaining(now)) is not None]
        return [max(left, self.full_until - now) for left in free]
