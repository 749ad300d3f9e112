"""What becomes of jobs whose run came to nothing: where and with whom they run again, or that they fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modules.queue_manager.errors import AttemptsExhausted, EngineSick, GenerationError, OutOfMemory
from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.jobs import Job
from modules.queue_manager.journal import Journal
from modules.queue_manager.ports import Cancelled, Failed, Requeued
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch

log = logging.getLogger(__name__)

TRIES_ON_SICK = 5
"""How often a job may fail alone on servers that are held to be sick, before it is no longer believed."""


@dataclass(kw_only=True, eq=False, repr=False)
class Retry:
    """Decides by whom an error blames (`GenerationError.blame`)."""

    queue: FairQueue
    dispatcher: Dispatcher
    journal: Journal
    publisher: EventPublisher
    max_attempts: int

    def __post_init__(self) -> None:
        self._engines = self.dispatcher.engines

    async def run_failed(self, in_flight: InFlightBatch, error: GenerationError) -> None:
        """A run came to nothing; its jobs that were not cancelled are ``in_flight.aboard``."""
        jobs, engine, blame = in_flight.aboard, in_flight.engine, error.blame
        if not jobs:
            return
        extra = {"run": in_flight.batch.id, "engine": engine.name, "blame": blame}
        log.warning("Run failed: %s", error, extra=extra)
        if engine.sick and (blame in ("content", "size") or isinstance(error, EngineSick)):
            for job in jobs:
                await self._wait_for_cure(job, error, engine)
        elif len(jobs) > 1 and blame in ("content", "size"):
            half = (len(jobs) + 1) // 2
            size = half if blame == "content" else max(1, engine.limits.of(in_flight.batch.key.model))
            await self._split(jobs, error, size, engine)
        else:
            for job in jobs:
                await self._again(job, error, in_flight)

    async def fetch_failed(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """The run came through, and the job's picture alone could not be had."""
        engine = in_flight.engine
        if error.blame != "content":
            await self._elsewhere(job, error, in_flight)
        elif self._engines.suspect(engine, (job,), error):
            await self._wait_for_cure(job, error, engine)
        elif job.attempts == 0:
            # One try by itself tells whether the job is to blame.
            await self.requeue([replace(job, attempts=1)], error, avoid=engine.name, together=True)
        else:
            await self.fail(job, error)

    def is_last_attempt(self, job: Job) -> bool:
        """Whether the job has one attempt left. That one is its own: if it is this job that kills servers,
        it takes nobody with it, and the others of its batch are served."""
        return 0 < job.attempts == self.max_attempts - 1

    async def requeue(
        self,
        jobs: Sequence[Job],
        error: GenerationError,
        *,
        avoid: str | None = None,
        together: bool = False,
        because: str | None = None,
    ) -> None:
        """The jobs wait again, but for those that were cancelled meanwhile: not on the engine ``avoid`` while
        others can take them, and with nobody else if ``together``, since they failed on ``because``."""
        for job in jobs:
            if self.queue.entry(job.id) is not None:
                await self.journal.record(Requeued(job=job, error=error))
        alive = tuple(job for job in jobs if self.queue.entry(job.id) is not None)
        self.put_back(alive, avoid=avoid, together=together, because=because or avoid)
        for job in alive:
            self.publisher.tell(Requeued(job=job, error=error))

    def put_back(
        self,
        jobs: Sequence[Job],
        *,
        avoid: str | None = None,
        together: bool = False,
        because: str | None = None,
    ) -> None:
        """As `requeue`, of jobs to which nothing happened that has to be written down."""
        for job in jobs:
            self.dispatcher.put_back(job, avoid=avoid)
            if self.is_last_attempt(job) and not together:
                self.dispatcher.keep_together((job,))
        if together and jobs:
            self.dispatcher.keep_together(tuple(jobs), because=because)

    async def fail(self, job: Job, error: GenerationError) -> None:
        """The job ends without a picture, unless it was cancelled meanwhile."""
        if self.queue.entry(job.id) is not None:
            await self.end(Failed(job=job, error=error))

    async def end(self, event: Failed | Cancelled) -> None:
        """The job is over, and it is said only once that is written: it must not come undone by a crash."""
        self.dispatcher.end(event.job.id)
        await self.journal.record(event)
        self.publisher.tell(event)

    # ── by blame ────────────────────────────────────────────────────────────────────────────────

    async def _again(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """What becomes of a job by itself, or of one that is not at fault."""
        if error.blame in ("server", "size"):
            await self._elsewhere(job, error, in_flight)
        elif error.blame == "content":
            await self._prove_elsewhere(job, error, in_flight.engine)
        elif error.blame == "fusion":
            await self.requeue([job], error)
        else:
            await self.fail(job, error)

    async def _elsewhere(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """Once more, on another engine if there is one; what had only waited there does not count."""
        begun = in_flight.started_at is not None or in_flight.run is None or error.blame == "size"
        again = replace(job, attempts=job.attempts + begun)
        if again.attempts < self.max_attempts:
            await self.requeue([again], error, avoid=in_flight.engine.name)
        elif isinstance(error, OutOfMemory):
            await self.fail(again, error)
        else:
            await self.fail(again, AttemptsExhausted(str(error), attempts=again.attempts))

    async def _prove_elsewhere(self, job: Job, error: GenerationError, engine: EngineState) -> None:
        """The job failed alone, for its content: once more on another engine, if there is one. What fails on
        two engines that nothing else speaks against is at fault itself."""
        entry = self.queue.entry(job.id)
        if entry is None:
            return
        entry.failed_on = (*entry.failed_on, engine.name)
        sound = sum(self._engines.trusted(name, job) for name in set(entry.failed_on))
        tried = len(entry.failed_on)
        if sound < 2 and tried <= TRIES_ON_SICK and self.dispatcher.elsewhere(job, entry.failed_on):
            await self.requeue([job], error, avoid=engine.name, together=True)
        else:
            self._engines.blame_job(job, entry.failed_on)
            await self.fail(job, error)

    async def _wait_for_cure(self, job: Job, error: GenerationError, engine: EngineState) -> None:
        """The engine is held to be sick, so the job's failure is not its own, `TRIES_ON_SICK` times."""
        entry = self.queue.entry(job.id)
        if entry is None:
            return
        entry.failed_on = (*entry.failed_on, engine.name)
        if len(entry.failed_on) > TRIES_ON_SICK:
            await self.fail(job, error)
        else:
            await self.requeue([job], EngineSick(engine.record.sentence()), avoid=engine.name)

    async def _split(
        self, jobs: Sequence[Job], error: GenerationError, size: int, engine: EngineState
    ) -> None:
        """Run the jobs again in smaller batches: what is to blame ends up alone."""
        for start in range(0, len(jobs), size):
            await self.requeue(jobs[start : start + size], error, together=True, because=engine.name)
