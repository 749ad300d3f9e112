"""Keeps one status message per job, or per set of jobs, up to date: place, steps, preview, end. Each edit, at
most one every two seconds, shows the newest state; one that is out of date before its turn is never sent.

An edit notifies nobody, so a failure that an edit shows is told by a short new message, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from logging import getLogger
from typing import Any, Literal

import discord

from modules.discord.delivery.job_records import error_of, job_of
from modules.discord.delivery.message_search import StatusMessageSearch
from modules.discord.delivery.status_text import (
    ENDED,
    Hindrance,
    StatusText,
    cancelled_stage,
    is_soon,
    lead,
    render,
    worth_telling,
)
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    EDITABLE_FOR,
    OLD_MESSAGE_EDITS,
    DiscordAway,
    FileUpload,
    MessageClient,
    MessageError,
    OutgoingMessage,
    Posted,
    Refused,
)
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.formatting import message_link, nonce
from modules.discord.ui.layout import layout, text
from modules.discord.ui.translations import Translations
from modules.queue_manager.backports import gather_or_cancel, timeout
from modules.queue_manager.errors import StoreError, StoreUnavailable
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
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.status_messages import StatusMessages as StatusMessageStore
from modules.utils.images.media_types import EXTENSIONS, media_type

log = getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two edits of one message."""

_PAUSES: Mapping[type[JobEvent], float] = {Started: 0.5, Finished: 1.5}
"""Intervals before an edit, since the next one says more: after a beginning come steps and a preview, and
most pictures are there soon after they were made."""

PLACES_AT_ONCE = 50
"""Waiting jobs whose place is checked in one interval; the others follow in turn."""

GOODBYE_LIMIT = 5.0
"""Most seconds for all status messages together when the bot stops."""

NOWHERE_YET = 0
"""Stands for the id of a message that is about to be posted."""


_Step = tuple[Literal["find", "post", "edit", "remove", "nothing"], Priority]
"""What to do next about a message, and how urgent it is."""


