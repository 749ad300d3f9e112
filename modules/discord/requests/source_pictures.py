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
from modules.queue_manager.jobs import GenerationRequest, JobId, SourceImage
from modules.utils.database.stores.history import History
from modules.utils.database.stores.jobs import JobJournal
from modules.utils.images.cleaner import CleanPicture, Extension, PictureCleaner
from modules.utils.images.media_types import media_type

Marked = tuple[CleanPicture, CleanPicture | None]
"""A picture, and the mask of what is to be painted in it."""


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
        return await self.cleaner.clean(await self._read(url))

    async def painted_in(self, url: str) -> Marked:
        """An attachment and, if it is a PNG with a transparent part, that part as its mask."""
        data = await self._read(url)
        picture = await self.cleaner.clean(data)
        return await self.cleaner.cut(data) if picture.holed else (picture, None)

    async def marked(self, url: str, mask: str) -> Marked:
        """An attachment and its mask, an attachment too. Raises `BadMask`."""
        return await self.cleaner.cut(await self._read(url), await self._read(mask))

    async def marked_of_job(self, job_id: JobId, mask: str) -> Marked:
        """The picture that a job made, and its mask, an attachment. Raises `BadMask`."""
        return await self.cleaner.cut(await self._made(job_id), await self._read(mask))

    async def extended(self, job_id: JobId, message: discord.Message | None, how: Extension) -> Marked:
        """The picture that a job made with room to paint in, and the mask of this room."""
        return await self.cleaner.extend(await self._made(job_id, message), how)

    async def of_job(self, job_id: JobId, message: discord.Message | None = None) -> CleanPicture:
        """The picture that a job made."""
        return await self.cleaner.clean(await self._made(job_id, message))

    async def _read(self, url: str) -> bytes:
        return await self.reader.read(url, limit=self.cleaner.max_bytes)

    async def _made(self, job_id: JobId, message: discord.Message | None = None) -> bytes:
        """A job's picture: from the database, the message it is under, or where it was posted."""
        stored = await self.history.picture(job_id)
        if stored is not None:
            return stored.data
        file = file_of(message, job_id) if message is not None else None
        if file is None:
            record = await self.history.job(job_id)
            if record is None or record.channel_id is None or record.message_id is None:
                raise BadSourceImage("gone")
            file = file_of(await self._message(record.channel_id, record.message_id), job_id)
        if file is None:
            raise BadSourceImage("gone")
        return await self._read(file.url)

    async def of_message(self, channel_id: int, message_id: int) -> Marked:
        """The first picture of a message, as `painted_in` reads it."""
        pictures = pictures_of(await self._message(channel_id, message_id))
        if not pictures:
            raise BadSourceImage("gone")
        return await self.painted_in(pictures[0].url)

    async def _message(self, channel_id: int, message_id: int) -> Mapping[str, Any]:
        try:
            return await self.message_client.message(Posted(channel_id=channel_id, message_id=message_id))
        except MessageError as error:
            raise BadSourceImage("gone") from error

    async def sources(self, request: GenerationRequest) -> tuple[CleanPicture, ...]:
        """What a request started from, as long as the database has it."""
        return tuple([await self._kept(source) for source in request.sources])

    async def mask(self, request: GenerationRequest) -> CleanPicture | None:
        """The mask of a request, as long as the database has it."""
        return None if request.mask is None else await self._kept(request.mask)

    async def _kept(self, source: SourceImage) -> CleanPicture:
        try:
            data = await self.jobs.source(source.key)
        except KeyError as error:
            raise BadSourceImage("gone") from error
        return CleanPicture(data=data, media_type=media_type(data) or "image/png", size=source.size)
