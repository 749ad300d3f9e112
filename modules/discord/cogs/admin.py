"""What administrators type: ``!`` commands (also by mention of the bot), and the same as ``/admin …``."""

from __future__ import annotations

from collections.abc import Awaitable
from logging import getLogger

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.interactions.administration import Administration
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer, sentence
from modules.discord.rejections import ForAdministrators
from modules.discord.requests.guild_guard import GuildGuard
from modules.discord.requests.requester import Requesters
from modules.discord.transport.message_client import mentions
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import RequestRejected, UnknownJob
from modules.utils.database.stores.preferences import Preferences

log = getLogger(__name__)

Context = commands.Context[commands.Bot]


class Admin(commands.Cog):
    """The ``!`` commands. Thin: check, hand over, answer."""

    def __init__(
        self,
        administration: Administration,
        *,
        guard: GuildGuard,
        preferences: Preferences,
        messages: Translations,
    ) -> None:
        self._administration, self._guard = administration, guard
        self._preferences, self._messages = preferences, messages

    async def cog_check(self, ctx: commands.Context[commands.Bot]) -> bool:  # type: ignore[override]
        """Administrators of the guild only. Before the guild is known, only ``getid`` is answered."""
        if ctx.guild is None or not isinstance(ctx.author, discord.Member):
            return False
        if not self._guard.admits(ctx.guild.id) and ctx.command != self.getid:
            return False
        if not ctx.author.guild_permissions.administrator:
            raise commands.CheckFailure("administrators only")
        return True

    async def cog_command_error(self, ctx: Context, error: Exception) -> None:  # type: ignore[override]
        """Say what went wrong; others than administrators are told so once, kindly."""
        if ctx.guild is None or not self._guard.admits(ctx.guild.id):
            return  # a guild that is not ours hears nothing
        cause = error.original if isinstance(error, commands.CommandInvokeError) else error
        locale = await self._locale(ctx)
        if isinstance(cause, commands.CheckFailure):
            cause = ForAdministrators()
        elif isinstance(cause, commands.UserInputError):
            cause = UnknownJob()
        elif not isinstance(cause, RequestRejected):
            log.error("a command failed", exc_info=cause)
        await _say(ctx, sentence(cause, self._messages, locale))

    async def _locale(self, ctx: Context) -> str:
        chosen = (await self._preferences.get(ctx.author.id)).locale
        return chosen or (str(ctx.guild.preferred_locale) if ctx.guild is not None else "en-US")

    @commands.command()
    async def sync(self, ctx: Context) -> None:
        """Register the slash commands."""
        guild_id = ctx.guild.id if ctx.guild is not None else 0
        await _say(ctx, await self._administration.sync(guild_id, await self._locale(ctx)))

    @commands.command()
    async def clearall(self, ctx: Context) -> None:
        """Remove this bot's slash commands."""
        guild_id = ctx.guild.id if ctx.guild is not None else 0
        await _say(ctx, await self._administration.clear_all(guild_id, await self._locale(ctx)))

    @commands.command()
    async def getid(self, ctx: Context) -> None:
        """The server's id."""
        guild_id = ctx.guild.id if ctx.guild is not None else 0
        await _say(ctx, self._administration.guild_id(guild_id, await self._locale(ctx)))

    @commands.command()
    async def status(self, ctx: Context) -> None:
        """The queue, the GPUs and their times."""
        report = await self._administration.status(await self._locale(ctx))
        await ctx.send(embed=report.embed, files=report.files(), allowed_mentions=mentions(None))

    @commands.command()
    async def gpus(self, ctx: Context) -> None:
        """Each GPU."""
        await _say(ctx, self._administration.gpus(await self._locale(ctx)))

    @commands.command()
    async def reload(self, ctx: Context) -> None:
        """Read the GPUs' addresses again."""
        await _say(ctx, await self._administration.reload(await self._locale(ctx)))

    @commands.command()
    async def pause(self, ctx: Context) -> None:
        """Start nothing more."""
        await _say(ctx, await self._administration.pause(await self._locale(ctx)))

    @commands.command()
    async def resume(self, ctx: Context) -> None:
        """Go on."""
        await _say(ctx, await self._administration.resume(await self._locale(ctx)))

    @commands.command()
    async def drain(self, ctx: Context, gpu: str) -> None:
        """Let a GPU finish and give it nothing more."""
        await _say(ctx, await self._administration.drain(gpu, await self._locale(ctx)))

    @commands.command()
    async def block(self, ctx: Context, user: discord.User) -> None:
        """Take nothing more from somebody."""
        locale = await self._locale(ctx)
        await _say(ctx, await self._administration.block(user.id, ctx.author.id, locale))

    @commands.command()
    async def unblock(self, ctx: Context, user: discord.User) -> None:
        """Take pictures from somebody again."""
        await _say(ctx, await self._administration.unblock(user.id, await self._locale(ctx)))

    @commands.command()
    async def limits(self, ctx: Context) -> None:
        """What people may have."""
        await _say(ctx, await self._administration.limits(await self._locale(ctx)))

    @commands.command()
    async def cancel(self, ctx: Context, job: str) -> None:
        """Cancel anybody's job."""
        locale = await self._locale(ctx)
        await _say(ctx, await self._administration.cancel(_number(job), ctx.author.id, locale))

    @commands.command()
    async def find(self, ctx: Context, message: str) -> None:
        """Who made a picture."""
        await _say(ctx, await self._administration.find(message, await self._locale(ctx)))


