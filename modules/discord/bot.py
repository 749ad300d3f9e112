"""The client: connects to Discord, and drops the events of other guilds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from logging import getLogger
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.interactions.deferral import note_received
from modules.discord.interactions.replies import ErrorReplies
from modules.discord.rejections import GuildAway
from modules.discord.requests.guild_guard import GuildGuard
from modules.discord.transport import gateway_pauses
from modules.discord.transport.rate_limiter import Traffic
from modules.discord.ui.components import Component
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import QueueClosed

log = getLogger(__name__)

GUILD_PATIENCE = 30.0
"""Seconds to wait for the channels and roles of a guild that the bot is in."""

LAST_WORDS = 5.0
"""Seconds for which closing waits for answers that are under way."""

_ABOUT_THE_BOT_ITSELF = frozenset({"guild_join", "guild_remove", "guild_available", "guild_unavailable"})
"""Events of other guilds that the guard itself needs."""

_ANSWERED_ANYWHERE = frozenset({"command", "command_completion", "command_error", "component", "interaction"})
"""Events caused by people in other guilds, who get the answer that the bot does not serve them."""


class GuardedTree(app_commands.CommandTree["ImageBot"]):
    """Takes slash commands from the allowed guild only; answers errors with a sentence."""

    async def interaction_check(self, interaction: discord.Interaction[ImageBot], /) -> bool:
        """Ask the guard before anything else."""
        self.client.track()
        return await self.client.admits(interaction)

    async def on_error(
        self, interaction: discord.Interaction[ImageBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Say what went wrong."""
        await self.client.errors.tell(interaction, error)


class ImageBot(commands.Bot):
    """``guild_id`` None: set-up mode. ``traffic`` counts Discord's answers, and may forbid a request.

    As few intents as possible: ``moderation`` tells of bans; ``message_content``, the only privileged one,
    lets ``!sync`` work without a mention.
    """

    def __init__(
        self,
        *,
        guild_id: int | None,
        errors: ErrorReplies,
        traffic: Traffic,
        message_content: bool,
        ready_timeout: float,
    ) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned_or("!"),
            help_command=None,
            intents=discord.Intents(
                guilds=True, guild_messages=True, moderation=True, message_content=message_content
            ),
            tree_cls=GuardedTree,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=ready_timeout,
            http_trace=traffic.trace(),
        )
        self.guard, self.errors = GuildGuard(guild_id), errors
        self._traffic = traffic
        self._answering: set[asyncio.Task[Any]] = set()
        self._guilds_changed = asyncio.Event()
        self._connecting: asyncio.Task[Any] | None = None

    async def setup_hook(self) -> None:
        """Answer clicks on buttons of earlier processes. Called after the login, before the first event."""
        self.add_dynamic_items(Component)

    def home(self) -> discord.Guild | None:
        """The allowed guild, once it is known to be there."""
        return self.get_guild(self.guard.allowed) if self.guard.allowed is not None else None

    async def admits(self, interaction: discord.Interaction) -> bool:
        """Whether the guild that it comes from is the allowed one; if not, its sender is told so."""
        if self.guard.admits(interaction.guild_id):
            return True
        if interaction.type is not discord.InteractionType.autocomplete:
            why = "set-up" if self.guard.mode == "set-up" else "wrong-guild"
            await self.errors.tell(interaction, QueueClosed(why))
        return False

    async def present(self, guild_id: int) -> discord.Guild | None:
        """A guild of the bot's once its channels and roles are known: after each connection Discord may send
        them late, and in an outage it takes them away. None if the bot is not in it. Raises `GuildAway`."""
        try:
            async with timeout(GUILD_PATIENCE):
                while (guild := self.get_guild(guild_id)) is not None and guild.unavailable:
                    await self._guilds_changed.wait()
        except asyncio.TimeoutError:
            raise GuildAway from None
        return guild

    async def until_home(self) -> None:
        """Return once the allowed guild is `present`, or is not there at all. Raises `GuildAway`."""
        if self.guard.allowed is not None:
            await self.present(self.guard.allowed)

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Drop events of other guilds, and all events once the bot is closing."""
        if self.is_closed():  # discord.py's READY comes late, from a task of its own
            return
        if event_name == "interaction":
            note_received(args[0])
        if event_name in _ABOUT_THE_BOT_ITSELF:
            self._guilds_changed.set()
            self._guilds_changed = asyncio.Event()
        guild_id = _guild_of(args[0] if args else None)
        foreign = guild_id is not None and not self.guard.admits(guild_id)
        heard = event_name in _ABOUT_THE_BOT_ITSELF or (
            event_name.startswith("message") and self.guard.hears_set_up(guild_id)
        )
        if foreign and not heard and event_name not in _ANSWERED_ANYWHERE:
            return
        super().dispatch(event_name, *args, **kwargs)

    async def on_message(self, message: discord.Message, /) -> None:
        """Run the message if it is a ``!`` command."""
        self.track()
        with suppress(GuildAway):
            await self.until_home()  # without its roles, nobody is an administrator
        await super().on_message(message)

    async def on_command_error(self, context: commands.Context[Any], error: commands.CommandError, /) -> None:
        """Say nothing of unknown commands; the errors of ours are answered by their cog."""
        if not isinstance(error, commands.CommandNotFound) and context.cog is None:
            log.error("a command failed", exc_info=error)

    def track(self) -> None:
        """Let closing wait for the current task, which answers somebody."""
        task = asyncio.current_task()
        if task is not None:
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def finish_answering(self) -> None:
        """Wait a while for answers that are under way, if anything may still be sent; then cancel them."""
        answering = self._answering - {asyncio.current_task()}
        if answering and self._traffic.may_speak():
            await asyncio.wait(answering, timeout=LAST_WORDS)
        left = self._answering - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def connect(self, *, reconnect: bool = True) -> None:
        self._connecting = asyncio.current_task()
        gateway_pauses.install()
        await super().connect(reconnect=reconnect)

    async def close(self) -> None:
        """Finish answering, and disconnect. May be called twice.

        discord.py calls this, too, when the gateway ends the connection for good. Then it does nothing: the
        other parts of the bot stop first, and close the connection at the end.
        """
        if asyncio.current_task() is self._connecting:
            return
        await self.finish_answering()
        await super().close()


def _guild_of(subject: object) -> int | None:
    """The guild that an event's first argument is, or is about."""
    guild = subject if isinstance(subject, discord.Guild) else getattr(subject, "guild", None)
    found = guild.id if isinstance(guild, discord.Guild) else getattr(subject, "guild_id", None)
    return found if isinstance(found, int) else None
