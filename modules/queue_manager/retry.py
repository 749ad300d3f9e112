"""Decides what happens to the jobs of a failed run: where and with whom they run again, or that they fail."""

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
"""How often a job may fail alone on sick servers before the job itself fails."""


@dataclass(kw_only=True, eq=False, repr=False)
class Retry:
    """Goes by `GenerationError.blame`."""

    queue: FairQueue
    dispatcher: Dispatcher
    journal: Journal
    publisher: EventPublisher
    max_attempts: int

    def __post_init__(self) -> None:
        self._engines = self.dispatcher.engines

    async def run_failed(self, in_flight: InFlightBatch, error: GenerationError) -> None:
        """Retry or fail the jobs that were not cancelled."""
        jobs, engine, blame = in_flight.aboard, in_flight.engine, error.blame
        if not jobs:
            return
        log.warning("Run failed: %s", error, extra={"engine": engine.name, "blame": blame})
        if engine.sick and (blame in ("content", "size") or isinstance(error, EngineSick)):
            for job in jobs:
                await self._wait_for_cure(job, error, engine)
        elif in_flight.batch.shared and blame in ("content", "size"):
            half = (len(jobs) + 1) // 2
            size = half if blame == "content" else max(1, engine.limits.of(in_flight.batch.key.model))
            await self._split(jobs, error, size, engine)
        else:
            for job in jobs:
                await self._again(job, error, in_flight)

    async def fetch_failed(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """The run succeeded, but the job's picture could not be fetched."""
        engine = in_flight.engine
        if error.blame != "content":
            await self._elsewhere(job, error, in_flight)
        elif self._engines.suspect(engine, (job,), error):
            await self._wait_for_cure(job, error, engine)
        elif job.attempts == 0:
            # One run by itself shows whether the job is to blame.
            await self.requeue([replace(job, attempts=1)], error, avoid=engine.name, because=engine.name)
        else:
            await self.fail(job, error)

    def is_last_attempt(self, job: Job) -> bool:
        """Whether the job has one attempt left. It makes that one alone: if it is the job that kills servers,
        no other job fails with it."""
        return 0 < job.attempts == self.max_attempts - 1

    async def requeue(
        self,
        jobs: Sequence[Job],
        error: GenerationError,
        *,
        avoid: str | None = None,
        because: str | None = None,
    ) -> None:
        """The jobs wait again, except those cancelled meanwhile: not for the engine ``avoid`` while others
        can take them; with ``because``, the engine on which they failed, they run together and with no
        others."""
        for job in jobs:
            if self.queue.entry(job.id) is not None:
                await self.journal.record(Requeued(job=job, error=error))
        alive = tuple(job for job in jobs if self.queue.entry(job.id) is not None)
        self.put_back(alive, avoid=avoid, because=because)
        for job in alive:
            self.publisher.tell(Requeued(job=job, error=error))

    def put_back(self, jobs: Sequence[Job], *, avoid: str | None = None, because: str | None = None) -> None:
        """Like `requeue`, for jobs to which nothing happened that the journal must know."""
        for job in jobs:
            self.dispatcher.put_back(job, avoid=avoid)
            if self.is_last_attempt(job) and because is None:
                self.dispatcher.keep_together((job,))
        if because is not None and jobs:
            self.dispatcher.keep_together(tuple(jobs), because=because)

    async def fail(self, job: Job, error: GenerationError) -> None:
        """The job ends without a picture, unless it was cancelled meanwhile."""
        if self.queue.entry(job.id) is not None:
            await self.end(Failed(job=job, error=error))

    async def end(self, event: Failed | Cancelled) -> None:
        """End the job. Listeners hear of it once it is journaled, so that a crash cannot undo it."""
        self.dispatcher.end(event.job.id)
        await self.journal.record(event)
        self.publisher.tell(event)

    async def _again(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """Retry or fail a job that ran alone, or that is not to blame."""
        if error.blame in ("server", "size"):
            await self._elsewhere(job, error, in_flight)
        elif error.blame == "content":
            await self._prove_elsewhere(job, error, in_flight.engine)
        elif error.blame == "fusion":
            await self.requeue([job], error)
        else:
            await self.fail(job, error)

    async def _elsewhere(self, job: Job, error: GenerationError, in_flight: InFlightBatch) -> None:
        """Once more, on another engine if there is one. It counts as an attempt, unless the run still waited
        in the server's queue."""
        begun = in_flight.started_at is not None or in_flight.run is None or error.blame == "size"
        again = replace(job, attempts=job.attempts + begun)
        if again.attempts < self.max_attempts:
            await self.requeue([again], error, avoid=in_flight.engine.name)
        elif isinstance(error, OutOfMemory):
            await self.fail(again, error)
        else:
            await self.fail(again, AttemptsExhausted(str(error), attempts=again.attempts))

    async def _prove_elsewhere(self, job: Job, error: GenerationError, engine: EngineState) -> None:
        """The job failed alone, for its content: once more on another engine, if there is one. A job that
        fails on two trusted engines is to blame itself."""
        entry = self.queue.entry(job.id)
        if entry is None:
            return
        entry.failed_on = (*entry.failed_on, engine.name)
        sound = sum(self._engines.trusted(name, job) for name in set(entry.failed_on))
        tried = len(entry.failed_on)
        if sound < 2 and tried <= TRIES_ON_SICK and self.dispatcher.elsewhere(job, entry.failed_on):
            await self.requeue([job], error, avoid=engine.name, because=engine.name)
        else:
            self._engines.blame_job(job, entry.failed_on)
            await self.fail(job, error)

    async def _wait_for_cure(self, job: Job, error: GenerationError, engine: EngineState) -> None:
        """The engine is sick, so the job is not to blame and waits again, `TRIES_ON_SICK` times at most."""
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
        """Run the jobs again in smaller batches, until the one to blame runs alone."""
        for start in range(0, len(jobs), size):
            await self.requeue(jobs[start : start + size], error, because=engine.name)