@app_commands.default_permissions(administrator=True)
@app_commands.guild_only()
class AdminSlash(commands.GroupCog, group_name="admin"):
    """The ``/admin`` commands. Discord hides them from others; the check here does not rely on that."""

    def __init__(
        self, administration: Administration, *, deferrals: Deferrals, requesters: Requesters
    ) -> None:
        self._administration, self._deferrals, self._requesters = administration, deferrals, requesters

    async def _begin(self, interaction: discord.Interaction) -> str:
        """Defer, check, and give the language."""
        await self._deferrals.defer(interaction)
        if not interaction.permissions.administrator:
            raise ForAdministrators
        return (await self._requesters.of(interaction)).locale

    async def _answer(self, interaction: discord.Interaction, text: Awaitable[str]) -> None:
        await answer(interaction, await text)

    @app_commands.command()
    async def sync(self, interaction: discord.Interaction) -> None:
        """Register the slash commands."""
        locale = await self._begin(interaction)
        await self._answer(interaction, self._administration.sync(interaction.guild_id or 0, locale))

    @app_commands.command()
    async def clearall(self, interaction: discord.Interaction) -> None:
        """Remove this bot's slash commands."""
        locale = await self._begin(interaction)
        await self._answer(interaction, self._administration.clear_all(interaction.guild_id or 0, locale))

    @app_commands.command()
    async def getid(self, interaction: discord.Interaction) -> None:
        """The server's id."""
        locale = await self._begin(interaction)
        await answer(interaction, self._administration.guild_id(interaction.guild_id or 0, locale))

    @app_commands.command()
    async def status(self, interaction: discord.Interaction) -> None:
        """The queue, the GPUs and their times."""
        report = await self._administration.status(await self._begin(interaction))
        await answer(interaction, embed=report.embed, files=report.files())

    @app_commands.command()
    async def gpus(self, interaction: discord.Interaction) -> None:
        """Each GPU."""
        await answer(interaction, self._administration.gpus(await self._begin(interaction)))

    @app_commands.command()
    async def reload(self, interaction: discord.Interaction) -> None:
        """Read the GPUs' addresses again."""
        await self._answer(interaction, self._administration.reload(await self._begin(interaction)))

    @app_commands.command()
    async def pause(self, interaction: discord.Interaction) -> None:
        """Start nothing more."""
        await self._answer(interaction, self._administration.pause(await self._begin(interaction)))

    @app_commands.command()
    async def resume(self, interaction: discord.Interaction) -> None:
        """Go on."""
        await self._answer(interaction, self._administration.resume(await self._begin(interaction)))

    @app_commands.command()
    async def drain(self, interaction: discord.Interaction, gpu: str) -> None:
        """Let a GPU finish and give it nothing more."""
        await self._answer(interaction, self._administration.drain(gpu, await self._begin(interaction)))

    @app_commands.command()
    async def block(self, interaction: discord.Interaction, user: discord.User) -> None:
        """Take nothing more from somebody."""
        locale = await self._begin(interaction)
        await self._answer(interaction, self._administration.block(user.id, interaction.user.id, locale))

    @app_commands.command()
    async def unblock(self, interaction: discord.Interaction, user: discord.User) -> None:
        """Take pictures from somebody again."""
        await self._answer(interaction, self._administration.unblock(user.id, await self._begin(interaction)))

    @app_commands.command()
    async def limits(self, interaction: discord.Interaction) -> None:
        """What people may have."""
        await self._answer(interaction, self._administration.limits(await self._begin(interaction)))

    @app_commands.command()
    async def cancel(self, interaction: discord.Interaction, job: str) -> None:
        """Cancel anybody's job."""
        locale = await self._begin(interaction)
        await self._answer(
            interaction, self._administration.cancel(_number(job), interaction.user.id, locale)
        )

    @app_commands.command()
    async def find(self, interaction: discord.Interaction, message: str) -> None:
        """Who made a picture."""
        await self._answer(interaction, self._administration.find(message, await self._begin(interaction)))

    @drain.autocomplete("gpu")
    async def _gpus(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        if not interaction.permissions.administrator:
            return []
        names = [name for name in self._administration.engine_names() if typed.casefold() in name.casefold()]
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names[:25]]


def _number(text: str) -> int:
    digits = text.strip().lstrip("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise UnknownJob(text[:40])
    return int(digits)


async def _say(ctx: Context, text: str) -> None:
    await ctx.send(text, allowed_mentions=mentions(None))
