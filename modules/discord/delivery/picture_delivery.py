"""Delivers a finished picture to its owner: in their channel, in a new one, or by direct message. Only once:
a nonce makes Discord drop a repeat within minutes, and a picture that a former process may have posted is
searched for before it is posted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from math import inf
from typing import TypeVar

from modules.discord.delivery.message_search import find_result
from modules.discord.delivery.result_message import ResultMessages, Where, is_nsfw
from modules.discord.delivery.result_sets import ResultSets
from modules.discord.rejections import GuildAway
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    DISCORD_ERRORS,
    NO_ANSWER,
    AlreadyDeleted,
    DiscordAway,
    MessageClient,
    MessageError,
    Refused,
    TooLarge,
)
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.formatting import nonce
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import TooManyChannels
from modules.queue_manager.jobs import Job, ModelOffer
from modules.queue_manager.ports import Clock, Finished, Receipt
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores.preferences import Preferences

log = getLogger(__name__)

FILE_LIMIT = 10 * 1024 * 1024
"""Bytes of a file that Discord takes anywhere; boosted guilds take more."""

PATIENCE = 300.0
"""Seconds for which each destination is tried while Discord is away."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Destination:
    where: Where
    channel_id: int
    limit: int = FILE_LIMIT


@dataclass(kw_only=True, eq=False)
class ChannelDelivery:
    """Implements `PictureDelivery`."""

    message_client: MessageClient
    channels: SessionChannels
    preferences: Preferences
    result_messages: ResultMessages
    sets: ResultSets
    offers: Sequence[ModelOffer]
    clock: Clock

    async def deliver(self, finished: Finished) -> Receipt:
        job = finished.job
        wanted = await self.preferences.get(job.request.user_id)
        receipt = await self._delivered_before(job) if job.maybe_posted else None
        receipt = receipt or await self._first_that_works(finished, wanted)
        if receipt.where == "kept" and not job.maybe_posted:
            log.warning("the picture could not be delivered, and is kept")
        return receipt

    async def _first_that_works(self, finished: Finished, wanted: UserPreferences) -> Receipt:
        async for destination in self._destinations(finished.job, direct_first=wanted.direct_message):
            receipt = await self._try(finished, destination, wanted)
            if receipt is not None:
                return receipt
        return Receipt(where="kept")

    async def _try(self, finished: Finished, to: _Destination, wanted: UserPreferences) -> Receipt | None:
        """The receipt, or None if this destination does not work."""
        give_up_at = self.clock.now() + PATIENCE
        try:
            return await self._patiently(lambda: self._post(finished, to, wanted), give_up_at)
        except AlreadyDeleted:  # it was delivered, and its owner has deleted it since
            return Receipt(where=to.where, channel_id=to.channel_id)
        except MessageError as error:
            log.info("the picture could not be sent to %s: %s", to.where, error)
            return None

    async def _patiently(self, ask: Callable[[], Awaitable[T]], give_up_at: float = inf) -> T:
        """The answer, asked for again while Discord is away, until ``give_up_at``. Raises a
        `MessageError`."""
        pauses = Backoff(first=1.0, longest=15.0)
        while True:
            try:
                return await ask()
            except DiscordAway as error:
                if self.clock.now() > give_up_at:
                    raise
                log.warning("Discord cannot be reached, so the picture waits: %s", error)
                await self.clock.sleep(pauses.pause())

    async def _post(self, finished: Finished, to: _Destination, wanted: UserPreferences) -> Receipt:
        send = partial(self._send, finished, to, wanted)
        try:
            return await send("result", limit=to.limit)
        except TooLarge:
            return await send("second", limit=FILE_LIMIT // 2)
        except Refused as error:
            if error.code != BLOCKED_BY_AUTOMOD:
                raise
            return await send("second", limit=to.limit, with_prompt=False)

    async def _send(
        self,
        finished: Finished,
        to: _Destination,
        wanted: UserPreferences,
        part: str,
        *,
        limit: int,
        with_prompt: bool = True,
    ) -> Receipt:
        job, channel_id, size = finished.job, to.channel_id, None
        if job.request.set is not None:
            posted, size = await self.sets.add(
                finished,
                channel_id,
                limit=limit,
                part=part,
                notify=wanted.notify,
                remark=self.result_messages.remark(job, to.where, wanted),
                with_prompt=with_prompt,
            )
        else:
            outgoing = await self.result_messages.of(
                finished, where=to.where, limit=limit, wanted=wanted, with_prompt=with_prompt
            )
            once, size = nonce(job.id, channel_id, part), outgoing.picture_size
            posted = await self.message_client.post(channel_id, outgoing, level=Priority.DELIVER, nonce=once)
        return Receipt(where=to.where, channel_id=channel_id, message_id=posted.message_id, size=size)

    async def _destinations(self, job: Job, *, direct_first: bool) -> AsyncIterator[_Destination]:
        """Where to try, in order. Direct messages cannot be age-restricted, so no NSFW picture goes there."""
        request = job.request
        nsfw = is_nsfw(self.offers, request)
        if direct_first and not nsfw:
            for destination in await self._direct(request.user_id):
                yield destination
        limit = self.channels.file_limit(request.guild_id) or FILE_LIMIT
        fit = not nsfw or self.channels.is_age_restricted(request.guild_id, request.channel_id)
        if fit:
            yield _Destination(where="channel", channel_id=request.channel_id, limit=limit)
        another = await self._another_channel(job, nsfw=nsfw, avoid=request.channel_id if fit else None)
        if another is not None:
            where: Where = "channel" if another == request.channel_id else "new-channel"
            yield _Destination(where=where, channel_id=another, limit=limit)
        if not direct_first and not nsfw:
            for destination in await self._direct(request.user_id):
                yield destination

    async def _another_channel(self, job: Job, *, nsfw: bool, avoid: int | None) -> int | None:
        request = job.request

        async def reopened() -> int | None:
            try:
                return await self.channels.reopen(
                    request.guild_id, request.user_id, avoid=avoid, locale=request.locale, age_restricted=nsfw
                )
            except NO_ANSWER as error:
                raise DiscordAway(str(error)) from error

        try:
            return await self._patiently(reopened, self.clock.now() + PATIENCE)
        except (TooManyChannels, GuildAway, DiscordAway, *DISCORD_ERRORS) as error:
            log.info("no new channel for the picture: %s", error)
            return None

    async def _direct(self, user_id: int) -> list[_Destination]:
        channel_id = await self.message_client.direct_channel(user_id)
        return [] if channel_id is None else [_Destination(where="direct-message", channel_id=channel_id)]

    async def _delivered_before(self, job: Job) -> Receipt | None:
        """Where a former process posted the picture, if it did. Waits for Discord: without this search the
        picture could be posted twice."""
        request = job.request
        session = await self.channels.current(request.guild_id, request.user_id)
        places = [_Destination(where="channel", channel_id=request.channel_id)]
        if session is not None and session != request.channel_id:
            places.append(_Destination(where="new-channel", channel_id=session))
        for place in [*places, *await self._direct(request.user_id)]:
            message_id = await self._search(job, place.channel_id)
            if message_id is not None:
                return Receipt(where=place.where, channel_id=place.channel_id, message_id=message_id)
        return None

    async def _search(self, job: Job, channel_id: int) -> int | None:
        try:
            return await self._patiently(
                lambda: find_result(self.message_client, channel_id, job.id, since=job.queued_at)
            )
        except MessageError:
            return None
