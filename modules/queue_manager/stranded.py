"""Jobs whose model or LoRA no server has any more: they wait for a stated time, then fail, and free their
places.

A server that is down may come back, so jobs go on waiting for what it could run; the same holds while no
server is in use at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.queue_manager.errors import ModelGone
from modules.queue_manager.jobs import Job, Need
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Clock
from modules.queue_manager.retry import Retry
from modules.queue_manager.scheduling.dispatcher import Dispatcher
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.status import Stranded

PATIENCE = 900.0
"""Seconds that a job waits for a server to get what it needs."""

EVERY_SECONDS = 2.0


@dataclass(kw_only=True, eq=False, repr=False)
class StrandedJobs:
    """Run `watch` for as long as the bot runs."""

    queue: FairQueue
    dispatcher: Dispatcher
    offers: Offers
    retry: Retry
    clock: Clock
    _until: dict[Need, float] = field(init=False, default_factory=dict)

    async def watch(self) -> None:
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            await self._look()

    def of(self, job: Job) -> Stranded | None:
        """Until when the job waits, if no server has what it needs."""
        until = self._until.get(job.key.need)
        if until is None:
            return None
        at = self.clock.unix() + until - self.clock.now()
        return Stranded(model=self._label(job), until=at)

    async def _look(self) -> None:
        now = self.clock.now()
        stranded = [need for need in self.queue.needs() if not self._may_run(need)]
        self._until = {need: self._until.get(need, now + PATIENCE) for need in stranded}
        given_up = {need for need, until in self._until.items() if until <= now}
        for entry in [e for e in self.queue.entries() if e.waiting and e.job.key.need in given_up]:
            label = self._label(entry.job)
            await self.retry.fail(entry.job, ModelGone(f"no server can run {label} any more", model=label))

    def _label(self, job: Job) -> str:
        """The name that people know for what no server has."""
        model, lora = self.offers.by_id[job.key.model].label, job.key.lora
        return model if lora is None else f"{model} + {lora.label}"

    def _may_run(self, need: Need) -> bool:
        """Whether a server in use has what is needed, or has not said yet."""
        staying = [e for e in self.dispatcher.engines.states.values() if e.state != "draining"]
        return not staying or any(not e.asked or e.can(need) for e in staying)
