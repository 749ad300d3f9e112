"""Whenever the bot's guilds change: decides whether it serves, opens or closes the queue, leaves others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from logging import getLogger

from discord.ext import commands

from modules.discord.bot import ImageBot
from modules.discord.transport.message_client import DISCORD_ERRORS
from modules.queue_manager.backports import timeout
from modules.queue_manager.manager import QueueManager

log = getLogger(__name__)

TIME_LIMIT = 30.0


@dataclass(kw_only=True, eq=False)
class HomeGuild(commands.Cog):
    """``serving`` is set once the bot is known to be in the allowed guild and that guild's channels are
    known."""

    bot: ImageBot
    queue: QueueManager
    serving: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _said: str | None = field(init=False, default=None)

    @commands.Cog.listener("on_ready")
    @commands.Cog.listener("on_guild_join")
    @commands.Cog.listener("on_guild_available")
    @commands.Cog.listener("on_guild_remove")
    async def decide(self, _: object = None) -> None:
        """Look at the guilds again, once the first ones are known."""
        if not self.bot.is_ready():
            return
        guard, guilds = self.bot.guard, self.bot.guilds
        leave = guard.look([guild.id for guild in guilds])
        if guard.mode == "serving":
            if self.queue.status().closed_because in ("set-up", "wrong-guild"):
                self.queue.open()
            home = self.bot.home()
            if not self.serving.is_set() and home is not None and not home.unavailable:
                log.info("Serving %s as %s", home, self.bot.user)
                self.serving.set()
            for guild_id in leave:
                await self._leave(guild_id)
            return
        self.queue.close(guard.mode)
        known = ", ".join(f"{guild.name} ({guild.id})" for guild in guilds) or "none"
        if guard.mode == "wrong-guild":
            wrong = f"ALLOWED_GUILD_ID={guard.allowed} is not one of this bot's servers"
            line = f"{wrong} ({known}): no jobs are accepted. Correct the ID, or invite the bot there."
        else:
            line = f"Set-up mode: write ALLOWED_GUILD_ID into .env. This bot's servers: {known}."
        if line != self._said:
            log.warning("%s", line)
            self._said = line

    async def _leave(self, guild_id: int) -> None:
        guild = self.bot.get_guild(guild_id)
        if guild is None:
            return
        try:
            async with timeout(TIME_LIMIT):
                await guild.leave()
        except DISCORD_ERRORS as error:
            log.warning("server %s cannot be left: %s", guild_id, error)
        else:
            log.info("left server %s: it is not the allowed one", guild_id)
