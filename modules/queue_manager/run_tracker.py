"""What workers report of their batches, and what follows for the jobs in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, replace

from modules.queue_manager.delivery import Deliveries
from modules.queue_manager.errors import GenerationError
from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import Batch
from modules.queue_manager.journal import Journal
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock, Dispatched, Progressed, Queued, RunReport, Started
from modules.queue_manager.retry import Retry
from modules.queue_manager.scheduling.costs import PictureCosts
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.estimates import DurationBook
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.in_flight import InFlightBatch

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[None, None, None], str], None]
"""Starts a task of the queue under a name."""


@dataclass(kw_only=True, eq=False, repr=False)
class RunTracker:
    """A batch is journaled, begins and ends; then its pictures are delivered, or its jobs wait again."""

    queue: FairQueue
    dispatcher: Dispatcher
    deliveries: Deliveries
    retry: Retry
    journal: Journal
    publisher: EventPublisher
    durations: DurationBook
    costs: PictureCosts
    offers: Offers
    clock: Clock
    spawn: Spawn

    def __post_init__(self) -> None:
        self._orphans: dict[str, tuple[Batch, ...]] = {}

    async def journal_dispatch(self, in_flight: InFlightBatch) -> None:
        """Journal where the batch goes, before it goes there."""
        await self.journal.record(Dispatched(batch=in_flight.batch, engine=in_flight.engine.name))
        if not in_flight.abandoned:
            log.info("Dispatched", extra={"engine": in_flight.engine.name})

    async def journal_run(self, in_flight: InFlightBatch, run_id: str) -> None:
        """Journal under which id the server has the batch, if that is not ours."""
        if run_id != in_flight.batch.id:
            in_flight.batch = replace(in_flight.batch, id=run_id)
            await self.journal.record(Dispatched(batch=in_flight.batch, engine=in_flight.engine.name))
            log.info("Submitted", extra={"engine": in_flight.engine.name, "server_run": run_id})

    def started(self, in_flight: InFlightBatch) -> None:
        for job in in_flight.aboard:
            self.queue.mark(job.id, "running")
            self.publisher.tell(
                Started(job=job, engine=in_flight.engine.name, batch_size=len(in_flight.batch.jobs))
            )

    def progressed(self, in_flight: InFlightBatch, *, preview: tuple[int, bytes] | None = None) -> None:
        """One more step is done, or a preview came: (index of its job, picture)."""
        seconds = in_flight.ends_in(self.clock.now())
        expected = None if seconds is None else self.clock.unix() + seconds + self.deliveries.seconds
        for index, job in enumerate(in_flight.batch.jobs):
            if job.id in in_flight.dropped or (preview is not None and preview[0] != index):
                continue
            self.publisher.tell(
                Progressed(
                    job=job,
                    step=in_flight.step,
                    steps=in_flight.steps,
                    expected_at=expected,
                    preview=preview[1] if preview else None,
                )
            )

    def landed(self, in_flight: InFlightBatch) -> None:
        """The run succeeded: learn from it, and deliver while the engine goes on."""
        assert in_flight.started_at is not None
        assert in_flight.ended_at is not None
        self.dispatcher.engines.run_ended(in_flight, in_flight.ended_at - in_flight.started_at)
        if (seconds := in_flight.seconds_per_picture()) is not None:
            self.costs.learn(in_flight.batch.key, seconds)
            for job in in_flight.aboard:
                self.queue.took(job.id, seconds)
        for job in in_flight.aboard:
            self.queue.mark(job.id, "arriving")
        self.dispatcher.land(in_flight)
        report = RunReport(
            engine=in_flight.engine.name,
            batch_size=len(in_flight.batch.jobs),
            started_at=in_flight.started_unix,
            ended_at=self.clock.unix(),
        )
        for index, job in enumerate(in_flight.batch.jobs):
            if job.id not in in_flight.dropped:
                name = f"Delivery (job=#{job.number} user={job.request.user_id} job_id={job.id})"
                self.spawn(self.deliveries.bring(in_flight, index, job, report), name)

    async def failed(self, in_flight: InFlightBatch, error: GenerationError) -> None:
        self._leave(in_flight)
        await self.retry.run_failed(in_flight, error)

    def returned(self, in_flight: InFlightBatch) -> None:
        """The batch was taken back before it began: its jobs wait again as if nothing had happened."""
        with about(*in_flight.aboard, run=in_flight.batch.id):
            log.info("Withdrawn before it began", extra={"engine": in_flight.engine.name})
        self._leave(in_flight)
        self.retry.put_back(in_flight.aboard)

    def rescue(self, in_flight: InFlightBatch) -> None:
        """Following the batch failed because of a bug: its jobs that no other batch has now wait again."""
        self.dispatcher.land(in_flight)
        for job in in_flight.aboard:
            entry = self.queue.entry(job.id)
            if entry is not None and entry.in_flight is in_flight and entry.state != "arriving":
                self.retry.put_back([entry.job])

    def _leave(self, in_flight: InFlightBatch) -> None:
        """The engine no longer has the batch; where its jobs go is not decided yet."""
        self.dispatcher.land(in_flight)
        for job in in_flight.aboard:
            self.queue.mark(job.id, "taken")

    def inherit(self, orphans: Mapping[str, tuple[Batch, ...]]) -> None:
        """Take over the batches that an earlier process gave to engines, by their names."""
        self._orphans = dict(orphans)

    def orphans(self, engine: str) -> tuple[Batch, ...]:
        """The batches that an earlier process gave to ``engine``; its worker asks once. Batches whose jobs
        have all been cancelled since are included, because the server still has to drop them."""
        batches = self._orphans.pop(engine, ())
        return tuple(batch for batch in batches if batch.key.model in self.offers.by_id)

    def release_orphans(self, engines: Collection[str]) -> None:
        """The fleet consists of ``engines``: batches given to others wait again."""
        for name in [name for name in self._orphans if name not in engines]:
            for batch in self.orphans(name):
                self.return_orphan(batch)

    def return_orphan(self, batch: Batch) -> None:
        """No server has the batch any more: its jobs wait again, in their places."""
        for job in batch.jobs:
            entry = self.queue.entry(job.id)
            if entry is not None and entry.state == "taken" and entry.in_flight is None:
                self.retry.put_back([job])
                self.publisher.tell(Queued(job=job))
