"""Looks after private channels when they are used, unused or deleted, or when their owner leaves the
server."""

from __future__ import annotations

from dataclasses import dataclass, field
from logging import getLogger

import discord
from discord.ext import commands

from modules.discord.sessions.channels import SessionChannels, find_member
from modules.discord.sessions.rules import owner_of
from modules.discord.transport.message_client import DISCORD_ERRORS
from modules.discord.transport.rate_limiter import Priority
from modules.queue_manager.errors import RequestRejected, StoreError
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock
from modules.utils.database.stores.sessions import SessionStore

log = getLogger(__name__)

LOOKED_FOR_AT_ONCE = 5
"""Owners without a job who are looked up in one round, with a request each."""


@dataclass(kw_only=True, eq=False)
class Sessions(commands.Cog):
    """``sweep_every``: seconds between two looks for unused channels and people who have left."""

    bot: commands.Bot
    queue: QueueManager
    channels: SessionChannels
    store: SessionStore
    clock: Clock
    sweep_every: float
    _looked_for: set[int] = field(init=False, default_factory=set)

    async def run(self, guild_id: int) -> None:
        """Look after the guild's private channels until cancelled."""
        adopted = False
        while True:
            try:
                guild = await self.channels.present(guild_id)
                if guild is not None and not adopted:
                    await self.channels.adopt(guild)
                    adopted = True
                await self.channels.sweep(guild_id)
                await self._look_for_leavers(guild_id)
            except (StoreError, RequestRejected) as error:
                log.warning("private channels could not be checked, trying again later: %s", error)
            await self.clock.sleep(self.sweep_every)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """A channel deleted by hand: the next result makes a new one."""
        await self.channels.forget_channel(channel.id)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Writing in your own channel counts as using it."""
        channel = message.channel
        if message.guild is None or not isinstance(channel, discord.TextChannel):
            return
        if owner_of(channel.name, channel.topic) == message.author.id:
            await self.channels.touch(message.guild.id, message.author.id)

    @commands.Cog.listener()
    async def on_member_ban(self, guild: discord.Guild, user: discord.User | discord.Member) -> None:
        """Cancel what a banned person asked for, and close their channel."""
        await self._see_off(guild.id, user.id)

    async def _look_for_leavers(self, guild_id: int) -> None:
        """Discord tells of leavers only with the members intent, which this bot does not ask for."""
        guild = self.bot.get_guild(guild_id)
        if guild is None:
            return
        owners = [record.user_id for record in await self.store.of_guild(guild_id)]
        busy = [user_id for user_id in owners if self.queue.active_jobs(user_id)]
        for user_id in (*busy, *self._next_in_turn(set(owners) - set(busy))):
            if not await _is_member(guild, user_id):
                await self._see_off(guild_id, user_id)

    def _next_in_turn(self, owners: set[int]) -> list[int]:
        """A few of the owners without a job, different ones each time."""
        if owners <= self._looked_for:
            self._looked_for.clear()
        chosen = sorted(owners - self._looked_for)[:LOOKED_FOR_AT_ONCE]
        self._looked_for.update(chosen)
        return chosen

    async def _see_off(self, guild_id: int, user_id: int) -> None:
        """Cancel the jobs and close the channel of somebody who has left the guild."""
        cancelled = await self.queue.cancel_user(user_id, by=None)
        closed = await self.channels.close(guild_id, user_id)
        if cancelled or closed:
            log.info("a member left; jobs cancelled: %d", len(cancelled))


async def _is_member(guild: discord.Guild, user_id: int) -> bool:
    try:
        return await find_member(guild, user_id, Priority.REST) is not None
    except DISCORD_ERRORS as error:
        log.info("cannot tell whether %s is still a member: %s", user_id, error)
        return True
