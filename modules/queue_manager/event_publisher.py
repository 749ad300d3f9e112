"""Tells listeners what happens, each at its own pace, and the log one line for each turn of a job."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace

from modules.queue_manager.jobs import JobId
from modules.queue_manager.ports import (
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
    """What one listener still has to hear. Of several unheard progress reports of a job, only the
    newest is kept: the others are overtaken."""

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
                event = Progressed(
                    job=event.job,
                    step=event.step,
                    steps=event.steps,
                    expected_at=event.expected_at,
                    preview=older.preview,
                )
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
                try:
                    await self.listener.on_event(event)
                except Exception:  # one listener's fault is not the queue's
                    log.exception("A listener failed", extra={"job": event.job.id})
            self.heard.set()
            self.wake.clear()
            await self.wake.wait()


class EventPublisher:
    """One line for each listener, begun with the first event; `aclose` to finish."""

    def __init__(self) -> None:
        self._listeners: list[JobListener] = []
        self._lines: list[_Line] = []

    def add(self, listener: JobListener) -> None:
        """One more listener, who hears what comes from now on."""
        self._listeners.append(listener)
        if self._lines:
            self._lines.append(_Line(listener))

    def tell(self, event: JobEvent) -> None:
        """Hand the event to everybody's line, and write it down. A finished job's goes without the bytes of
        its picture, which would have to stay in memory until the slowest has heard."""
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
        """Return once everything told so far was heard."""
        for line in self._lines:
            await line.heard.wait()

    async def aclose(self) -> None:
        """Stop. What was not heard by now is dropped; wait for `settled` first."""
        for line in self._lines:
            line.task.cancel()
        await asyncio.gather(*(line.task for line in self._lines), return_exceptions=True)
        self._lines = []


def _log(event: JobEvent) -> None:
    if isinstance(event, Progressed):
        return
    level, words = logging.INFO, type(event).__name__
    about: dict[str, object] = {"job": event.job.id}
    if isinstance(event, Queued):
        about |= {"model": event.job.request.model}
    elif isinstance(event, Started):
        about |= {"engine": event.engine, "batch_size": event.batch_size}
    elif isinstance(event, Finished):
        about |= {"engine": event.report.engine, "gpu_seconds": round(event.report.gpu_seconds, 3)}
    elif isinstance(event, Delivered):
        about |= {"where": event.receipt.where}
    elif isinstance(event, Failed | Requeued):
        level = logging.ERROR if isinstance(event, Failed) else logging.WARNING
        words = f"{words}: {event.error}"
    log.log(level, "%s", words, extra=about)
