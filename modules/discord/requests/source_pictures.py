"""Reads and cleans the pictures that a request starts from: uploads, former results, other messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.message_client import MessageClient, MessageError, Posted
from modules.discord.ui.message_parts import file_of, pictures_of
from modules.queue_manager.errors import BadSourceImage
from modules.queue_manager.jobs import GenerationRequest, JobId
from modules.utils.database.stores.history import History
from modules.utils.database.stores.jobs import JobJournal
from modules.utils.images.cleaner import CleanPicture, PictureCleaner
from modules.utils.images.media_types import media_type


@dataclass(kw_only=True, eq=False)
class SourcePictures:
    """Every method raises `BadSourceImage` when there is no picture, or none that can be read."""

    cleaner: PictureCleaner
    reader: AttachmentReader
    message_client: MessageClient
    history: History
    jobs: JobJournal

    async def upload(self, url: str) -> CleanPicture:
        """An attachment, read at once (its address expires)."""
        return await self.cleaner.clean(await self.reader.read(url, limit=self.cleaner.max_bytes))

    async def of_job(self, job_id: JobId, message: discord.Message | None = None) -> CleanPicture:
        """The picture that a job made: from the database, the message it is under, or where it was posted."""
        stored = await self.history.picture(job_id)
        if stored is not None:
            return await self.cleaner.clean(stored.data)
        file = file_of(message, job_id) if message is not None else None
        if file is None:
            record = await self.history.job(job_id)
            if record is None or record.channel_id is None or record.message_id is None:
                raise BadSourceImage("gone")
            file = file_of(await self._message(record.channel_id, record.message_id), job_id)
        if file is None:
            raise BadSourceImage("gone")
        return await self.upload(file.url)

    async def of_message(self, channel_id: int, message_id: int) -> CleanPicture:
        """The first picture of a message."""
        pictures = pictures_of(await self._message(channel_id, message_id))
        if not pictures:
            raise BadSourceImage("gone")
        return await self.upload(pictures[0].url)

    async def _message(self, channel_id: int, message_id: int) -> Mapping[str, Any]:
        try:
            return await self.message_client.message(Posted(channel_id=channel_id, message_id=message_id))
        except MessageError as error:
            raise BadSourceImage("gone") from error

    async def sources(self, request: GenerationRequest) -> tuple[CleanPicture, ...]:
        """What an edit started from, as long as the database has it."""
        found = []
        for source in request.sources:
            try:
                data = await self.jobs.source(source.key)
            except KeyError as error:
                raise BadSourceImage("gone") from error
            found.append(
                CleanPicture(data=data, media_type=media_type(data) or "image/png", size=source.size)
            )
        return tuple(found)
