"""Finds a job by its id, or by a message that shows its picture: in the queue, the history, the gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import discord

from modules.discord.delivery.job_records import job_of
from modules.discord.rejections import PictureForgotten
from modules.discord.transport.message_client import PAGE_SIZE, MessageClient, MessageError, Posted
from modules.discord.ui.components import jobs_named
from modules.discord.ui.formatting import message_link
from modules.discord.ui.message_parts import ShownFile, custom_ids_of, file_of
from modules.queue_manager.errors import NoSourceImage
from modules.queue_manager.job_log import go_on_about
from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.manager import QueueManager
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History


@dataclass(kw_only=True, eq=False)
class JobLookup:
    """``home`` gives the allowed guild, once it is known."""

    queue: QueueManager
    history: History
    message_client: MessageClient
    home: Callable[[], discord.Guild | None]
    gallery_channel_id: int | None

    async def job(self, job_id: JobId) -> Job:
        """A job, active or remembered, which the interaction is about. Raises `PictureForgotten`."""
        job = self.queue.job(job_id)
        if job is None:
            record = await self.history.job(job_id)
            if record is None:
                raise PictureForgotten
            job = job_of(record)
        go_on_about(job)
        return job

    async def last_result(self, user_id: int) -> Job:
        """The job that made the person's last picture, also after a restart. Raises `NoSourceImage`."""
        record = await self.history.last_picture(user_id)
        if record is None:
            raise NoSourceImage
        return job_of(record)

    async def of_message(self, message: discord.Message) -> Job | None:
        """The job of a result, or of its copy in the gallery, if this message is one and the job is known."""
        record, home = await self.history.by_message(message.id), self.home()
        job_id = record.job_id if record is not None else None
        in_gallery = message.channel.id == self.gallery_channel_id
        if home is not None and message.author == home.me and in_gallery:
            job_id = next(jobs_named(custom_ids_of(message)), None)
        with suppress(PictureForgotten):
            return await self.job(job_id) if job_id is not None else None
        return None

    async def record_of_message(self, channel_id: int | None, message_id: int) -> JobRecord | None:
        """The same for a message that is known by its ids; ``channel_id`` None: any channel."""
        home, gallery = self.home(), self.gallery_channel_id
        record = await self.history.by_message(message_id)
        if record is not None or home is None or gallery is None or channel_id not in (None, gallery):
            return record
        try:
            shown = await self.message_client.message(Posted(channel_id=gallery, message_id=message_id))
        except MessageError:
            return None
        named = jobs_named(custom_ids_of(shown)) if int(shown["author"]["id"]) == home.me.id else iter(())
        job_id = next(named, None)
        return await self.history.job(job_id) if job_id is not None else None

    async def pictures(self, records: Sequence[JobRecord]) -> dict[JobId, ShownFile]:
        """Where the pictures can be seen now, of those whose message is there. Addresses of files expire, so
        the messages are read again: a request for each stretch of `PAGE_SIZE` messages that holds any."""
        wanted: dict[int, dict[int, list[JobId]]] = {}
        for record in records:
            if record.channel_id is not None and record.message_id is not None:
                posted = wanted.setdefault(record.channel_id, {})
                posted.setdefault(record.message_id, []).append(record.job_id)
        found: dict[JobId, ShownFile] = {}
        for channel_id, posted in wanted.items():
            left = set(posted)
            with suppress(MessageError):  # the channel is closed
                while left:
                    page = await self.message_client.page(channel_id, before=max(left) + 1)
                    for message in page:
                        for job_id in posted.get(int(message["id"]), ()):
                            file = file_of(message, job_id)
                            if file is not None:
                                found[job_id] = file
                    read_to = min(int(message["id"]) for message in page) if len(page) == PAGE_SIZE else 0
                    left = {message_id for message_id in left if message_id < read_to}
        return found

    async def link(self, record: JobRecord) -> str | None:
        """Where a result can be seen; None if its channel is closed, or it never was anywhere."""
        home, channel_id, message_id = self.home(), record.channel_id, record.message_id
        if home is None or channel_id is None or message_id is None:
            return None
        if home.get_channel(channel_id) is not None:
            return message_link(home.id, channel_id, message_id)
        if channel_id == record.request.channel_id:
            return None
        direct = await self.message_client.direct_channel(record.request.user_id)
        return message_link(0, channel_id, message_id) if channel_id == direct else None

    def guild_of(self, channel_id: int) -> int:
        """The guild of a channel that a result went to, for a link there; 0: direct messages."""
        home = self.home()
        return home.id if home is not None and home.get_channel(channel_id) is not None else 0
