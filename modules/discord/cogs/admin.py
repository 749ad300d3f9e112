"""What administrators type: each command as ``!name`` (or after a mention of the bot) and ``/admin name``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from logging import getLogger
from typing import Any, Concatenate, ParamSpec

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.interactions.administration import Administration
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer, sentence
from modules.discord.rejections import ArgumentMissing, ArgumentWrong, ForAdministrators
from modules.discord.requests.guild_guard import GuildGuard
from modules.discord.requests.requester import Requester, Requesters
from modules.discord.transport.message_client import mentions
from modules.discord.transport.permissions import for_administrators_only
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import RequestRejected
from modules.utils.database.stores.preferences import Preferences

log = getLogger(__name__)

Context = commands.Context[commands.Bot]
Options = ParamSpec("Options")
Action = Callable[Concatenate[Administration, Requester, Options], Awaitable[str | discord.ui.LayoutView]]
Forms = tuple[commands.Command["Admin", Options, None], app_commands.Command["Admin", Options, None]]


def both_forms(action: Action[Options]) -> Forms[Options]:
    """A method of `Administration` as a ``!`` command and as a slash command, with its name and options."""

    @wraps(action)
    async def typed(cog: Admin, ctx: Context, /, *args: Options.args, **kwargs: Options.kwargs) -> None:
        told = await action(cog.administration, await cog.who_typed(ctx), *args, **kwargs)
        shown: Any = {"content": told} if isinstance(told, str) else {"view": told}
        await ctx.send(**shown, allowed_mentions=mentions(None))

    @wraps(action)
    async def slash(
        cog: Admin, interaction: discord.Interaction, /, *args: Options.args, **kwargs: Options.kwargs
    ) -> None:
        await cog.deferrals.defer(interaction)
        if not interaction.permissions.administrator:
            raise ForAdministrators
        person = await cog.requesters.of(interaction)
        told = await action(cog.administration, person, *args, **kwargs)
        if isinstance(told, str):
            await answer(interaction, told)
        else:
            await answer(interaction, view=told)

    return commands.command()(typed), app_commands.command()(slash)


@app_commands.default_permissions(administrator=True)
@app_commands.guild_only()
@dataclass(kw_only=True, eq=False)
class Admin(commands.GroupCog, group_name="admin"):
    """Discord hides ``/admin`` from others than administrators; the checks here do not rely on that."""

    administration: Administration
    guard: GuildGuard
    preferences: Preferences
    messages: Translations
    deferrals: Deferrals
    requesters: Requesters

    sync, slash_sync = both_forms(Administration.sync)
    clearall, slash_clearall = both_forms(Administration.clearall)
    getid, slash_getid = both_forms(Administration.getid)
    status, slash_status = both_forms(Administration.status)
    gpus, slash_gpus = both_forms(Administration.gpus)
    reload, slash_reload = both_forms(Administration.reload)
    pause, slash_pause = both_forms(Administration.pause)
    resume, slash_resume = both_forms(Administration.resume)
    drain, slash_drain = both_forms(Administration.drain)
    block, slash_block = both_forms(Administration.block)
    unblock, slash_unblock = both_forms(Administration.unblock)
    limits, slash_limits = both_forms(Administration.limits)
    cancel, slash_cancel = both_forms(Administration.cancel)
    find, slash_find = both_forms(Administration.find)

    @slash_drain.autocomplete("gpu")
    async def _gpus(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        if not interaction.permissions.administrator:
            return []
        names = [name for name in self.administration.engine_names() if typed.casefold() in name.casefold()]
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names[:25]]

    async def cog_check(self, ctx: Context) -> bool:  # type: ignore[override]
        """Administrators of the guild only. Before the guild is known, only ``getid`` is answered."""
        if ctx.guild is None or not isinstance(ctx.author, discord.Member):
            return False
        if not self.guard.admits(ctx.guild.id) and ctx.command != self.getid:
            return False
        if not ctx.author.guild_permissions.administrator:
            raise commands.CheckFailure("administrators only")
        return True

    async def cog_command_error(self, ctx: Context, error: Exception) -> None:  # type: ignore[override]
        """Say what went wrong with a ``!`` command, except in a guild that the bot does not serve."""
        if ctx.guild is None or not self.guard.admits(ctx.guild.id):
            return
        cause = error.original if isinstance(error, commands.CommandInvokeError) else error
        if isinstance(cause, commands.CheckFailure):
            cause = ForAdministrators()
        elif isinstance(cause, commands.MissingRequiredArgument):
            cause = ArgumentMissing(command=f"!{ctx.command}", argument=cause.param.name)
        elif isinstance(cause, commands.UserInputError):
            cause = ArgumentWrong(command=f"!{ctx.command}")
        elif isinstance(cause, discord.Forbidden):
            log.warning("Discord does not let the bot do what an administrator asked for: %s", cause)
        elif not isinstance(cause, RequestRejected):
            log.error("a command failed", exc_info=cause)
        person = await self.who_typed(ctx)
        held = [ctx.bot_permissions, ctx.guild.me.guild_permissions]
        try:
            text = sentence(cause, self.messages, person.locale, held)
            await ctx.send(text, allowed_mentions=mentions(None))
        except discord.Forbidden as refused:
            log.warning("a typed command could not be answered: %s", refused)

    async def who_typed(self, ctx: Context) -> Requester:
        """Who typed a ``!`` command in a guild. A message tells no locale: theirs, or that of the guild."""
        assert ctx.guild is not None, "cog_check lets nothing else through"
        chosen = await self.preferences.get(ctx.author.id)
        return Requester(
            user_id=ctx.author.id,
            name=ctx.author.display_name,
            guild_id=ctx.guild.id,
            locale=chosen.locale or str(ctx.guild.preferred_locale),
            overheard=not for_administrators_only(ctx.channel),
        )
