"""Clicks and forms, and the undelivered pictures that a person gets after any command, click or form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from typing import Any

import discord
from discord.ext import commands

from modules.discord.bot import ImageBot
from modules.discord.delivery.undelivered import UndeliveredPictures
from modules.discord.interactions.component_router import ComponentRouter
from modules.discord.interactions.prompt_forms import PromptForms
from modules.discord.interactions.replies import ErrorReplies, GiveBack
from modules.discord.requests.requester import Requesters
from modules.discord.ui.components import TEMPLATE
from modules.queue_manager.errors import RequestRejected, StoreError

log = getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Components(commands.Cog):
    """Hears what people click and type, and gives it to the router."""

    bot: ImageBot
    router: ComponentRouter
    forms: PromptForms
    errors: ErrorReplies
    undelivered: UndeliveredPictures
    requesters: Requesters

    @commands.Cog.listener()
    async def on_component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu of ours was used, here or in direct messages."""
        await self._answer(interaction, lambda: self.router.component(interaction, what, about))

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Forms are answered here, so that one which was open during a restart is answered too."""
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        data: dict[str, Any] = dict(interaction.data or {})
        match = TEMPLATE.fullmatch(str(data.get("custom_id", "")))
        if match is None or match["what"] != "form":
            return
        about = match["about"] or ""
        give_back = None if about.startswith("search") else partial(self.forms.given_back, data, about)
        await self._answer(interaction, lambda: self.router.form(interaction, about), give_back)

    async def _answer(
        self,
        interaction: discord.Interaction,
        work: Callable[[], Awaitable[None]],
        give_back: GiveBack | None = None,
    ) -> None:
        if interaction.guild_id is not None and not await self.bot.admits(interaction):
            return
        self.bot.track()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - for clicks what on_error is for commands
            await self.errors.tell(interaction, error, give_back=give_back)
        await self._show_undelivered(interaction)

    @commands.Cog.listener()
    async def on_app_command_completion(self, interaction: discord.Interaction, _: object) -> None:
        """A command of theirs was answered."""
        self.bot.track()
        await self._show_undelivered(interaction)

    @commands.Cog.listener("on_ready")
    @commands.Cog.listener("on_resumed")
    @commands.Cog.listener("on_guild_available")
    @commands.Cog.listener("on_guild_update")
    @commands.Cog.listener("on_guild_channel_update")
    @commands.Cog.listener("on_guild_role_update")
    @commands.Cog.listener("on_member_update")
    async def on_change(self, *_: object) -> None:
        """What was refused may work now. The only member of whom Discord sends updates is the bot itself."""
        self.undelivered.note_change()

    async def _show_undelivered(self, interaction: discord.Interaction) -> None:
        """Post the pictures that could not be posted before."""
        try:
            if await self.undelivered.waits_for(interaction.user.id):
                person = await self.requesters.of(interaction)
                await self.undelivered.show_now(person.guild_id, person.user_id)
        except (RequestRejected, StoreError) as error:
            log.info("undelivered pictures of %s still wait: %s", interaction.user.id, error)
