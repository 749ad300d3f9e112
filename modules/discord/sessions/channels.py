"""Private channels: each person's is found or made, shown to nobody else, and closed when unused.

A channel belongs to a user's id, which is in the database and in the channel's topic, and never to a name:
people rename themselves, and two may have the same name.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from logging import getLogger
from typing import TypeVar
from weakref import WeakValueDictionary

import discord

from modules.discord.sessions.rules import (
    CATEGORY_SIZE,
    GUILD_SIZE,
    PREFIX,
    Step,
    closing_time,
    is_private_to,
    longest_idle,
    next_step,
    owner_of,
)
from modules.discord.transport.message_client import (
    DISCORD_ERRORS,
    NO_ANSWER,
    MessageClient,
    MessageError,
    OutgoingMessage,
)
from modules.discord.transport.rate_limiter import Priority, priority
from modules.discord.ui.formatting import channel_name, moment
from modules.discord.ui.translations import Translations
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import TooManyChannels
from modules.queue_manager.ports import Clock
from modules.utils.database.rows import SessionRecord
from modules.utils.database.stores.history import History
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.sessions import SessionStore

log = getLogger(__name__)

TIME_LIMIT = 30.0
TOO_MANY_CHANNELS = 30013
INVALID_FORM = 50035

Made = TypeVar("Made", bound=discord.abc.GuildChannel)
CATEGORY = "FuLLet"

OWNER_MAY = {
    "view_channel": True,
    "send_messages": True,
    "read_message_history": True,
    "attach_files": True,
    "embed_links": True,
}
"""What a private channel grants to its owner, and to the bot."""


@dataclass(kw_only=True, eq=False)
class SessionChannels:
    """``guild`` finds one of the bot's guilds, ``present`` waits until its channels are known; ``idle``, in
    seconds: see `rules.next_step`."""

    guild: Callable[[int], discord.Guild | None]
    present: Callable[[int], Awaitable[discord.Guild | None]]
    store: SessionStore
    history: History
    preferences: Preferences
    message_client: MessageClient
    messages: Translations
    clock: Clock
    idle: float

    def __post_init__(self) -> None:
        self._notice = min(300.0, self.idle / 3)
        self._category_locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._owner_locks: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()
        self._reserved: defaultdict[int, int] = defaultdict(int)
        self._full: set[int] = set()

    async def open(
        self,
        guild_id: int,
        user_id: int,
        *,
        name: str,
        locale: str,
        age_restricted: bool = False,
        avoid: int | None = None,
    ) -> discord.TextChannel:
        """The person's own channel, found or made, counted as used now.

        ``age_restricted``: the channel must be, too; ``avoid``: the id of a channel that does not work.
        Raises `GuildAway`, `TooManyChannels`, or discord.py's errors where the bot lacks a permission.
        """
        guild = await self.present(guild_id)
        if guild is None:
            raise TooManyChannels("the guild is not known")
        async with self._owner_lock(guild_id, user_id):
            record = await self.store.get(guild_id, user_id)
            channel = self._known(guild, record) or self._by_topic(guild, user_id)
            if channel is not None and channel.id == avoid:
                channel = None
            if channel is None:
                channel = await self._make(guild, user_id, name=name, locale=locale, nsfw=age_restricted)
            elif age_restricted and not channel.nsfw:
                channel = await self._restrict(channel)
            if record is None or record.channel_id != channel.id:
                await self.store.put(self._used(guild_id, user_id, channel.id, self.clock.unix()))
            else:
                await self.store.touch(guild_id, user_id, self.clock.unix())
            return channel

    async def adopt(self, guild: discord.Guild) -> None:
        """Add channels that are missing from the database, so that they are closed in time too."""
        known = {record.user_id for record in await self.store.of_guild(guild.id)}
        for channel in guild.text_channels:
            owner = owner_of(channel.name, channel.topic)
            if owner is not None and owner not in known and self._is_theirs(channel, owner):
                known.add(owner)
                last = discord.utils.snowflake_time(channel.last_message_id or channel.id).timestamp()
                await self.store.put(self._used(guild.id, owner, channel.id, last))

    async def reopen(
        self, guild_id: int, user_id: int, *, locale: str, age_restricted: bool, avoid: int | None
    ) -> int | None:
        """A channel other than ``avoid`` for somebody whose own does not work; None if they have left.

        Raises as `open` does.
        """
        guild = await self.present(guild_id)
        member = await find_member(guild, user_id, Priority.DELIVER) if guild is not None else None
        if member is None:
            return None
        channel = await self.open(
            guild_id,
            user_id,
            name=member.display_name,
            locale=locale,
            age_restricted=age_restricted,
            avoid=avoid,
        )
        return channel.id

    async def current(self, guild_id: int, user_id: int) -> int | None:
        """The id of the person's channel as the database has it."""
        record = await self.store.get(guild_id, user_id)
        return record.channel_id if record is not None else None

    def file_limit(self, guild_id: int) -> int | None:
        """Bytes that a file in this guild may have, if the guild is known."""
        guild = self.guild(guild_id)
        return guild.filesize_limit if guild is not None else None

    def is_age_restricted(self, guild_id: int, channel_id: int) -> bool:
        """Whether this channel of the guild is known and age-restricted."""
        guild = self.guild(guild_id)
        channel = guild.get_channel_or_thread(channel_id) if guild is not None else None
        return channel is not None and channel.is_nsfw()

    async def touch(self, guild_id: int, user_id: int) -> None:
        """The person used their channel."""
        await self.store.touch(guild_id, user_id, self.clock.unix())

    async def forget_channel(self, channel_id: int) -> None:
        """The channel is gone."""
        record = await self.store.by_channel(channel_id)
        if record is not None:
            await self.store.remove(record.guild_id, record.user_id)

    async def close(self, guild_id: int, user_id: int) -> bool:
        """Delete the person's channel, if they have one. Raises `GuildAway`."""
        await self.present(guild_id)
        record = await self.store.get(guild_id, user_id)
        if record is None:
            return False
        await self._close(record)
        return True

    async def sweep(self, guild_id: int) -> None:
        """Post warnings in the channels that nobody uses, and close them later. Raises `GuildAway`."""
        await self.present(guild_id)
        records = await self.store.of_guild(guild_id)
        busy = await self.history.active_users()
        for record in records:
            step = self._step(record, busy)
            if step == "close":
                await self._close_unused(record)
            elif step == "warn":
                await self._warn(record)

    def _step(self, record: SessionRecord, busy: Collection[int]) -> Step:
        """``busy``: the users with an active job."""
        return next_step(
            record,
            now=self.clock.unix(),
            busy=record.user_id in busy,
            idle=self.idle,
            notice=self._notice,
        )

    async def _close_unused(self, seen: SessionRecord) -> None:
        """Close a channel, unless it is in use or was used since it was ``seen``."""
        async with self._owner_lock(seen.guild_id, seen.user_id):
            busy = await self.history.active_users()
            record = await self.store.get(seen.guild_id, seen.user_id)
            if record is not None and self._step(record, busy) == "close":
                await self._close(record)

    def _owner_lock(self, guild_id: int, user_id: int) -> asyncio.Lock:
        return self._owner_locks.setdefault((guild_id, user_id), asyncio.Lock())

    def _known(self, guild: discord.Guild, record: SessionRecord | None) -> discord.TextChannel | None:
        channel = guild.get_channel(record.channel_id) if record is not None else None
        if record is None or not isinstance(channel, discord.TextChannel):
            return None
        return channel if self._is_theirs(channel, record.user_id) else None

    def _by_topic(self, guild: discord.Guild, user_id: int) -> discord.TextChannel | None:
        for channel in guild.text_channels:
            if owner_of(channel.name, channel.topic) == user_id and self._is_theirs(channel, user_id):
                return channel
        return None

    def _is_theirs(self, channel: discord.TextChannel, user_id: int) -> bool:
        guild = channel.guild
        return is_private_to(
            channel.overwrites, user_id=user_id, bot_id=guild.me.id, everyone_id=guild.default_role.id
        )

    async def _make(
        self, guild: discord.Guild, user_id: int, *, name: str, locale: str, nsfw: bool
    ) -> discord.TextChannel:
        theirs = discord.PermissionOverwrite(**OWNER_MAY)
        overwrites: dict[discord.Role | discord.Member | discord.Object, discord.PermissionOverwrite] = {
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            discord.Object(user_id, type=discord.Member): theirs,
            guild.me: theirs,  # a channel hidden from @everyone is hidden from the bot, too
        }
        topic = self.messages.text(
            locale, "session-topic", owner=f"<@{user_id}>", minutes=max(1, round(self.idle / 60))
        )
        before = {channel.id for channel in guild.text_channels}

        def made() -> list[discord.TextChannel]:
            theirs = (c for c in guild.text_channels if owner_of(c.name, c.topic) == user_id)
            return [channel for channel in theirs if channel.id not in before]

        while True:
            category = await self._category(guild)
            try:
                return await self._made_for_certain(
                    lambda: guild.create_text_channel(
                        PREFIX + channel_name(name, str(user_id)),
                        category=category,  # noqa: B023 - it is called at once
                        topic=topic,
                        nsfw=nsfw or discord.utils.MISSING,
                        overwrites=overwrites,
                        reason="a person's first use",
                    ),
                    made,
                )
            except discord.HTTPException as error:
                if error.code == TOO_MANY_CHANNELS:
                    raise TooManyChannels from error
                if error.code != INVALID_FORM or "parent_id" not in error.text:
                    raise
                self._full.add(category.id)  # of channels that the bot cannot see
            finally:
                self._reserved[category.id] -= 1

    async def _made_for_certain(
        self, make: Callable[[], Awaitable[Made]], made: Callable[[], list[Made]]
    ) -> Made:
        """What ``make`` makes, and only one of it. If Discord's answer is lost, ``made`` finds the new
        channel as soon as the gateway reports it. If discord.py tried again after a lost answer, ``made``
        finds what the first try made, and that is deleted."""
        try:
            with priority(Priority.ACKNOWLEDGE):
                async with timeout(TIME_LIMIT):
                    result = await make()
        except NO_ANSWER:
            for _ in range(10):
                await self.clock.sleep(0.2)
                if found := made():
                    return found[0]
            raise
        for twin in made():
            if twin.id != result.id:
                await self._delete(twin)
        return result

    async def _category(self, guild: discord.Guild) -> discord.CategoryChannel:
        """A category with room, a place in it reserved until the channel is there."""
        async with self._category_locks[guild.id]:
            if len(guild.channels) + sum(self._reserved.values()) >= GUILD_SIZE:
                await self._make_room(guild)
            ours = [category for category in guild.categories if category.name.startswith(CATEGORY)]
            for category in ours:
                taken = len(category.channels) + self._reserved[category.id]
                if taken < CATEGORY_SIZE and category.id not in self._full:
                    break
            else:
                category = await self._make_category(guild, len(ours) + 1)
            self._reserved[category.id] += 1
            return category

    async def _make_category(self, guild: discord.Guild, number: int) -> discord.CategoryChannel:
        name = CATEGORY if number == 1 else f"{CATEGORY} {number}"
        before = {category.id for category in guild.categories}
        return await self._made_for_certain(
            lambda: guild.create_category(name, reason="private channels of this bot"),
            lambda: [one for one in guild.categories if one.name == name and one.id not in before],
        )

    async def _make_room(self, guild: discord.Guild) -> None:
        records = await self.store.of_guild(guild.id)
        record = longest_idle(records, await self.history.active_users())
        if record is None:
            raise TooManyChannels
        await self._close(record)

    async def _restrict(self, channel: discord.TextChannel) -> discord.TextChannel:
        with priority(Priority.ACKNOWLEDGE):
            async with timeout(TIME_LIMIT):
                return await channel.edit(nsfw=True) or channel

    async def _warn(self, seen: SessionRecord) -> None:
        closes = closing_time(seen, now=self.clock.unix(), idle=self.idle, notice=self._notice)
        guild, locale = self.guild(seen.guild_id), await self._locale_of(seen.user_id)
        if locale is None and guild is not None:
            locale = str(guild.preferred_locale)
        owner = f"<@{seen.user_id}>"
        text = self.messages.text(locale, "session-closing", owner=owner, when=moment(closes))
        try:
            await self.message_client.post(seen.channel_id, OutgoingMessage(text=text), level=Priority.REST)
        except MessageError as error:
            log.info("could not say in channel %s that it will close: %s", seen.channel_id, error)
        async with self._owner_lock(seen.guild_id, seen.user_id):
            if await self.store.get(seen.guild_id, seen.user_id) == seen:  # not used meanwhile
                await self.store.put(replace(seen, last_used_at=closes - self.idle, warned=True))

    async def _locale_of(self, user_id: int) -> str | None:
        """The language that somebody chose, or that of their last picture, if there is one."""
        chosen = (await self.preferences.get(user_id)).locale
        if chosen is not None:
            return chosen
        last = await self.history.last_picture(user_id)
        return last.request.locale if last is not None else None

    async def _close(self, record: SessionRecord) -> None:
        """Remove the row first: a channel that could not be deleted is found again by its topic."""
        await self.store.remove(record.guild_id, record.user_id)
        guild = self.guild(record.guild_id)
        channel = guild.get_channel(record.channel_id) if guild is not None else None
        if channel is not None:
            await self._delete(channel)

    @staticmethod
    async def _delete(channel: discord.abc.GuildChannel) -> None:
        try:
            async with timeout(TIME_LIMIT):
                await channel.delete(reason="no longer needed")
        except discord.NotFound:
            return
        except DISCORD_ERRORS as error:
            log.warning("channel %s cannot be deleted: %s", channel.id, error)

    @staticmethod
    def _used(guild_id: int, user_id: int, channel_id: int, at: float) -> SessionRecord:
        return SessionRecord(guild_id=guild_id, user_id=user_id, channel_id=channel_id, last_used_at=at)


async def find_member(guild: discord.Guild, user_id: int, level: Priority) -> discord.Member | None:
    """A member, fetched from Discord; None if they are not in the guild. Raises one of `DISCORD_ERRORS`."""
    try:
        with priority(level):
            async with timeout(TIME_LIMIT):
                return await guild.fetch_member(user_id)
    except discord.NotFound:
        return None
