"""What could be brought nowhere, pictures and failures: shown at their owner's next command."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.job_records import job_of
from modules.discord.delivery.message_search import find_result
from modules.discord.delivery.picture_delivery import FILE_LIMIT
from modules.discord.delivery.result_message import ResultMessages, is_nsfw
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


class UndeliveredPictures:
    """Nothing is shown twice: what a former process may have posted is looked for before it is posted."""

    def __init__(
        self,
        *,
        history: History,
        failures: FailureNotices,
        channels: SessionChannels,
        result_messages: ResultMessages,
        offers: Sequence[ModelOffer],
        message_client: MessageClient,
    ) -> None:
        self._history, self._failures, self._channels = history, failures, channels
        self._result_messages, self._offers, self._message_client = (
            result_messages,
            offers,
            message_client,
        )
        self._busy: set[int] = set()

    async def waits_for(self, user_id: int) -> bool:
        """Whether something is to be shown to them."""
        return self._failures.waits_for(user_id) or bool(await self._history.kept(user_id))

    async def show(
        self, guild_id: int, user_id: int, *, name: str, locale: str, preferences: UserPreferences
    ) -> None:
        """Post what waits for somebody in their channel, made if need be; what cannot be posted waits on."""
        if user_id in self._busy:
            return
        self._busy.add(user_id)
        try:
            waiting = await self._history.kept(user_id)
            channel = await self._channels.open(
                guild_id,
                user_id,
                name=name,
                locale=locale,
                age_restricted=any(is_nsfw(self._offers, record.request) for record, _ in waiting),
            )
            for record, picture in waiting:
                await self._post(record, picture, channel.id, preferences)
            await self._failures.show(user_id, channel.id)
        except (MessageError, TooManyChannels, *DISCORD_ERRORS) as error:
            log.info("what is kept for %s stays kept: %s", user_id, error)
        finally:
            self._busy.discard(user_id)

    async def _post(
        self, record: JobRecord, picture: Picture, channel_id: int, preferences: UserPreferences
    ) -> None:
        if record.report is None:
            return
        finished = Finished(job=job_of(record), picture=picture, report=record.report)
        outgoing = await self._result_messages.of(
            finished, where="channel", limit=FILE_LIMIT, wanted=preferences
        )
        # A former process may have posted it and died before it could note so.
        since = record.ended_at or record.queued_at
        message_id, size = (
            await find_result(self._message_client, channel_id, record.job_id, since=since),
            None,
        )
        if message_id is None:
            once = nonce(record.job_id, channel_id, "kept")
            posted = await self._message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
            message_id, size = posted.message_id, outgoing.picture_size
        await self._history.kept_done(record.job_id, channel_id=channel_id, message_id=message_id, size=size)
