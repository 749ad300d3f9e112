"""What workers tell of the batches that their engines have, and what follows for the jobs in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine, Mapping

from modules.queue_manager.delivery import Deliveries
from modules.queue_manager.errors import GenerationError
from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.jobs import Batch
from modules.queue_manager.journal import Journal
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock, Dispatched, Progressed, Queued, RunReport, Started
from modules.queue_manager.retry import Retry
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.estimates import DurationBook
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.in_flight import InFlightBatch

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[None, None, None], str], None]
"""Starts a task of the queue's, under a name."""


class RunTracker:
    """The way of a batch: taken, written down, begun, ended; then its pictures are delivered, or its jobs
    wait again."""

    def __init__(
        self,
        *,
        queue: FairQueue,
        dispatcher: Dispatcher,
        deliveries: Deliveries,
        retry: Retry,
        journal: Journal,
        publisher: EventPublisher,
        durations: DurationBook,
        offers: Offers,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._queue = queue
        self.dispatcher = dispatcher
        self._deliveries = deliveries
        self._retry = retry
        self._journal = journal
        self._publisher = publisher
        self._durations = durations
        self._offers = offers
        self._clock = clock
        self._spawn = spawn
        self._orphans: dict[str, tuple[Batch, ...]] = {}

    # ── the way of a batch ──────────────────────────────────────────────────────────────────────

    async def journal_dispatch(self, in_flight: InFlightBatch) -> None:
        """Note where the batch goes, before it goes there."""
        await self._journal.record(Dispatched(batch=in_flight.batch, engine=in_flight.engine_state.name))
        for job in in_flight.aboard:
            log.info(
                "Dispatched",
                extra={"job": job.id, "run": in_flight.batch.id, "engine": in_flight.engine_state.name},
            )

    def started(self, in_flight: InFlightBatch) -> None:
        """The engine began the batch."""
        for job in in_flight.aboard:
            self._queue.mark(job.id, "running")
            self._publisher.tell(
                Started(job=job, engine=in_flight.engine_state.name, batch_size=len(in_flight.batch.jobs))
            )

    def progressed(self, in_flight: InFlightBatch, *, preview: tuple[int, bytes] | None = None) -> None:
        """A step more is done, or a preview came for the job at an index."""
        seconds = in_flight.ends_in(self._clock.now())
        expected = None if seconds is None else self._clock.unix() + seconds + self._deliveries.seconds
        for index, job in enumerate(in_flight.batch.jobs):
            if job.id in in_flight.dropped or (preview is not None and preview[0] != index):
                continue
            self._publisher.tell(
                Progressed(
                    job=job,
                    step=in_flight.step,
                    steps=in_flight.steps,
                    expected_at=expected,
                    preview=preview[1] if preview else None,
                )
            )

    def landed(self, in_flight: InFlightBatch) -> None:
        """The run ended well: learn from it, and deliver while the engine goes on."""
        assert in_flight.started_at is not None
        assert in_flight.ended_at is not None
        seen = in_flight.observed()
        if seen is not None:
            self._durations.learn(seen)
        self.dispatcher.engines.run_ended(in_flight, in_flight.ended_at - in_flight.started_at)
        for job in in_flight.aboard:
            self._queue.mark(job.id, "arriving")
        self.dispatcher.land(in_flight)
        report = RunReport(
            engine=in_flight.engine_state.name,
            batch_size=len(in_flight.batch.jobs),
            started_at=in_flight.started_unix,
            ended_at=self._clock.unix(),
        )
        for index, job in enumerate(in_flight.batch.jobs):
            if job.id not in in_flight.dropped:
                self._spawn(self._deliveries.bring(in_flight, index, job, report), f"deliver {job.id}")

    async def failed(self, in_flight: InFlightBatch, error: GenerationError) -> None:
        """The run came to nothing. What becomes of its jobs is a matter of the error's blame."""
        self._leave(in_flight)
        await self._retry.run_failed(in_flight, error)

    def returned(self, in_flight: InFlightBatch) -> None:
        """The batch was taken back before it began: its jobs wait again as if nothing had been."""
        self._leave(in_flight)
        self._retry.put_back(in_flight.aboard)

    def rescue(self, in_flight: InFlightBatch) -> None:
        """Following the batch failed by a mistake of ours: those of its jobs that nobody else has now wait
        again."""
        self.dispatcher.land(in_flight)
        for job in in_flight.aboard:
            entry = self._queue.entry(job.id)
            if entry is not None and entry.in_flight is in_flight and entry.state != "arriving":
                self._retry.put_back([entry.job])

    def _leave(self, in_flight: InFlightBatch) -> None:
        """The engine has the batch no longer, and where its jobs go is not decided yet."""
        self.dispatcher.land(in_flight)
        for job in in_flight.aboard:
            self._queue.mark(job.id, "taken")

    # ── batches of a former process ─────────────────────────────────────────────────────────────

    def inherit(self, orphans: Mapping[str, tuple[Batch, ...]]) -> None:
        """What a former process gave to engines, by their names."""
        self._orphans = dict(orphans)

    def orphans(self, engine: str) -> tuple[Batch, ...]:
        """Batches that a former process gave to ``engine``; asked for once, by its worker. Those of which
        every job was cancelled since are among them: the server has to be told."""
        batches = self._orphans.pop(engine, ())
        return tuple(batch for batch in batches if batch.key.model in self._offers.by_id)

    def release_orphans(self, engines: Collection[str]) -> None:
        """The fleet consists of ``engines``: what a former process gave to others waits again."""
        for name in [name for name in self._orphans if name not in engines]:
            for batch in self.orphans(name):
                self.return_orphan(batch)

    def return_orphan(self, batch: Batch) -> None:
        """A former process's batch is nowhere any more: its jobs wait again, in their places."""
        for job in batch.jobs:
            entry = self._queue.entry(job.id)
            if entry is not None and entry.state == "taken" and entry.in_flight is None:
                self._retry.put_back([job])
                self._publisher.tell(Queued(job=job))
