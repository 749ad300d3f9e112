"""Brings one status message up to date: posts, edits, replaces, finds and removes it, and shows a failure
elsewhere if it cannot be reached.

An edit notifies nobody, so after an edit that shows a failure, a short new message tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Any, Literal

import discord

from modules.discord.delivery.message_search import StatusMessageSearch
from modules.discord.delivery.status_text import ENDED, StatusText, lead, render
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
from modules.queue_manager.errors import StoreError
from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.ports import Clock
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.status_messages import StatusMessages as StatusMessageStore
from modules.utils.images.media_types import EXTENSIONS, media_type

log = getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two edits of one message."""

NOWHERE_YET = 0
"""Stands for the id of a message that is about to be posted."""


Step = tuple[Literal["find", "post", "edit", "remove", "nothing"], Priority]
"""What to do next about a message, and how urgent it is."""


@dataclass(slots=True)
class StatusMessage:
    """A status message, what it shows, and what it should show. ``missing``: jobs that it is about, too, of
    which nothing is known yet. ``sought``: it may have been posted, by a former process or by a request that
    was never answered, and must be searched for. ``noted``: the jobs for which the store has it.
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
    waits_for: Step | None = None

    @property
    def status(self) -> StatusText:
        """The job whose state matters most."""
        return lead(self.statuses.values())

    @property
    def jobs(self) -> list[Job]:
        return [status.job for status in self.statuses.values()]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to its jobs."""
        return self.status.stage in ENDED and not self.missing

    @property
    def urgency(self) -> Priority:
        """How urgent its next change is."""
        return Priority.DELIVER if self.status.stage in ("failed", "kept") else Priority.STATUS

    @property
    def step(self) -> Step:
        """What to do next."""
        stage, level = self.status.stage, self.urgency
        if self.missing and stage in ENDED:
            return "nothing", level
        if self.sought:
            return "find", level
        if self.posted is None and stage in ("finishing", "delivered"):
            return "nothing", level  # the picture itself comes at once
        if stage == "delivered":
            return "remove", level
        return "post" if self.posted is None else "edit", level

    def put(self, status: StatusText) -> None:
        """Set the current state of a job."""
        self.statuses[status.job.id] = status
        self.missing.discard(status.job.id)


@dataclass(kw_only=True, eq=False)
class StatusPoster:
    """``tell_elsewhere`` shows a failure where its status message cannot."""

    message_client: MessageClient
    store: StatusMessageStore
    preferences: Preferences
    messages: Translations
    clock: Clock
    tell_elsewhere: Callable[[StatusText], Awaitable[None]]
    interval: float = INTERVAL
    _search: StatusMessageSearch = field(init=False)

    def __post_init__(self) -> None:
        self._search = StatusMessageSearch(message_client=self.message_client, clock=self.clock)

    async def bring_up_to_date(self, message: StatusMessage) -> None:
        """Show the job's state; a failure is shown elsewhere if the message cannot be reached."""
        if message.status.stage == "failed":
            with suppress(StoreError):  # if it cannot be read, they are mentioned
                chosen = await self.preferences.get(message.status.job.request.user_id)
                message.put(replace(message.status, mention=chosen.notify))
        if not message.unreachable:
            await self._show(message)
        if message.unreachable and message.status.stage == "failed":
            failed = [status for status in message.statuses.values() if status.stage == "failed"]
            for status in failed:
                await self.tell_elsewhere(replace(status, mention=message.status.mention))

    async def _show(self, message: StatusMessage) -> None:
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

    async def _update(self, message: StatusMessage) -> None:
        if message.preview is not None and message.status.stage not in ENDED:
            chosen = await self.preferences.get(message.status.job.request.user_id)
            message.wants_preview = chosen.previews
        if message.posted is None or self.shows(message) != (message.shown, message.shown_preview):
            await self._send(message)
        if message.posted is not None and not message.noted >= message.statuses.keys():
            await self._note(message, message.posted.message_id)
        if message.owes_mention and message.posted is not None:
            await self._mention(message.status, message.posted)
            message.owes_mention = False
        if message.ended and message.status.stage != "kept" and not message.changed:
            await self._forget(message)

    async def _note(self, message: StatusMessage, message_id: int) -> None:
        job_ids = set(message.statuses)
        await self.store.put(job_ids, message.status.job.request.channel_id, message_id)
        message.noted = job_ids

    async def _forget(self, message: StatusMessage) -> None:
        await self.store.remove({*message.statuses, *message.noted})
        message.noted = set()

    async def _send(self, message: StatusMessage) -> None:
        """Post or edit the message: wait for its turn, and show what is known then."""
        posted = message.posted
        if posted is not None:
            if message.written_at is None:  # by a former process; max(): the clock may have been set back
                message.written_at = self.clock.now() - max(0.0, self.clock.unix() - posted.written_at)
            if self.clock.now() - message.written_at > EDITABLE_FOR:
                await self.message_client.delete(posted, level=Priority.STATUS)
                message.replaces, message.posted, message.written_at = posted.message_id, None, None
                posted = None
        level, channel_id = message.urgency, message.status.job.request.channel_id
        if posted is None:
            turn = self.message_client.turn_to_post(channel_id, level=level)
        else:
            turn = self.message_client.turn_to_edit(posted, level=level)
        async with turn:
            message.changed, message.waits_for = False, None  # what comes later is for the next time
            await (self._post(message) if posted is None else self._edit(message, posted))

    def shows(self, message: StatusMessage) -> tuple[list[dict[str, Any]], bytes | None]:
        """What the message should show: its layout and its preview."""
        preview = self._preview(message)
        shown: list[dict[str, Any]] = self._rendered(message, preview).to_components()  # type: ignore[no-untyped-call]
        return shown, preview

    def _preview(self, message: StatusMessage) -> bytes | None:
        wanted = message.wants_preview and message.status.stage not in ENDED
        return message.preview if wanted else None

    def _rendered(
        self, message: StatusMessage, preview: bytes | None, *, mention: bool = False
    ) -> discord.ui.LayoutView:
        statuses = sorted(message.statuses.values(), key=lambda status: status.job.number)
        file = None if preview is None else _file_name(preview)
        return render(
            self.messages,
            statuses,
            missing=len(message.missing),
            now=self.clock.unix(),
            preview=file,
            mention=mention,
        )

    async def _edit(self, message: StatusMessage, posted: Posted) -> None:
        status, (shown, preview) = message.status, self.shows(message)
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

    async def _post(self, message: StatusMessage) -> None:
        """Post it so that a later process finds it: it is noted before it is there."""
        group, channel_id = message.status.job.group, message.status.job.request.channel_id
        await self._note(message, NOWHERE_YET)
        if message.status.stage == "delivered":
            await self._forget(message)
            return
        shown, preview = self.shows(message)
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

    async def _find(self, message: StatusMessage) -> None:
        job = message.status.job
        message.posted = await self._search.find(job)
        if message.posted is not None:
            # Noted before it is edited: an older message loses the button by which it was found.
            await self._note(message, message.posted.message_id)
        message.sought = False

    async def take_leave(self, message: StatusMessage) -> None:
        """The bot stops: say that waiting jobs keep their place, or how they ended."""
        if message.ended:
            await self.bring_up_to_date(message)
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