@dataclass(slots=True)
class _Message:
    """A status message, what it shows, and what it should show. ``missing``: jobs that it is about, too, of
    which nothing is known yet. ``sought``: it may have been posted, by a former process or by a request that
    was never answered, and must be searched for. ``noted``: the jobs with which the store knows it.
    ``replaces``: the message in whose place it is posted, so that it has a nonce of its own; ``written_at``:
    by the steady clock. ``shown`` None: not known. ``sent_at``: when it was last sent; ``not_before``: when
    it may be sent again, if that is later. ``owes_mention``: an edit shows a failure of which its owner wants
    to be told. ``waits_for``: the step for which its task waits, while another one can still take its
    place."""

    statuses: dict[JobId, StatusText]
    missing: set[JobId] = field(default_factory=set)
    posted: Posted | None = None
    sought: bool = False
    noted: set[JobId] = field(default_factory=set)
    replaces: int | None = None
    written_at: float | None = None
    shown: list[dict[str, Any]] | None = None
    shown_preview: bytes | None = None
    preview: bytes | None = None
    wants_preview: bool = False
    sent_at: float = float("-inf")
    not_before: float = float("-inf")
    owes_mention: bool = False
    changed: bool = False
    unreachable: bool = False
    task: asyncio.Task[None] | None = None
    waits_for: _Step | None = None

    @property
    def status(self) -> StatusText:
        """The job that tells most."""
        return lead(self.statuses.values())

    @property
    def jobs(self) -> list[Job]:
        return [status.job for status in self.statuses.values()]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to its jobs."""
        return self.status.stage in ENDED and not self.missing

    def put(self, status: StatusText) -> None:
        """That is how a job stands now."""
        self.statuses[status.job.id] = status
        self.missing.discard(status.job.id)


@dataclass(kw_only=True, eq=False)
class LiveStatusMessages:
    """Implements `JobListener`. ``place``, ``hindrance``, ``served`` and ``stranded`` tell how a waiting job
    stands, whether a server that is up can make it, and until when it waits if none can any more;
    ``tell_elsewhere`` shows a failure where its status message cannot."""

    message_client: MessageClient
    store: StatusMessageStore
    preferences: Preferences
    messages: Translations
    clock: Clock
    place: Callable[[JobId], QueuePosition | None]
    hindrance: Callable[[], Hindrance | None]
    served: Callable[[Job], bool]
    stranded: Callable[[Job], Stranded | None]
    tell_elsewhere: Callable[[StatusText], Awaitable[None]]
    interval: float = INTERVAL
    _search: StatusMessageSearch = field(init=False)
    _all: dict[str, _Message] = field(init=False, default_factory=dict)
    _left: dict[JobId, Posted | None] = field(init=False, default_factory=dict)
    _leaving: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._search = StatusMessageSearch(message_client=self.message_client, clock=self.clock)

    async def on_event(self, event: JobEvent) -> None:
        """Note it; each message has its own task, which sends."""
        job = event.job
        message = self._all.get(job.group) or self._taken_up(job)
        left = self._left.pop(job.id, None)
        if message.posted is None:
            message.posted = left
        if not isinstance(event, Progressed):
            message.not_before = self.clock.now() + self.interval * _PAUSES.get(type(event), 0.0)
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

    def _taken_up(self, job: Job) -> _Message:
        """The message about a job of which this process had not heard, with what a former one left."""
        left, sought = self._left.get(job.id), job.id in self._left and self._left[job.id] is None
        missing = {other for other, place in self._left.items() if place == left and left is not None}
        message = self._all[job.group] = _Message(
            statuses={job.id: StatusText(job=job)},
            missing=missing - {job.id},
            posted=left,
            sought=sought,
            noted={job.id, *missing} if left is not None else set(),
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

    def _send_soon(self, message: _Message) -> None:
        message.changed = True
        if message.task is not None and message.waits_for not in (None, _step(message)):
            message.task.cancel()  # its step need not be done any more, or is urgent now
            message.task = message.waits_for = None
        if message.task is None and not self._leaving:
            message.task = asyncio.create_task(self._keep(message), name=f"status {message.status.job.id}")

    async def _keep(self, message: _Message) -> None:
        try:
            while message.changed and not self._leaving:
                message.waits_for = step = _step(message)
                if step[0] == "nothing":  # delivered before anything was shown, or not all is known yet
                    message.changed = False
                    break
                may_go = message.not_before
                if step[0] != "remove":
                    may_go = max(may_go, message.sent_at + self.interval)
                if may_go > self.clock.now():
                    await self.clock.sleep(may_go - self.clock.now())
                message.changed = False
                with about(*message.jobs):
                    await self._bring_up_to_date(message)
        finally:
            if message.task is asyncio.current_task():  # else another task has taken over
                message.task = message.waits_for = None
                if message.ended and not message.changed:
                    self._all.pop(message.status.job.group, None)

    async def _bring_up_to_date(self, message: _Message) -> None:
        """Show how the job stands, a failure elsewhere if the message cannot be reached."""
        if message.status.stage == "failed":
            with suppress(StoreError):  # then they are told
                chosen = await self.preferences.get(message.status.job.request.user_id)
                message.put(replace(message.status, mention=chosen.notify))
        if not message.unreachable:
            await self._show(message)
        if message.unreachable and message.status.stage == "failed":
            failed = [status for status in message.statuses.values() if status.stage == "failed"]
            for status in failed:
                await self.tell_elsewhere(replace(status, mention=message.status.mention))

    async def _show(self, message: _Message) -> None:
        try:
            if message.sought:
                await self._find(message)
            if message.status.stage == "delivered":
                if message.posted is not None:
                    await self.message_client.delete(message.posted, level=Priority.STATUS)
                await self._forget(message)
            else:
                await self._update(message)
        except (DiscordAway, StoreError) as error:
            log.info("the status message is delayed: %s", error)
            message.not_before = self.clock.now() + 2 * self.interval
            message.changed = True
        except Refused as error:
            if error.code == OLD_MESSAGE_EDITS and message.posted is not None:
                message.replaces, message.posted, message.changed = message.posted.message_id, None, True
            elif error.code == BLOCKED_BY_AUTOMOD and message.status.with_prompt:
                for status in message.statuses.values():
                    message.put(replace(status, with_prompt=False))
                message.changed = True
            else:
                log.warning("Discord refused the status message: %s", error)
        except MessageError as error:
            log.info("the status message cannot be shown: %s", error)
            message.unreachable = True
            with suppress(StoreError):  # the next process will find out as this one did
                await self._forget(message)

    async def _update(self, message: _Message) -> None:
        if message.preview is not None and message.status.stage not in ENDED:
            chosen = await self.preferences.get(message.status.job.request.user_id)
            message.wants_preview = chosen.previews
        if message.posted is None or self._look(message) != (message.shown, message.shown_preview):
            await self._send(message)
        if message.posted is not None and not message.noted >= message.statuses.keys():
            await self._note(message, message.posted.message_id)
        if message.owes_mention and message.posted is not None:
            await self._mention(message.status, message.posted)
            message.owes_mention = False
        if message.ended and message.status.stage != "kept" and not message.changed:
            await self._forget(message)

    async def _note(self, message: _Message, message_id: int) -> None:
        job_ids = set(message.statuses)
        await self.store.put(job_ids, message.status.job.request.channel_id, message_id)
        message.noted = job_ids

    async def _forget(self, message: _Message) -> None:
        await self.store.remove({*message.statuses, *message.noted})
        message.noted = set()

    async def _send(self, message: _Message) -> None:
        """Post or edit the message: wait for its turn, and show what is known then."""
        posted = message.posted
        if posted is not None:
            if message.written_at is None:  # by a former process; a wall clock that was set back is no help
                message.written_at = self.clock.now() - max(0.0, self.clock.unix() - posted.written_at)
            if self.clock.now() - message.written_at > EDITABLE_FOR:
                await self.message_client.delete(posted, level=Priority.STATUS)
                message.replaces, message.posted, message.written_at = posted.message_id, None, None
                posted = None
        level, channel_id = _urgency(message.status), message.status.job.request.channel_id
        if posted is None:
            turn = self.message_client.turn_to_post(channel_id, level=level)
        else:
            turn = self.message_client.turn_to_edit(posted, level=level)
        async with turn:
            message.changed, message.waits_for = False, None  # what comes later is for the next time
            await (self._post(message) if posted is None else self._edit(message, posted))

    def _look(self, message: _Message) -> tuple[list[dict[str, Any]], bytes | None]:
        """What the message should show: its layout and its preview."""
        preview = self._preview(message)
        shown: list[dict[str, Any]] = self._rendered(message, preview).to_components()  # type: ignore[no-untyped-call]
        return shown, preview

    def _preview(self, message: _Message) -> bytes | None:
        wanted = message.wants_preview and message.status.stage not in ENDED
        return message.preview if wanted else None

    def _rendered(
        self, message: _Message, preview: bytes | None, *, mention: bool = False
    ) -> discord.ui.LayoutView:
        statuses = sorted(message.statuses.values(), key=lambda status: status.job.number)
        file = None if preview is None else _file_name(preview)
        return render(self.messages, statuses, now=self.clock.unix(), preview=file, mention=mention)

    async def _edit(self, message: _Message, posted: Posted) -> None:
        status, (shown, preview) = message.status, self._look(message)
        files: tuple[FileUpload, ...] | None = None
        if preview is not None and preview is not message.shown_preview:
            files = (FileUpload(name=_file_name(preview), data=preview),)
        elif preview is None and (message.shown is None or message.shown_preview is not None):
            files = ()
        message.sent_at = self.clock.now()
        outgoing = OutgoingMessage(files=files, view=self._rendered(message, preview))
        await self.message_client.edit_now(posted, outgoing)
        message.shown, message.shown_preview = shown, preview
        message.owes_mention = status.stage == "failed" and status.mention

    async def _mention(self, status: StatusText, where: Posted) -> None:
        """Tell the owner of a failure that an edit shows."""
        request, channel_id = status.job.request, where.channel_id
        link = message_link(request.guild_id, channel_id, where.message_id)
        said = self.messages.text(
            request.locale,
            "failed-see",
            owner=f"<@{request.user_id}>",
            number=str(status.job.number),
            link=link,
        )
        outgoing = OutgoingMessage(view=layout(text(said)), mention=request.user_id)
        once = nonce(status.job.id, channel_id, "failed, see there")
        try:
            await self.message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
        except DiscordAway:
            raise
        except MessageError as error:
            log.info("the owner was not mentioned: %s", error)

    async def _post(self, message: _Message) -> None:
        """Post it so that a later process finds it: it is noted before it is there."""
        group, channel_id = message.status.job.group, message.status.job.request.channel_id
        await self._note(message, NOWHERE_YET)
        if message.status.stage == "delivered":
            await self._forget(message)
            return
        shown, preview = self._look(message)
        status = message.status
        mention = status.stage == "failed" and status.mention
        outgoing = OutgoingMessage(
            files=None if preview is None else (FileUpload(name=_file_name(preview), data=preview),),
            view=self._rendered(message, preview, mention=mention),
            mention=status.job.request.user_id if mention else None,
        )
        message.sent_at = self.clock.now()
        message.sought = True
        try:
            once = nonce(group, channel_id, f"status after {message.replaces}")
            message.posted = await self.message_client.post_now(channel_id, outgoing, nonce=once)
            message.written_at = message.sent_at
        except BaseException:
            self._search.forget(channel_id)  # it may have been posted all the same
            raise
        message.shown, message.shown_preview = shown, preview
        await self._note(message, message.posted.message_id)
        message.sought = False

    async def _find(self, message: _Message) -> None:
        job = message.status.job
        message.posted = await self._search.find(job)
        if message.posted is not None:
            # Noted before it is edited: an older message loses the button by which it was found.
            await self._note(message, message.posted.message_id)
        message.sought = False

    async def run(self) -> None:
        while True:
            await self.clock.sleep(self.interval)
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
            rested = self.clock.now() - message.sent_at >= 2 * self.interval
            moved = rested and worth_telling(old.place, placed.place, now=now)
            if other or stranded or moved:
                message.put(placed)
                self._send_soon(message)
        for message in self._all.values():
            if is_soon(message.status, now) and self._look(message)[0] != message.shown:
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
                await self.clock.sleep(self.interval)

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
                await self.message_client.delete(posted, level=Priority.STATUS)
        except MessageError as error:
            log.info("the status message stays: %s", error)
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

    async def _take_leave(self, message: _Message) -> None:
        with about(*message.jobs):
            await self._part(message)

    async def _part(self, message: _Message) -> None:
        if message.ended:
            await self._bring_up_to_date(message)
            return
        for status in message.statuses.values():
            if status.stage not in ENDED:
                message.put(replace(status, stage="restarting"))
        outgoing = OutgoingMessage(files=(), view=self._rendered(message, None))
        try:
            if message.sought:
                await self._find(message)
            if message.posted is None or message.unreachable:
                return
            async with self.message_client.turn_to_edit(message.posted, level=Priority.DELIVER):
                await self.message_client.edit_now(message.posted, outgoing)
        except (MessageError, StoreError) as error:
            log.info("the status message was not updated: %s", error)


def _file_name(preview: bytes) -> str:
    return f"preview.{EXTENSIONS.get(media_type(preview) or '', 'jpg')}"


def _ending(status: StatusText, event: Finished | Delivered | Failed | Cancelled) -> StatusText:
    if isinstance(event, Finished):
        return replace(status, stage="finishing")
    if isinstance(event, Failed):
        return replace(status, stage="failed", error=event.error)
    if isinstance(event, Delivered):
        return replace(status, stage="kept" if event.receipt.where == "kept" else "delivered")
    return replace(status, stage=cancelled_stage(event))


def _step(message: _Message) -> _Step:
    level = _urgency(message.status)
    if message.missing and message.status.stage in ENDED:
        return "nothing", level
    if message.sought:
        return "find", level
    if message.posted is None and message.status.stage in ("finishing", "delivered"):
        return "nothing", level  # the picture itself comes at once
    if message.status.stage == "delivered":
        return "remove", level
    return "post" if message.posted is None else "edit", level


def _urgency(status: StatusText) -> Priority:
    return Priority.DELIVER if status.stage in ("failed", "kept") else Priority.STATUS


def _ended_status(record: JobRecord | None) -> StatusText | None:
    """What the message of a job that ended in a former process should say."""
    if record is None or record.state not in ("delivered", "deleted", "kept", "failed", "cancelled"):
        return None
    job = job_of(record)
    if record.state == "failed":
        return StatusText(job=job, stage="failed", error=error_of(record))
    return StatusText(job=job, stage="delivered" if record.state == "deleted" else record.state)
