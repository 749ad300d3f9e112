"""How a person is answered, and the one place where errors become sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any

import aiohttp
import discord
from discord import app_commands

from modules.discord.interactions.deferral import (
    ALREADY_ACKNOWLEDGED,
    ResponseKind,
    changes_its_message,
    respond,
)
from modules.discord.transport.message_client import mentions
from modules.discord.transport.permissions import NEEDED, names
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import BotError, RequestRejected, StoreError
from modules.utils.database.stores.preferences import Preferences

log = getLogger(__name__)

TEXT_LIMIT = 2000
"""Characters of a message."""

TOKEN_GONE = (10062, 10015, 50027)
"""Unknown interaction, unknown webhook, bad webhook token: the interaction can no longer be answered."""


GiveBack = Callable[[str, str], tuple[discord.ui.LayoutView, Sequence[discord.File]]]
"""Takes a language and a sentence in it; gives an answer that holds this sentence and what somebody had
typed."""


async def answer(
    interaction: discord.Interaction,
    text: str = "",
    *,
    view: discord.ui.View | discord.ui.LayoutView | None = None,
    files: Sequence[discord.File] = (),
) -> None:
    """Answer so that only this person sees it, deferred or not; a click that changes the message it is on is
    answered by that. Nobody is pinged. A layout has no text beside it."""
    text = text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
    content = None if isinstance(view, discord.ui.LayoutView) else text
    response, nobody = interaction.response, mentions(None)

    async def at_once() -> None:
        for file in files:
            file.reset(seek=True)
        if changes_its_message(interaction):
            await response.edit_message(
                content=content, view=view, attachments=files, allowed_mentions=nobody
            )
            return
        controls: Any = discord.utils.MISSING if view is None else view
        await response.send_message(
            content, ephemeral=True, view=controls, files=files, allowed_mentions=nobody
        )

    kind = ResponseKind.message_update if changes_its_message(interaction) else ResponseKind.channel_message
    if not await respond(interaction, at_once, kind):
        await interaction.edit_original_response(
            content=content, view=view, attachments=files, allowed_mentions=nobody
        )


async def answer_apart(interaction: discord.Interaction, text: str) -> None:
    """Like `answer`, but a click gets a separate message as its answer: the message it is on stays as it
    is."""

    async def at_once() -> None:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=mentions(None))

    if await respond(interaction, at_once, ResponseKind.channel_message):
        return
    if interaction.response.type in (ResponseKind.deferred_message_update, ResponseKind.message_update):
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=mentions(None))
    else:
        await answer(interaction, text)


async def answer_nothing(interaction: discord.Interaction) -> None:
    """Answer with nothing, because the outcome is shown elsewhere. For a command, "thinking…" is removed."""
    silent = interaction.message is not None
    kind = ResponseKind.deferred_message_update if silent else ResponseKind.deferred_channel_message

    async def at_once() -> None:
        await interaction.response.defer(ephemeral=True, thinking=not silent)

    await respond(interaction, at_once, kind)
    if interaction.response.type is ResponseKind.deferred_channel_message:
        await interaction.delete_original_response()


@dataclass(kw_only=True, eq=False)
class ErrorReplies:
    """Tells people what went wrong, in the language that they chose."""

    messages: Translations
    preferences: Preferences

    async def tell(
        self, interaction: discord.Interaction, error: Exception, *, give_back: GiveBack | None = None
    ) -> None:
        """Say what went wrong; log it unless it is a refusal. ``give_back`` adds what somebody typed."""
        locale, by = str(interaction.locale), {"by": interaction.user.id}
        try:
            locale = (await self.preferences.get(interaction.user.id)).locale or locale
        except StoreError as failure:
            log.info("could not look up a person's language: %s", failure, extra=by)
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        if _came_twice(cause):
            log.info("Discord sent an interaction twice: %s", cause, extra=by)
            return
        if isinstance(cause, discord.HTTPException) and cause.code in TOKEN_GONE:
            log.warning("an interaction could not be answered in time: %s", cause, extra=by)
            return
        if isinstance(cause, discord.Forbidden):
            log.warning("Discord does not let the bot do what somebody asked for: %s", cause, extra=by)
        elif not isinstance(cause, (RequestRejected, app_commands.AppCommandError)):
            log.error("an interaction failed", exc_info=cause, extra=by)
        held = [interaction.app_permissions]
        if interaction.guild is not None and interaction.guild.me is not None:
            held.insert(0, interaction.guild.me.guild_permissions)
        said = sentence(cause, self.messages, locale, held)
        try:
            if give_back is None:
                await answer_apart(interaction, said)
            else:
                view, files = give_back(locale, said)
                await answer(interaction, view=view, files=files)
        except (discord.HTTPException, aiohttp.ClientError, asyncio.TimeoutError, StoreError) as failure:
            log.warning("an error could not be shown: %s", failure, extra=by)


def sentence(
    error: Exception,
    messages: Translations,
    locale: str | None,
    held: Sequence[discord.Permissions] = (),
) -> str:
    """What to say about an error. ``held``: the bot's permissions in the guild, and where it was asked."""
    if isinstance(error, BotError):
        return messages.error(locale, error)
    if isinstance(error, app_commands.CheckFailure):
        return messages.text(locale, "admin-only")
    if isinstance(error, discord.Forbidden):
        missing = next((lacks for each in held if (lacks := NEEDED & ~each)), discord.Permissions())
        return messages.text(locale, "error-permissions", permissions=", ".join(names(missing)) or "none")
    return messages.text(locale, BotError.message_key)


def _came_twice(error: Exception) -> bool:
    """Discord sent an interaction again, which was answered the first time."""
    code = error.code if isinstance(error, discord.HTTPException) else None
    return isinstance(error, discord.InteractionResponded) or code == ALREADY_ACKNOWLEDGED
