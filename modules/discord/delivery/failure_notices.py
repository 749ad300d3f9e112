"""Shows a failure whose status message is gone: in the person's channel, in a new one, by direct message, or
later (see `undelivered`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from logging import getLogger

from modules.discord.delivery.result_message import is_nsfw
from modules.discord.delivery.status_poster import NOWHERE_YET
from modules.discord.delivery.status_text import StatusText, render
from modules.discord.rejections import GuildAway
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    DISCORD_ERRORS,
    AlreadyDeleted,
    MessageClient,
    MessageError,
    OutgoingMessage,
    Refused,
)
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.formatting import nonce
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import StoreError, TooManyChannels
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import JobId, ModelOffer
from modules.utils.database.stores.status_messages import StatusMessages as StatusMessageStore

log = getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class FailureNotices:
    """A failure that could be shown nowhere stays in ``store`` as a status message that is still to be
    posted, where the next process finds it."""

    message_client: MessageClient
    channels: SessionChannels
    store: StatusMessageStore
    messages: Translations
    offers: Sequence[ModelOffer]
    _waiting: dict[int, dict[JobId, StatusText]] = field(init=False, default_factory=dict)

    async def tell(self, status: StatusText) -> None:
        """Show a failed job's owner why it failed, later if nothing works now."""
        if await self._told(status):
            return
        job = status.job
        with about(job):
            log.warning("the failure could not be shown to the job's owner; they are told later")
        self._waiting.setdefault(job.request.user_id, {})[job.id] = status
        with suppress(StoreError):
            await self.store.put([job.id], job.request.channel_id, NOWHERE_YET)

    def waiting(self) -> Collection[int]:
        """The people for whom something waits."""
        return self._waiting.keys()

    async def try_again(self, user_id: int) -> None:
        """Show what waits for them; what cannot be shown waits on."""
        for job_id, status in list(self._waiting.get(user_id, {}).items()):
            if not await self._told(status):
                return
            waiting = self._waiting.get(user_id, {})
            waiting.pop(job_id, None)
            if not waiting:
                self._waiting.pop(user_id, None)
            with suppress(StoreError):
                await self.store.remove([job_id])

    async def _told(self, status: StatusText) -> bool:
        with about(status.job):
            async for channel_id, shown in self._destinations(status):
                if await self._post(channel_id, shown):
                    return True
            return False

    def forget(self, user_id: int) -> None:
        self._waiting.pop(user_id, None)

    async def _destinations(self, status: StatusText) -> AsyncIterator[tuple[int, StatusText]]:
        """Where to try, in order, and what to say there. Direct messages cannot be age-restricted, so no NSFW
        prompt goes there."""
        request = status.job.request
        nsfw = is_nsfw(self.offers, request)
        yield request.channel_id, status
        try:
            another = await self.channels.reopen(
                request.guild_id,
                request.user_id,
                avoid=request.channel_id,
                locale=request.locale,
                age_restricted=nsfw,
            )
        except (TooManyChannels, GuildAway, StoreError, *DISCORD_ERRORS) as error:
            log.info("no new channel to show the failure: %s", error)
        else:
            if another is not None:
                yield another, status
        direct = await self.message_client.direct_channel(request.user_id)
        if direct is not None:
            yield direct, replace(status, with_prompt=status.with_prompt and not nsfw)

    async def _post(self, channel_id: int, status: StatusText) -> bool:
        job = status.job
        outgoing = OutgoingMessage(
            view=render(self.messages, [status], mention=status.mention),
            mention=job.request.user_id if status.mention else None,
        )
        once = nonce(job.id, channel_id, "failed" if status.with_prompt else "failed, in short")
        try:
            await self.message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
        except AlreadyDeleted:
            return True
        except MessageError as error:
            if isinstance(error, Refused) and error.code == BLOCKED_BY_AUTOMOD and status.with_prompt:
                return await self._post(channel_id, replace(status, with_prompt=False))
            log.info("the failure could not be shown in channel %s: %s", channel_id, error)
            return False
        return True
