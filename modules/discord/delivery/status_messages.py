"""Keeps one status message per job, or per set of jobs, up to date: place, steps, preview, end. Each edit, at
most one every two seconds, shows the newest state; an edit that is outdated before its turn is never sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from logging import getLogger
from typing import Any

from modules.discord.delivery.job_records import error_of, job_of
from modules.discord.delivery.status_poster import NOWHERE_YET, StatusMessage, StatusPoster
from modules.discord.delivery.status_text import (
    Hindrance,
    StatusText,
    cancelled_stage,
    is_soon,
    worth_telling,
)
from modules.discord.transport.message_client import (
    MessageError,
    Posted,
)
from modules.discord.transport.rate_limiter import Priority
from modules.queue_manager.backports import gather_or_cancel, timeout
from modules.queue_manager.errors import StoreUnavailable
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.ports import (
    Cancelled,
    Clock,
    Delivered,
    Failed,
    Finished,
    JobEvent,
    Progressed,
    Requeued,
    Started,
)
from modules.queue_manager.status import QueuePosition, Stranded
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.status_messages import StatusMessages as StatusMessageStore

log = getLogger(__name__)

_PAUSES: Mapping[type[JobEvent], float] = {Started: 0.5, Finished: 1.5}
"""How many intervals an edit waits after such an event, because a later one says more: after the start of a
run come steps and a preview, and most pictures are delivered soon after they are made."""

PLACES_AT_ONCE = 50
"""Waiting jobs whose place is checked in one interval; the others follow in turn."""

GOODBYE_LIMIT = 5.0
"""Most seconds for all status messages together when the bot stops."""


@dataclass(kw_only=True, eq=False)
class LiveStatusMessages:
    """Implements `JobListener`. ``place``, ``hindrance``, ``served`` and ``stranded`` tell how a waiting job
    stands, whether a server that is up can make it, and until when it waits if none can any more;
    ``together_with`` gives the active jobs of its set."""

    poster: StatusPoster
    store: StatusMessageStore
    clock: Clock
    place: Callable[[JobId], QueuePosition | None]
    hindrance: Callable[[], Hindrance | None]
    served: Callable[[Job], bool]
    stranded: Callable[[Job], Stranded | None]
    together_with: Callable[[Job], Sequence[Job]]
    _all: dict[str, StatusMessage] = field(init=False, default_factory=dict)
    _left: dict[JobId, Posted | None] = field(init=False, default_factory=dict)
    _leaving: bool = field(init=False, default=False)

    async def on_event(self, event: JobEvent) -> None:
        """Note it; each message has its own task, which sends."""
        job = event.job
        message = self._all.get(job.group) or self._taken_up(job)
        left = self._left.pop(job.id, None)
        if message.posted is None:
            message.posted = left
        if not isinstance(event, Progressed):
            message.not_before = self.clock.now() + self.poster.interval * _PAUSES.get(type(event), 0.0)
        before = message.statuses.get(job.id) or StatusText(job=job)
        told_of = message.status.job.id
        message.put(self._after(replace(before, job=job), event))
        if message.status.job.id != told_of:
            message.preview = None
        if isinstance(event, Progressed) and event.preview is not None and message.status.job.id == job.id:
            message.preview = event.preview
        if message.status.stage in ("queued", "retrying") and message.status.job.id != job.id:
            message.put(self._placed(message.status))
        self._send_soon(message)

    def _taken_up(self, job: Job) -> StatusMessage:
        """The message about a job of which this process had not heard, with what a former one left."""
        left, sought = self._left.get(job.id), job.id in self._left and self._left[job.id] is None
        noted = {other for other, place in self._left.items() if place == left and left is not None}
        # jobs that a former process left waiting have had no event yet
        statuses = {one.id: StatusText(job=one) for one in (*self.together_with(job), job)}
        message = self._all[job.group] = StatusMessage(
            statuses=statuses,
            missing=noted - statuses.keys(),
            posted=left,
            sought=sought,
            noted=noted,
        )
        return message

    def _after(self, status: StatusText, event: JobEvent) -> StatusText:
        if isinstance(event, Started):
            place = self.place(event.job.id)
            return replace(
                status,
                stage="started",
                started_at=self.clock.unix(),
                step=0,
                expected_at=place.expected_at if place is not None else None,
                together=event.batch_size,
            )
        if isinstance(event, Progressed):
            return replace(
                status,
                stage="started",
                started_at=status.started_at or self.clock.unix(),
                step=event.step,
                steps=event.steps,
                expected_at=event.expected_at or status.expected_at,
            )
        if isinstance(event, (Finished, Delivered, Failed, Cancelled)):
            return _ending(status, event)
        waiting = replace(status, started_at=None, step=0)
        if isinstance(event, Requeued):
            return self._placed(replace(waiting, stage="retrying", error=event.error))
        return self._placed(replace(waiting, stage="queued"))

    def _placed(self, status: StatusText) -> StatusText:
        job = status.job
        return replace(
            status,
            place=self.place(job.id),
            hindrance=self.hindrance(),
            served=self.served(job),
            stranded=self.stranded(job),
        )

    def _send_soon(self, message: StatusMessage) -> None:
        message.changed = True
        if message.task is not None and message.waits_for not in (None, message.step):
            message.task.cancel()  # its step need not be done any more, or is urgent now
            message.task = message.waits_for = None
        if message.task is None and not self._leaving:
            message.task = asyncio.create_task(self._keep(message), name=f"status {message.status.job.id}")

    async def _keep(self, message: StatusMessage) -> None:
        try:
            while message.changed and not self._leaving:
                message.waits_for = step = message.step
                if step[0] == "nothing":  # delivered before anything was shown, or not all is known yet
                    message.changed = False
                    break
                may_go = message.not_before
                if step[0] != "remove":
                    may_go = max(may_go, message.sent_at + self.poster.interval)
                if may_go > self.clock.now():
                    await self.clock.sleep(may_go - self.clock.now())
                message.changed = False
                with about(*message.jobs):
                    await self.poster.bring_up_to_date(message)
        finally:
            if message.task is asyncio.current_task():  # else another task has taken over
                message.task = message.waits_for = None
                if message.ended and not message.changed:
                    self._all.pop(message.status.job.group, None)

    async def run(self) -> None:
        while True:
            await self.clock.sleep(self.poster.interval)
            self.look_at_places()

    def look_at_places(self) -> None:
        """Compare some of the waiting messages with the queue; the others come next time."""
        now = self.clock.unix()
        waiting = (
            group for group, message in self._all.items() if message.status.stage in ("queued", "retrying")
        )
        for group in list(islice(waiting, PLACES_AT_ONCE)):
            message = self._all.pop(group)
            self._all[group] = message  # to the end of the line
            old, placed = message.status, self._placed(message.status)
            other = (old.hindrance, old.served) != (placed.hindrance, placed.served)
            stranded = (old.stranded is None) != (placed.stranded is None)
            # A place says little beside the countdown, and each edit counts against Discord's limits.
            rested = self.clock.now() - message.sent_at >= 2 * self.poster.interval
            moved = rested and worth_telling(old.place, placed.place, now=now)
            if other or stranded or moved:
                message.put(placed)
                self._send_soon(message)
        for message in self._all.values():
            if is_soon(message.status, now) and self.poster.shows(message)[0] != message.shown:
                self._send_soon(message)  # before its countdown runs out

    async def recall(self) -> None:
        """Read which messages a former process left; to be called before the queue takes up its jobs."""
        self._left = {
            record.job_id: Posted(channel_id=record.channel_id, message_id=record.message_id)
            if record.message_id != NOWHERE_YET
            else None
            for record in await self.store.all()
        }

    async def repair(
        self,
        active: Callable[[JobId], Job | None],
        ended: Callable[[JobId], Coroutine[Any, Any, JobRecord | None]],
    ) -> None:
        """Bring up to date the recalled messages whose jobs have had no event since. ``active`` finds a job
        in the queue, ``ended`` the record of one that is not there."""
        for job_id, posted in list(self._left.items()):
            job = active(job_id)
            record = await self._ended(ended, job_id) if job is None else None
            if job_id not in self._left:
                continue  # an event came in the meantime
            status = StatusText(job=job) if job is not None else _ended_status(record)
            if status is None and record is not None:
                continue  # its end is being written: the event is about to come
            if status is None:
                del self._left[job_id]
                for other in self._all.values():
                    if job_id in other.missing:
                        other.missing.discard(job_id)
                        self._send_soon(other)
                await self.store.remove([job_id])
                continue
            shown = self._placed(status) if job is not None else status
            message = self._all.get(status.job.group) or self._taken_up(status.job)
            del self._left[job_id]
            message.posted = message.posted or posted
            message.sought = message.posted is None
            message.put(shown)
            self._send_soon(message)

    async def _ended(
        self, ended: Callable[[JobId], Coroutine[Any, Any, JobRecord | None]], job_id: JobId
    ) -> JobRecord | None:
        while True:
            try:
                return await ended(job_id)
            except StoreUnavailable as error:
                log.info("a status message is delayed: %s", error, extra={"job_id": job_id})
                await self.clock.sleep(self.poster.interval)

    async def take_down(self, job_id: JobId) -> None:
        """Remove the message that says that a picture is kept: it was delivered."""
        for message in self._all.values():
            if job_id in message.statuses:  # others of its set are still to come
                message.put(replace(message.statuses[job_id], stage="delivered"))
                self._send_soon(message)
                return
        record = await self.store.get(job_id)
        if record is None:
            return
        posted = Posted(channel_id=record.channel_id, message_id=record.message_id)
        try:
            if posted.message_id != NOWHERE_YET:
                await self.poster.message_client.delete(posted, level=Priority.STATUS)
        except MessageError as error:
            log.info("the status message could not be deleted: %s", error)
        await self.store.remove([job_id])

    async def say_goodbye(self) -> None:
        """Tell everyone with a waiting job that its place is kept, and show how the others ended."""
        await self.aclose()
        try:
            async with timeout(GOODBYE_LIMIT):
                await gather_or_cancel(self._take_leave(message) for message in list(self._all.values()))
        except asyncio.TimeoutError:
            log.warning("some status messages could not be updated before the restart")

    async def aclose(self) -> None:
        self._leaving = True
        tasks = [message.task for message in self._all.values() if message.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_leave(self, message: StatusMessage) -> None:
        with about(*message.jobs):
            await self.poster.take_leave(message)


def _ending(status: StatusText, event: Finished | Delivered | Failed | Cancelled) -> StatusText:
    if isinstance(event, Finished):
        return replace(status, stage="finishing")
    if isinstance(event, Failed):
        return replace(status, stage="failed", error=event.error)
    if isinstance(event, Delivered):
        return replace(status, stage="kept" if event.receipt.where == "kept" else "delivered")
    return replace(status, stage=cancelled_stage(event))


def _ended_status(record: JobRecord | None) -> StatusText | None:
    """What the message of a job that ended in a former process should say."""
    if record is None or record.state not in ("delivered", "deleted", "kept", "failed", "cancelled"):
        return None
    job = job_of(record)
    if record.state == "failed":
        return StatusText(job=job, stage="failed", error=error_of(record))
    return StatusText(job=job, stage="delivered" if record.state == "deleted" else record.state)
