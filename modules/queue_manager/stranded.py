"""Jobs whose model no server can run any more: they wait for a stated time, then fail, and free their places.

A server that is down may come back, so jobs go on waiting for what it could run; so they do while no server
is in use at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.queue_manager.errors import ModelGone
from modules.queue_manager.jobs import Job
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock
from modules.queue_manager.retry import Retry
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.status import Stranded

PATIENCE = 900.0
"""Seconds that a job waits for a server to get its model."""

EVERY_SECONDS = 2.0


@dataclass(kw_only=True, eq=False, repr=False)
class StrandedJobs:
    """`watch` is its whole life."""

    queue: FairQueue
    dispatcher: Dispatcher
    offers: Offers
    retry: Retry
    clock: Clock
    _until: dict[str, float] = field(init=False, default_factory=dict)

    async def watch(self) -> None:
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            await self._look()

    def of(self, job: Job) -> Stranded | None:
        """Until when the job waits, if no server can run its model."""
        until, model = self._until.get(job.key.model), job.key.model
        if until is None:
            return None
        at = self.clock.unix() + until - self.clock.now()
        return Stranded(model=self.offers.by_id[model].label, until=at)

    async def _look(self) -> None:
        now = self.clock.now()
        stranded = [model for model in self.queue.models() if not self._may_run(model)]
        self._until = {model: self._until.get(model, now + PATIENCE) for model in stranded}
        given_up = {model for model, until in self._until.items() if until <= now}
        for entry in [e for e in self.queue.entries() if e.waiting and e.job.key.model in given_up]:
            label = self.offers.by_id[entry.job.key.model].label
            await self.retry.fail(entry.job, ModelGone(f"no server can run {label} any more", model=label))

    def _may_run(self, model: str) -> bool:
        """Whether a server in use can run the model, or has not said yet."""
        staying = [e for e in self.dispatcher.engines.states.values() if e.state != "draining"]
        return not staying or any(not e.asked or e.limits.of(model) > 0 for e in staying)
