"""Shows pictures and failures that could not be delivered, at their owner's next command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from logging import getLogger

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.job_records import job_of
from modules.discord.delivery.message_search import find_result
from modules.discord.delivery.picture_delivery import FILE_LIMIT
from modules.discord.delivery.result_message import ResultMessages, is_nsfw
from modules.discord.rejections import GuildAway
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.message_client import DISCORD_ERRORS, MessageClient, MessageError
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.formatting import nonce
from modules.queue_manager.errors import TooManyChannels
from modules.queue_manager.jobs import ModelOffer, Picture
from modules.queue_manager.ports import Finished
from modules.utils.database.rows import JobRecord, UserPreferences
from modules.utils.database.stores.history import History

log = getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class UndeliveredPictures:
    """Shows nothing twice: what a former process may have posted is searched for before it is posted."""

    history: History
    failures: FailureNotices
    channels: SessionChannels
    result_messages: ResultMessages
    offers: Sequence[ModelOffer]
    message_client: MessageClient
    _busy: set[int] = field(init=False, default_factory=set)

    async def waits_for(self, user_id: int) -> bool:
        return self.failures.waits_for(user_id) or bool(await self.history.undelivered(user_id))

    async def show(
        self, guild_id: int, user_id: int, *, name: str, locale: str, preferences: UserPreferences
    ) -> None:
        """Post what waits for them in their channel, made if need be; what cannot be posted waits on."""
        if user_id in self._busy:
            return
        self._busy.add(user_id)
        try:
            waiting = await self.history.undelivered(user_id)
            channel = await self.channels.open(
                guild_id,
                user_id,
                name=name,
                locale=locale,
                age_restricted=any(is_nsfw(self.offers, record.request) for record, _ in waiting),
            )
            for record, picture in waiting:
                await self._post(record, picture, channel.id, preferences)
            await self.failures.show(user_id, channel.id)
        except (MessageError, TooManyChannels, GuildAway, *DISCORD_ERRORS) as error:
            log.info("undelivered pictures of %s cannot be shown yet: %s", user_id, error)
        finally:
            self._busy.discard(user_id)

    async def _post(
        self, record: JobRecord, picture: Picture, channel_id: int, preferences: UserPreferences
    ) -> None:
        if record.report is None:
            return
        finished = Finished(job=job_of(record), picture=picture, report=record.report)
        outgoing = await self.result_messages.of(
            finished, where="channel", limit=FILE_LIMIT, wanted=preferences
        )
        job_id = record.job_id
        # A former process may have posted it and ended before it could note that.
        since = record.ended_at or record.queued_at
        size = None
        message_id = await find_result(self.message_client, channel_id, job_id, since=since)
        if message_id is None:
            once = nonce(job_id, channel_id, "kept")
            posted = await self.message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
            message_id, size = posted.message_id, outgoing.picture_size
        await self.history.mark_delivered(job_id, channel_id=channel_id, message_id=message_id, size=size)
