"""Delivers pictures and failures that could not be shown: by itself once something has changed, and at their
owner's next command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from logging import getLogger

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.job_records import job_of
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.message_client import MessageClient
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import StoreError
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import JobId, Picture
from modules.queue_manager.ports import Clock, Finished, PictureDelivery
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History

log = getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
"""Seconds between two tries where nothing is known to have changed."""


@dataclass(kw_only=True, eq=False)
class UndeliveredPictures:
    """Tries every way that a new picture is delivered, and shows nothing twice: what a former try may have
    posted is searched for first. ``take_down`` removes the message that says that a picture is kept."""

    history: History
    failures: FailureNotices
    delivery: PictureDelivery
    channels: SessionChannels
    message_client: MessageClient
    take_down: Callable[[JobId], Awaitable[None]]
    clock: Clock
    _busy: set[int] = field(init=False, default_factory=set)
    _changed: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def note_change(self) -> None:
        """Discord is back, or channels or permissions have changed: what was refused may work."""
        self.message_client.forgive()
        self._changed.set()

    async def run(self) -> None:
        """Try again after each change, and now and then without one, until cancelled."""
        pauses = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        while True:
            self._changed.clear()
            try:
                for user_id in {*await self.history.kept_for(), *self.failures.waiting()}:
                    await self.show(user_id)
            except StoreError as error:
                log.info("undelivered pictures wait for the database: %s", error)
            except Exception:
                log.exception("undelivered pictures still wait")
            waiting = asyncio.ensure_future(self._changed.wait())
            pause = asyncio.ensure_future(self.clock.sleep(pauses.pause()))
            try:
                await asyncio.wait([waiting, pause], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                pause.cancel()
            if self._changed.is_set():
                pauses.reset()

    async def waits_for(self, user_id: int) -> bool:
        return user_id in self.failures.waiting() or bool(await self.history.undelivered(user_id))

    async def show_now(self, guild_id: int, user_id: int) -> None:
        """Show what waits for somebody who has just used the bot, also where it was refused before."""
        session = await self.channels.current(guild_id, user_id)
        waiting = await self.history.undelivered(user_id)
        places = {session, *(record.request.channel_id for record, _ in waiting)}
        self.message_client.forgive(user_id, *(place for place in places if place is not None))
        await self.show(user_id)

    async def show(self, user_id: int) -> None:
        """Show what waits for them; what cannot be shown waits on. Raises a `StoreError`."""
        if user_id in self._busy:
            return
        self._busy.add(user_id)
        try:
            for record, picture in await self.history.undelivered(user_id):
                with about(job_of(record)):
                    if not await self._delivered(record, picture):
                        break
            await self.failures.try_again(user_id)
        finally:
            self._busy.discard(user_id)

    async def _delivered(self, record: JobRecord, picture: Picture) -> bool:
        if record.report is None:
            return False
        job = replace(job_of(record), maybe_posted=True)
        receipt = await self.delivery.deliver(Finished(job=job, picture=picture, report=record.report))
        if receipt.where == "kept" or receipt.channel_id is None:
            return False
        await self.history.mark_delivered(
            job.id, channel_id=receipt.channel_id, message_id=receipt.message_id, size=receipt.size
        )
        await self.take_down(job.id)
        return True
