"""The parts that commands, buttons and forms share, and what all of them need to look up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import discord
from discord import app_commands

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.job_records import job_of
from modules.discord.delivery.status_text import Hindrance
from modules.discord.delivery.undelivered import UndeliveredPictures
from modules.discord.interactions.autocomplete import model_choices
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.request_replies import RequestReplies
from modules.discord.rejections import PictureForgotten
from modules.discord.requests.requester import Requester, requester_of
from modules.discord.requests.submission import Submissions
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.message_client import MessageClient, MessageError, Posted
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import BadSourceImage, NoSourceImage
from modules.queue_manager.jobs import GenerationRequest, Job, JobId, Kind, ModelOffer
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.engine import Database
from modules.utils.images.cleaner import CleanPicture, PictureCleaner
from modules.utils.images.media_types import media_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """See the module. ``hindrance``: why nothing is being made just now, if so; ``home``: the guild."""

    queue: QueueManager
    fleet: Fleet
    database: Database
    submissions: Submissions
    channels: SessionChannels
    message_client: MessageClient
    reader: AttachmentReader
    cleaner: PictureCleaner
    messages: Translations
    kept: UndeliveredPictures
    failures: FailureNotices
    request_replies: RequestReplies
    deferrals: Deferrals
    hindrance: Callable[[], Hindrance | None]
    home: Callable[[], discord.Guild | None]
    gallery_channel_id: int | None = None

    @property
    def offers(self) -> tuple[ModelOffer, ...]:
        """What can be asked for."""
        return self.queue.offers

    def model_choices(self, kind: Kind, typed: str, person: Requester) -> list[app_commands.Choice[str]]:
        """The models that fit what somebody types."""
        seconds = self.queue.durations.alone
        return model_choices(self.offers, kind, typed, person, self.messages, seconds=seconds)

    def guild_of(self, channel_id: int) -> int:
        """The guild of a channel that a result went to, for a link there; 0: direct messages."""
        home = self.home()
        return home.id if home is not None and home.get_channel(channel_id) is not None else 0

    async def person(self, interaction: discord.Interaction) -> Requester:
        """Who is asking."""
        return await requester_of(interaction, self.database.preferences, self.home())

    async def job(self, job_id: JobId) -> Job:
        """A job, active or remembered. Raises `PictureForgotten`."""
        active = self.queue.job(job_id)
        if active is not None:
            return active
        record = await self.database.history.job(job_id)
        if record is None:
            raise PictureForgotten
        return job_of(record)

    async def upload(self, url: str) -> CleanPicture:
        """An attachment, read at once (its address expires) and cleaned. Raises `BadSourceImage`."""
        return await self.cleaner.clean(await self.reader.read(url, limit=self.cleaner.max_bytes))

    async def picture(self, job_id: JobId, message: discord.Message | None = None) -> CleanPicture:
        """The picture that a job gave: from the message it is under, the memory, or where it was posted.

        Raises `BadSourceImage`.
        """
        stored = await self.database.history.picture(job_id)
        if stored is not None:
            return await self.cleaner.clean(stored.data)
        if message is not None and message.attachments:
            return await self.upload(message.attachments[0].url)
        record = await self.database.history.job(job_id)
        if record is None or record.channel_id is None or record.message_id is None:
            raise BadSourceImage("gone")
        return await self.posted_picture(record.channel_id, record.message_id)

    async def posted_picture(self, channel_id: int, message_id: int) -> CleanPicture:
        """The first picture of a message. Raises `BadSourceImage`."""
        try:
            message = await self.message_client.message(Posted(channel_id=channel_id, message_id=message_id))
        except MessageError as error:
            raise BadSourceImage("gone") from error
        files = message.get("attachments", ())
        if not files:
            raise BadSourceImage("gone")
        return await self.upload(str(files[0]["url"]))

    async def last_result(self, user_id: int) -> Job:
        """What gave the person's last picture, also after a restart. Raises `NoSourceImage`."""
        record = await self.database.history.last_picture(user_id)
        if record is None:
            raise NoSourceImage
        return job_of(record)

    async def sources(self, request: GenerationRequest) -> tuple[CleanPicture, ...]:
        """What an edit started from, as long as it is kept. Raises `BadSourceImage`."""
        found = []
        for source in request.sources:
            try:
                data = await self.database.jobs.source(source.key)
            except KeyError as error:
                raise BadSourceImage("gone") from error
            found.append(
                CleanPicture(data=data, media_type=media_type(data) or "image/png", size=source.size)
            )
        return tuple(found)
