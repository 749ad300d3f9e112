"""From a finished run to the owners: fetch a picture, journal it, deliver it, journal that."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.delivery_limiter import ArrivalOrder, DeliveryLimiter
from modules.queue_manager.errors import GenerationError, LeaseLost, StoreUnavailable
from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import Job
from modules.queue_manager.journal import Journal
from modules.queue_manager.ports import Clock, Delivered, Finished, PictureDelivery, Receipt, RunReport
from modules.queue_manager.retry import Retry
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.in_flight import InFlightBatch

log = logging.getLogger(__name__)

DELIVERIES = 8
"""How often delivering may fail for an unknown reason before the job fails."""

OVERTAKEN_AFTER = 5.0
"""Seconds for which a picture waits for an earlier one of its channel."""


@dataclass(kw_only=True, eq=False, repr=False)
class Deliveries:
    """``pictures_at_once``: how many are fetched and delivered, and so in memory, at any time."""

    queue: FairQueue
    dispatcher: Dispatcher
    delivery: PictureDelivery
    retry: Retry
    journal: Journal
    publisher: EventPublisher
    clock: Clock
    pictures_at_once: int

    def __post_init__(self) -> None:
        pictures = self.pictures_at_once
        self._limiter = DeliveryLimiter(pictures=pictures, per_person=max(1, pictures // 8))
        self._order = ArrivalOrder(patience=OVERTAKEN_AFTER)
        self.seconds = 0.0
        """Mean time from the end of a run to the delivery."""

    async def bring(self, in_flight: InFlightBatch, index: int, job: Job, report: RunReport) -> None:
        """Fetch and deliver the picture of the run's job ``index``."""
        with about(job, run=in_flight.batch.id):
            await self._bring(in_flight, index, job, report)

    async def _bring(self, in_flight: InFlightBatch, index: int, job: Job, report: RunReport) -> None:
        assert in_flight.run is not None
        ended = self.clock.now()
        async with (
            self._order.of(job.request.channel_id) as turn,
            self._limiter.place(job.request.user_id),
        ):
            try:
                picture = await in_flight.run.fetch(index)
            except GenerationError as error:
                self.queue.mark(job.id, "taken")
                await self.retry.fetch_failed(job, error, in_flight)
                return
            self.dispatcher.engines.came_through(in_flight.engine, job)
            await turn()
            await self._deliver(Finished(job=job, picture=picture, report=report))
        self.seconds += 0.2 * (self.clock.now() - ended - self.seconds)

    async def _deliver(self, finished: Finished) -> None:
        job = finished.job
        await self.journal.record(finished)
        self.publisher.tell(finished)
        try:
            receipt = await self._receipt(finished)
        except GenerationError as error:
            await self.retry.fail(job, error)
            return
        delivered = Delivered(job=job, receipt=receipt, picture=finished.picture)
        await self.journal.record(delivered)
        self.dispatcher.end(job.id)  # only now: a posted picture cannot be cancelled
        self.publisher.tell(delivered)

    async def _receipt(self, finished: Finished) -> Receipt:
        """Deliver, trying again with growing pauses: forever while the database cannot be reached,
        `DELIVERIES` times after other errors. Each new try first looks whether the picture was posted.

        Raises `GenerationError` when it gives up, and `LeaseLost`.
        """
        tries, backoff = 0, Backoff(first=1.0, longest=60.0)
        while True:
            try:
                return await self.delivery.deliver(finished)
            except LeaseLost:
                self.journal.lost.set()
                raise
            except StoreUnavailable as error:
                log.warning("Could not deliver: %s", error)
            except Exception as error:
                tries += 1
                log.exception("Could not deliver")
                if tries == DELIVERIES:
                    raise GenerationError("the picture was made, but could not be delivered") from error
            await self.clock.sleep(backoff.pause())
            finished = replace(finished, job=replace(finished.job, maybe_posted=True))
