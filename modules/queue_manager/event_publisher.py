"""Tells listeners what happens, each at its own pace, and logs one line for each step of a job."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace

from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import JobId
from modules.queue_manager.ports import (
    Cancelled,
    Delivered,
    Failed,
    Finished,
    JobEvent,
    JobListener,
    Progressed,
    Queued,
    Requeued,
    Started,
)

log = logging.getLogger(__name__)


class _Line:
    """What one listener still has to hear: of a job's progress, only the newest report."""

    def __init__(self, listener: JobListener) -> None:
        self.listener = listener
        self.events: deque[JobEvent | JobId] = deque()
        self.progress: dict[JobId, Progressed] = {}
        self.wake = asyncio.Event()
        self.heard = asyncio.Event()
        self.heard.set()
        self.task = asyncio.create_task(self._pump(), name=f"tell {type(listener).__name__}")

    def put(self, event: JobEvent) -> None:
        if isinstance(event, Progressed):
            job_id = event.job.id
            older = self.progress.get(job_id)
            if older is None:
                self.events.append(job_id)
            elif event.preview is None and older.preview is not None:
                event = replace(event, preview=older.preview)
            self.progress[job_id] = event
        else:
            self.events.append(event)
        self.heard.clear()
        self.wake.set()

    async def _pump(self) -> None:
        while True:
            while self.events:
                item = self.events.popleft()
                event = self.progress.pop(item) if isinstance(item, str) else item
                with about(event.job):
                    try:
                        await self.listener.on_event(event)
                    except Exception:  # one listener's fault is not the queue's
                        log.exception("A listener failed")
            self.heard.set()
            self.wake.clear()
            await self.wake.wait()


class EventPublisher:
    """One line for each listener, started with the first event."""

    def __init__(self) -> None:
        self._listeners: list[JobListener] = []
        self._lines: list[_Line] = []

    def add(self, listener: JobListener) -> None:
        self._listeners.append(listener)
        if self._lines:
            self._lines.append(_Line(listener))

    def tell(self, event: JobEvent) -> None:
        """Log the event and put it in every listener's line, without the bytes of a picture: they would stay
        in memory until the slowest listener has heard it."""
        _log(event)
        if isinstance(event, Finished):
            event = replace(event, picture=replace(event.picture, data=b""))
        elif isinstance(event, Delivered):
            event = replace(event, picture=None)
        if not self._lines:
            self._lines = [_Line(listener) for listener in self._listeners]
        for line in self._lines:
            line.put(event)

    async def settled(self) -> None:
        for line in self._lines:
            await line.heard.wait()

    async def aclose(self) -> None:
        """Stop, and drop what has not been heard; wait for `settled` first."""
        for line in self._lines:
            line.task.cancel()
        await asyncio.gather(*(line.task for line in self._lines), return_exceptions=True)
        self._lines = []


def _log(event: JobEvent) -> None:
    if isinstance(event, Progressed):
        return
    level, words = logging.INFO, type(event).__name__
    more: dict[str, object] = {}
    if isinstance(event, Queued):
        more = {"model": event.job.request.model}
    elif isinstance(event, Started):
        more = {"engine": event.engine, "batch_size": event.batch_size}
    elif isinstance(event, Finished):
        more = {"engine": event.report.engine, "gpu_seconds": round(event.report.gpu_seconds, 3)}
    elif isinstance(event, Delivered):
        more = {"where": event.receipt.where}
    elif isinstance(event, Cancelled):
        more = {"by": event.by}
    elif isinstance(event, Failed | Requeued):
        level = logging.ERROR if isinstance(event, Failed) else logging.WARNING
        words = f"{words}: {event.error}"
    with about(event.job):
        log.log(level, "%s", words, extra=more)
