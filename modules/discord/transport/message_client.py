"""Posts, edits and deletes messages by ids alone, whatever discord.py has cached. Its errors become ours
here, each of which says what to do next."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, MultipartParameters, Route, handle_message_parameters

from modules.discord.transport.rate_limit_buckets import RateLimitBuckets
from modules.discord.transport.rate_limiter import Priority, priority
from modules.discord.ui.message_parts import ShownFile, files_of
from modules.queue_manager.backports import timeout
from modules.queue_manager.jobs import Size
from modules.queue_manager.ports import Clock

log = getLogger(__name__)

TIME_LIMIT = 60.0
"""Seconds for one request, discord.py's own retries included."""

NO_ANSWER = (discord.DiscordServerError, aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""The errors of a request by discord.py after which nobody knows whether it was carried out."""

DISCORD_ERRORS = (discord.HTTPException, *NO_ANSWER)
"""What a request by discord.py can end with: a refusal, or no answer."""

FORGIVEN_AFTER = 600.0
"""Seconds after which a channel that refused is tried again: an administrator may have repaired it."""

PAGE_SIZE = 100
"""Most messages that Discord gives at once (Get Channel Messages)."""

_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"

UNKNOWN_MESSAGE = 10008
TOO_LARGE = 40005
BLOCKED_BY_AUTOMOD = 200000
OLD_MESSAGE_EDITS = 30046

EDITABLE_FOR = 3300.0
"""Seconds for which a message is edited: edits of those older than an hour are limited (30046)."""


class MessageError(Exception):
    """A message could not be posted, changed or read."""


class Unreachable(MessageError):
    """The channel or message is not there, or the bot may not use it: trying again at once does not help."""


class AlreadyDeleted(MessageError):
    """The message of this nonce was posted before and has been deleted since."""


class TooLarge(MessageError):
    """The file is larger than this place allows."""


class Refused(MessageError):
    """Discord does not want this message; ``code`` is its error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class DiscordAway(MessageError):
    """Discord cannot be reached or is broken right now: try again later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileUpload:
    """A file to send; ``alt`` describes it to those who cannot see it, ``size`` is that of a picture."""

    name: str
    data: bytes
    alt: str = ""
    size: Size | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """A message to send. Only ``mention`` (a user's id) is pinged, whatever the text says. ``files`` None: an
    edited message keeps its files; otherwise it keeps those of ``kept``, and these are added. A `LayoutView`
    (Components V2) holds its text itself; there is no ``text`` beside it."""

    text: str = ""
    files: tuple[FileUpload, ...] | None = None
    view: discord.ui.View | discord.ui.LayoutView | None = None
    mention: int | None = None
    kept: tuple[ShownFile, ...] = ()

    @property
    def picture_size(self) -> Size | None:
        return next((file.size for file in self.files or ()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """Where a message is. ``files``: those that it has, if this is the answer to a request."""

    channel_id: int
    message_id: int
    files: tuple[ShownFile, ...] = field(default=(), compare=False)

    @property
    def written_at(self) -> float:
        """When the message was posted, in Unix seconds."""
        return discord.utils.snowflake_time(self.message_id).timestamp()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file that an edit keeps. Its name is repeated, since the layout refers to it by that."""

    file: ShownFile

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.file.id, "filename": self.file.name}


class MessageClient:
    """One for the whole bot: it remembers which channels refused. Methods raise a `MessageError`."""

    def __init__(self, *, http: HTTPClient, buckets: RateLimitBuckets, clock: Clock) -> None:
        self._http, self._buckets, self._clock = http, buckets, clock
        self._refused: dict[int, float] = {}
        self._direct: dict[int, int] = {}

    async def post(
        self, channel_id: int, outgoing: OutgoingMessage, *, level: Priority, nonce: str | None = None
    ) -> Posted:
        """Post ``outgoing``; a repeat of the same ``nonce`` within minutes gives the first message back."""
        async with self.turn_to_post(channel_id, level=level):
            return await self.post_now(channel_id, outgoing, nonce=nonce)

    def turn_to_post(self, channel_id: int, *, level: Priority) -> AbstractAsyncContextManager[None]:
        """Inside, `post_now` is sent at once, so that its caller can decide there what to say."""
        return self._turn("POST", _MESSAGES, level, channel_id=channel_id)

    def turn_to_edit(self, where: Posted, *, level: Priority) -> AbstractAsyncContextManager[None]:
        """The same for `edit_now`."""
        return self._turn("PATCH", _MESSAGE, level, channel_id=where.channel_id, message_id=where.message_id)

    async def post_now(
        self, channel_id: int, outgoing: OutgoingMessage, *, nonce: str | None = None
    ) -> Posted:
        with _parameters(outgoing, nonce) as params:
            async with self._request(channel_id):
                data = await self._http.send_message(channel_id, params=params)
        if int(data["channel_id"]) != channel_id:
            # Nonces are unique per author, not per channel: what came back is another message.
            raise Refused(0, "the nonce belongs to another channel")
        return Posted(channel_id=channel_id, message_id=int(data["id"]), files=tuple(files_of(data)))

    async def edit_now(self, where: Posted, outgoing: OutgoingMessage) -> Posted:
        with _parameters(outgoing, None) as params:
            async with self._request(where.channel_id, where.message_id):
                data = await self._http.edit_message(where.channel_id, where.message_id, params=params)
        return replace(where, files=tuple(files_of(data)))

    async def delete(self, where: Posted, *, level: Priority) -> None:
        """Delete a message of ours, if it is still there."""
        self._check(where.channel_id)
        # Only discord.py decides which of several limits a deletion falls under.
        with priority(level), suppress(Unreachable):
            async with self._request(where.channel_id, where.message_id):
                await self._http.delete_message(where.channel_id, where.message_id)

    async def page(
        self, channel_id: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[dict[str, Any]]:
        """The last `PAGE_SIZE` messages (``before`` an id), or the first ``after`` an id, as Discord's API
        gives them."""
        turn = self._turn("GET", _MESSAGES, Priority.DELIVER, channel_id=channel_id)
        async with turn, self._request(channel_id):
            return await self._http.logs_from(  # type: ignore[return-value]
                channel_id, limit=PAGE_SIZE, before=before, after=after
            )

    async def message(self, where: Posted) -> dict[str, Any]:
        """One message as Discord's API gives it."""
        channel_id, message_id = where.channel_id, where.message_id
        turn = self._turn("GET", _MESSAGE, Priority.ACKNOWLEDGE, channel_id=channel_id, message_id=message_id)
        async with turn, self._request(channel_id, message_id):
            return await self._http.get_message(channel_id, message_id)  # type: ignore[return-value]

    def forgive(self, *ids: int) -> None:
        """Forget that these channels, or direct messages with these users, were refused; without ids, all."""
        for refused in list(self._refused):
            if not ids or refused in ids or refused in (self._direct.get(each) for each in ids):
                del self._refused[refused]

    async def direct_channel(self, user_id: int) -> int | None:
        """The channel for direct messages with somebody; None if Discord refuses or is away."""
        if user_id not in self._direct:
            try:
                turn = self._buckets.turn(Route("POST", "/users/@me/channels"), Priority.DELIVER)
                async with turn, self._request(user_id):
                    data = await self._http.start_private_message(user_id)
            except MessageError as error:
                log.info("no direct messages with %s: %s", user_id, error)
                return None
            self._direct[user_id] = int(data["id"])
        return self._direct[user_id]

    @asynccontextmanager
    async def _turn(self, method: str, path: str, level: Priority, **ids: int) -> AsyncIterator[None]:
        """Time limits begin inside: waiting for the bot's other requests is not Discord's fault."""
        self._check(ids["channel_id"])
        async with self._buckets.turn(Route(method, path, metadata=None, **ids), level):
            yield

    def _check(self, channel_id: int) -> None:
        refused_at = self._refused.get(channel_id)
        if refused_at is not None and self._clock.now() - refused_at < FORGIVEN_AFTER:
            raise Unreachable(f"channel {channel_id} refused before")

    @asynccontextmanager
    async def _request(self, channel_id: int, message_id: int | None = None) -> AsyncIterator[None]:
        """One request, within its time limit; what it fails with becomes a `MessageError`."""
        try:
            async with timeout(TIME_LIMIT):
                yield
        except (discord.Forbidden, discord.NotFound) as error:
            if isinstance(error, discord.Forbidden) and not error.code:  # from a proxy in front of Discord
                raise DiscordAway(str(error)) from error
            if error.code == UNKNOWN_MESSAGE:
                raise (AlreadyDeleted if message_id is None else Unreachable)(str(error)) from error
            if len(self._refused) > 10_000:
                self._refused.clear()
            self._refused[channel_id] = self._clock.now()
            raise Unreachable(str(error)) from error
        except discord.DiscordServerError as error:
            raise DiscordAway(str(error)) from error
        except discord.HTTPException as error:
            if error.code == UNKNOWN_MESSAGE and message_id is None:
                raise AlreadyDeleted(str(error)) from error
            if error.status == 413 or error.code == TOO_LARGE:
                raise TooLarge(str(error)) from error
            if error.status == 429:
                raise DiscordAway(str(error)) from error
            raise Refused(error.code, error.text) from error
        except (discord.RateLimited, aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise DiscordAway(str(error) or type(error).__name__) from error


def mentions(user_id: int | None) -> discord.AllowedMentions:
    """Nobody is pinged, or this one person."""
    users = [discord.Object(user_id)] if user_id is not None else []
    return discord.AllowedMentions(everyone=False, roles=False, users=users or False, replied_user=False)


@contextmanager
def _parameters(outgoing: OutgoingMessage, nonce: str | None) -> Iterator[MultipartParameters]:
    options: dict[str, Any] = {"view": outgoing.view, "allowed_mentions": mentions(outgoing.mention)}
    # A layout stands alone: an edit removes the text of a message that had no layout before.
    options["content"] = None if isinstance(outgoing.view, discord.ui.LayoutView) else outgoing.text
    with ExitStack() as closing:
        if outgoing.files is not None:
            new = [_file(upload, closing) for upload in outgoing.files]
            options["attachments"] = [*new, *map(_Kept, outgoing.kept)]
        with handle_message_parameters(nonce=nonce, **options) as params:
            yield params


def _file(upload: FileUpload, closing: ExitStack) -> discord.File:
    # discord.py leaves a reference from the stream to itself, which would keep the bytes until the garbage
    # collector comes by.
    stream = closing.enter_context(io.BytesIO(upload.data))
    return discord.File(stream, filename=upload.name, description=upload.alt[:1024] or None)
