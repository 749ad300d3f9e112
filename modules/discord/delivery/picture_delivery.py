"""Brings a finished picture to its owner, once: to their channel, a new one, by direct message, or kept.

Once means: a nonce makes Discord drop a repeat within minutes; a job that a former process may have
posted is looked for in the channel before it is posted again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from logging import getLogger

from modules.discord.delivery.message_search import find_result
from modules.discord.delivery.result_message import ResultMessages, Where, is_nsfw, without_prompt
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    DISCORD_ERRORS,
    AlreadyDeleted,
    DiscordAway,
    MessageClient,
    MessageError,
    OutgoingMessage,
    Posted,
    Refused,
    TooLarge,
)
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.formatting import nonce
from modules.queue_manager.errors import TooManyChannels
from modules.queue_manager.jobs import Job, ModelOffer
from modules.queue_manager.ports import Clock, Finished, Receipt
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores.preferences import Preferences

log = getLogger(__name__)

FILE_LIMIT = 10 * 1024 * 1024
"""Bytes of a file that Discord takes anywhere; boosted guilds take more."""

LONGEST_PAUSE = 15.0
"""Most seconds between two tries while Discord or the database is away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Destination:
    where: Where
    channel_id: int
    limit: int


class ChannelDelivery:
    """Implements `PictureDelivery`.

    ``patience`` is for how many seconds a Discord that cannot be reached is waited for before the
    picture is kept.
    """

    def __init__(
        self,
        *,
        message_client: MessageClient,
        channels: SessionChannels,
        preferences: Preferences,
        result_messages: ResultMessages,
        offers: Sequence[ModelOffer],
        clock: Clock,
        patience: float = 300.0,
    ) -> None:
        self._message_client, self._channels, self._preferences = message_client, channels, preferences
        self._result_messages, self._offers = result_messages, offers
        self._clock, self._patience = clock, patience

    async def deliver(self, finished: Finished) -> Receipt:
        """See `PictureDelivery.deliver`."""
        job = finished.job
        wanted = await self._preferences.get(job.request.user_id)
        before = await self._delivered_before(job) if job.maybe_posted else None
        receipt = before or await self._bring(finished, wanted)
        if receipt.where == "kept":
            log.warning("job %s could be delivered nowhere and is kept", job.id, extra={"job": job.id})
        return receipt

    async def _bring(self, finished: Finished, wanted: UserPreferences) -> Receipt:
        async for destination in self._destinations(finished.job, direct_first=wanted.direct_message):
            receipt = await self._try(finished, destination, wanted)
            if receipt is not None:
                return receipt
        return Receipt(where="kept")

    async def _try(
        self, finished: Finished, destination: _Destination, wanted: UserPreferences
    ) -> Receipt | None:
        """The receipt, or None if this destination will not do."""
        started, pause = self._clock.now(), 1.0
        while True:
            try:
                return await self._post(finished, destination, wanted)
            except AlreadyDeleted:
                # It was delivered, and its owner has deleted it since.
                return Receipt(where=destination.where, channel_id=destination.channel_id)
            except DiscordAway as error:
                if self._clock.now() - started > self._patience:
                    return None
                log.warning("Discord is away, job %s waits: %s", finished.job.id, error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except MessageError as error:
                log.info("job %s not to %s: %s", finished.job.id, destination.where, error)
                return None

    async def _post(self, finished: Finished, destination: _Destination, wanted: UserPreferences) -> Receipt:
        job, channel_id = finished.job, destination.channel_id
        outgoing = await self._result_messages.of(
            finished, where=destination.where, limit=destination.limit, wanted=wanted
        )
        once = nonce(job.id, channel_id, "result")
        try:
            posted = await self._message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
        except TooLarge:
            limit = FILE_LIMIT // 2
            outgoing = await self._result_messages.of(
                finished, where=destination.where, limit=limit, wanted=wanted
            )
        except Refused as error:
            if error.code != BLOCKED_BY_AUTOMOD:
                raise
            outgoing = without_prompt(outgoing)
        else:
            return _receipt(destination, outgoing, posted)
        once = nonce(job.id, channel_id, "second")
        posted = await self._message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
        return _receipt(destination, outgoing, posted)

    async def _destinations(self, job: Job, *, direct_first: bool) -> AsyncIterator[_Destination]:
        """Where to try, in order. Direct messages know no age restriction."""
        request = job.request
        nsfw = is_nsfw(self._offers, request)
        direct = not nsfw
        if direct and direct_first:
            async for destination in self._direct(request.user_id):
                yield destination
            direct = False
        limit = self._channels.file_limit(request.guild_id) or FILE_LIMIT
        fit = not nsfw or self._channels.is_age_restricted(request.guild_id, request.channel_id)
        if fit:
            yield _Destination(where="channel", channel_id=request.channel_id, limit=limit)
        another = await self._another_channel(job, nsfw=nsfw, avoid=request.channel_id if fit else None)
        if another is not None:
            where: Where = "channel" if another == request.channel_id else "new-channel"
            yield _Destination(where=where, channel_id=another, limit=limit)
        if direct:
            async for destination in self._direct(request.user_id):
                yield destination

    async def _another_channel(self, job: Job, *, nsfw: bool, avoid: int | None) -> int | None:
        request = job.request
        try:
            return await self._channels.reopen(
                request.guild_id,
                request.user_id,
                avoid=avoid,
                locale=request.locale,
                age_restricted=nsfw,
            )
        except (TooManyChannels, *DISCORD_ERRORS) as error:
            log.info("no new channel for job %s: %s", job.id, error)
            return None

    async def _direct(self, user_id: int) -> AsyncIterator[_Destination]:
        try:
            channel_id = await self._message_client.direct_channel(user_id)
        except MessageError as error:
            log.info("no direct messages with %s: %s", user_id, error)
        else:
            yield _Destination(where="direct-message", channel_id=channel_id, limit=FILE_LIMIT)

    async def _delivered_before(self, job: Job) -> Receipt | None:
        """What a former process did, looked for wherever it may have posted. Waits for Discord: to post
        without having looked could post twice."""
        request = job.request
        session = await self._channels.current(request.guild_id, request.user_id)
        places: list[tuple[Where, int]] = [("channel", request.channel_id)]
        if session is not None and session != request.channel_id:
            places.append(("new-channel", session))
        places += [(direct.where, direct.channel_id) async for direct in self._direct(request.user_id)]
        for where, channel_id in places:
            message_id = await self._search(job, channel_id)
            if message_id is not None:
                return Receipt(where=where, channel_id=channel_id, message_id=message_id)
        return None

    async def _search(self, job: Job, channel_id: int) -> int | None:
        pause = 1.0
        while True:
            try:
                return await find_result(self._message_client, channel_id, job.id, since=job.queued_at)
            except DiscordAway as error:
                log.warning("Discord is away, job %s waits: %s", job.id, error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except MessageError:
                return None


def _receipt(destination: _Destination, outgoing: OutgoingMessage, posted: Posted) -> Receipt:
    return Receipt(
        where=destination.where,
        channel_id=posted.channel_id,
        message_id=posted.message_id,
        size=outgoing.picture_size,
    )
