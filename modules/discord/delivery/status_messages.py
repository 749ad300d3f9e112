"""Keeps one status message per job up to date: its place, its steps, its preview, its end. Each edit, at most
one every two seconds, shows the newest state; one that is out of date before its turn comes is never sent.

An edit notifies nobody, so a failure that an edit shows is told by a short new message, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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
    render,
    worth_telling,
)
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
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
from modules.queue_manager.status import QueuePosition
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.status_messages import StatusMessages as StatusMessageStore
from modules.utils.images.media_types import EXTENSIONS, media_type

log = getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two edits of one message."""

EDITABLE_FOR = 3300.0
"""Seconds after which a message is replaced: edits of those older than an hour are limited (30046)."""

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
    """A status message, what it shows, and what it should show. ``sought``: it may have been posted, by
    a former process or by a request that was never answered, and must be searched for.
    ``shown`` None: not known. ``sent_at``: when it was last sent; ``not_before``: when it may be sent again,
    if that is later. ``owes_mention``: an edit shows a failure of which its owner wants to be told.
    ``waits_for``: the step for which its task waits, while another one can still take its place."""

    status: StatusText
    posted: Posted | None = None
    sought: bool = False
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


@dataclass(kw_only=True, eq=False)
class LiveStatusMessages:
    """Implements `JobListener`. ``place``, ``hindrance`` and ``served`` tell how a waiting job stands, and
    whether a server that is up can make it; ``tell_elsewhere`` shows a failure where its status message
    cannot."""

    message_client: MessageClient
    store: StatusMessageStore
    preferences: Preferences
    messages: Translations
    clock: Clock
    place: Callable[[JobId], QueuePosition | None]
    hindrance: Callable[[], Hindrance | None]
    served: Callable[[Job], bool]
    tell_elsewhere: Callable[[StatusText], Awaitable[None]]
    interval: float = INTERVAL
    _search: StatusMessageSearch = field(init=False)
    _all: dict[JobId, _Message] = field(init=False, default_factory=dict)
    _left: dict[JobId, Posted | None] = field(init=False, default_factory=dict)
    _leaving: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._search = StatusMessageSearch(message_client=self.message_client, clock=self.clock)

    async def on_event(self, event: JobEvent) -> None:
        """Note it; each message has its own task, which sends."""
        message = self._all.get(event.job.id)
        if message is None:
            sought = event.job.id in self._left and self._left[event.job.id] is None
            left = self._left.pop(event.job.id, None)
            message = _Message(status=StatusText(job=event.job), posted=left, sought=sought)
            self._all[event.job.id] = message
        if isinstance(event, Progressed) and event.preview is not None:
            message.preview = event.preview
        # Most pictures come at once: what is only on its way is said if it takes longer.
        pause = 1.5 * self.interval if isinstance(event, Finished) else 0.0
        message.not_before = self.clock.now() + pause
        message.status = self._after(replace(message.status, job=event.job), event)
        self._send_soon(message)

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
        return replace(status, place=self.place(job.id), hindrance=self.hindrance(), served=self.served(job))

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
                if step[0] == "nothing":  # delivered before anything was shown
                    message.changed = False
                    break
                may_go = message.not_before
                if step[0] != "remove":
                    may_go = max(may_go, message.sent_at + self.interval)
                if may_go > self.clock.now():
                    await self.clock.sleep(may_go - self.clock.now())
                message.changed = False
                await self._bring_up_to_date(message)
        finally:
            if message.task is asyncio.current_task():  # else another task has taken over
                message.task = message.waits_for = None
                if message.status.stage in ENDED and not message.changed:
                    self._all.pop(message.status.job.id, None)

    async def _bring_up_to_date(self, message: _Message) -> None:
        """Show how the job stands, a failure elsewhere if the message cannot be reached."""
        if message.status.stage == "failed":
            with suppress(StoreError):  # then they are told
                chosen = await self.preferences.get(message.status.job.request.user_id)
                message.status = replace(message.status, mention=chosen.notify)
        if not message.unreachable:
            await self._show(message)
        if message.unreachable and message.status.stage == "failed":
            await self.tell_elsewhere(message.status)

    async def _show(self, message: _Message) -> None:
        try:
            if message.sought:
                await self._find(message)
            if message.status.stage == "delivered":
                if message.posted is not None:
                    await self.message_client.delete(message.posted, level=Priority.STATUS)
                await self.store.remove(message.status.job.id)
            else:
                await self._update(message)
        except (DiscordAway, StoreError) as error:
            log.info("the status message of job %s is delayed: %s", message.status.job.id, error)
            message.not_before = self.clock.now() + 2 * self.interval
            message.changed = True
        except Refused as error:
            if error.code == OLD_MESSAGE_EDITS and message.posted is not None:
                message.posted, message.changed = None, True
            elif error.code == BLOCKED_BY_AUTOMOD and message.status.with_prompt:
                message.status, message.changed = replace(message.status, with_prompt=False), True
            else:
                log.warning("Discord refused the status message of job %s: %s", message.status.job.id, error)
        except MessageError as error:
            log.info("the status message of job %s cannot be shown: %s", message.status.job.id, error)
            message.unreachable = True
            with suppress(StoreError):  # the next process will find out as this one did
                await self.store.remove(message.status.job.id)

    async def _update(self, message: _Message) -> None:
        if message.preview is not None and message.status.stage not in ENDED:
            chosen = await self.preferences.get(message.status.job.request.user_id)
            message.wants_preview = chosen.previews
        if message.posted is None or self._look(message) != (message.shown, message.shown_preview):
            await self._send(message)
        if message.owes_mention and message.posted is not None:
            await self._mention(message.status, message.posted)
            message.owes_mention = False
        if message.status.stage in ENDED and not message.changed:
            await self.store.remove(message.status.job.id)

    async def _send(self, message: _Message) -> None:
        """Post or edit the message: wait for its turn, and show what is known then."""
        posted = message.posted
        if posted is not None:
            written_at = discord.utils.snowflake_time(posted.message_id).timestamp()
            if self.clock.unix() - written_at > EDITABLE_FOR:
                await self.message_client.delete(posted, level=Priority.STATUS)
                message.posted = posted = None
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
        shown: list[dict[str, Any]] = self._rendered(message.status, preview).to_components()  # type: ignore[no-untyped-call]
        return shown, preview

    def _preview(self, message: _Message) -> bytes | None:
        wanted = message.wants_preview and message.status.stage not in ENDED
        return message.preview if wanted else None

    def _rendered(
        self, status: StatusText, preview: bytes | None, *, mention: bool = False
    ) -> discord.ui.LayoutView:
        file = None if preview is None else _file_name(preview)
        return render(self.messages, status, now=self.clock.unix(), preview=file, mention=mention)

    async def _edit(self, message: _Message, posted: Posted) -> None:
        status, (shown, preview) = message.status, self._look(message)
        files: tuple[FileUpload, ...] | None = None
        if preview is not None and preview is not message.shown_preview:
            files = (FileUpload(name=_file_name(preview), data=preview),)
        elif preview is None and (message.shown is None or message.shown_preview is not None):
            files = ()
        message.sent_at = self.clock.now()
        outgoing = OutgoingMessage(files=files, view=self._rendered(status, preview))
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
            log.info("the owner of job %s was not mentioned: %s", status.job.id, error)

    async def _post(self, message: _Message) -> None:
        """Post it so that a later process finds it: it is noted before it is there."""
        job_id, channel_id = message.status.job.id, message.status.job.request.channel_id
        await self.store.put(job_id, channel_id, NOWHERE_YET)
        if message.status.stage == "delivered":
            await self.store.remove(job_id)
            return
        shown, preview = self._look(message)
        status = message.status
        mention = status.stage == "failed" and status.mention
        outgoing = OutgoingMessage(
            files=None if preview is None else (FileUpload(name=_file_name(preview), data=preview),),
            view=self._rendered(status, preview, mention=mention),
            mention=status.job.request.user_id if mention else None,
        )
        message.sent_at = self.clock.now()
        message.sought = True
        try:
            once = nonce(job_id, channel_id, "status")
            message.posted = await self.message_client.post_now(channel_id, outgoing, nonce=once)
        except BaseException:
            self._search.forget(channel_id)  # it may have been posted all the same
            raise
        message.shown, message.shown_preview = shown, preview
        await self.store.put(job_id, channel_id, message.posted.message_id)
        message.sought = False

    async def _find(self, message: _Message) -> None:
        job = message.status.job
        message.posted = await self._search.find(job)
        if message.posted is not None:
            # Noted before it is edited: an older message loses the button by which it was found.
            await self.store.put(job.id, message.posted.channel_id, message.posted.message_id)
        message.sought = False

    async def run(self) -> None:
        while True:
            await self.clock.sleep(self.interval)
            self.look_at_places()

    def look_at_places(self) -> None:
        """Compare some of the waiting messages with the queue; the others come next time."""
        now = self.clock.unix()
        waiting = (
            job_id for job_id, message in self._all.items() if message.status.stage in ("queued", "retrying")
        )
        for job_id in list(islice(waiting, PLACES_AT_ONCE)):
            message = self._all.pop(job_id)
            self._all[job_id] = message  # to the end of the line
            old, placed = message.status, self._placed(message.status)
            other = (old.hindrance, old.served) != (placed.hindrance, placed.served)
            if other or worth_telling(old.place, placed.place, now=now):
                message.status = placed
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
            del self._left[job_id]
            if status is None:
                await self.store.remove(job_id)
                continue
            shown = self._placed(status) if job is not None else status
            message = self._all[job_id] = _Message(status=shown, posted=posted, sought=posted is None)
            self._send_soon(message)

    async def _ended(
        self, ended: Callable[[JobId], Coroutine[Any, Any, JobRecord | None]], job_id: JobId
    ) -> JobRecord | None:
        while True:
            try:
                return await ended(job_id)
            except StoreUnavailable as error:
                log.info("the status message of job %s is delayed: %s", job_id, error)
                await self.clock.sleep(self.interval)

    async def say_goodbye(self) -> None:
        """Tell everyone with a waiting job that its place is kept, and show how the others ended."""
        await self.aclose()
        try:
            async with timeout(GOODBYE_LIMIT):
                await gather_or_cancel(self._part(message) for message in list(self._all.values()))
        except asyncio.TimeoutError:
            log.warning("some status messages could not be updated before the restart")

    async def aclose(self) -> None:
        self._leaving = True
        tasks = [message.task for message in self._all.values() if message.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _part(self, message: _Message) -> None:
        if message.status.stage in ENDED:
            await self._bring_up_to_date(message)
            return
        status = replace(message.status, stage="restarting")
        outgoing = OutgoingMessage(files=(), view=self._rendered(status, None))
        try:
            if message.sought:
                await self._find(message)
            if message.posted is None or message.unreachable:
                return
            async with self.message_client.turn_to_edit(message.posted, level=Priority.DELIVER):
                await self.message_client.edit_now(message.posted, outgoing)
        except (MessageError, StoreError) as error:
            log.info("the status message of job %s was not updated: %s", status.job.id, error)


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
    if message.sought:
        return "find", level
    if message.status.stage == "delivered":
        return "nothing" if message.posted is None else "remove", level
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
