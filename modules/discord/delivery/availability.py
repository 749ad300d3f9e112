"""Whether pictures can be made right now, for what people read."""

from __future__ import annotations

from modules.discord.delivery.status_text import Hindrance, Starting
from modules.queue_manager.jobs import Job
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.status import Stranded
from modules.queue_manager.workers.cold_start import ColdStart
from modules.queue_manager.workers.fleet import Fleet


class Availability:
    def __init__(self, *, queue: QueueManager, fleet: Fleet, cold_start: ColdStart) -> None:
        self._queue, self._fleet, self._cold_start = queue, fleet, cold_start

    def hindrance(self) -> Hindrance | None:
        """Why nothing is being made right now, if so."""
        if self._queue.status().paused:
            return "paused"
        if all(engine.state in ("down", "draining") for engine in self._fleet.engines()):
            seconds = self._cold_start.seconds()
            return "no-server" if seconds is None else Starting(seconds)
        return None

    def stranded(self, job: Job) -> Stranded | None:
        """Until when it waits for a server to get its model, if none has it."""
        return self._queue.stranded.of(job)

    def served(self, job: Job) -> bool:
        """Whether a server that is up can make it."""
        need = job.key.need
        return any(
            engine.state in ("idle", "busy")
            and need.model in engine.models
            and (not need.lora or need.lora in engine.loras)
            for engine in self._fleet.engines()
        )
