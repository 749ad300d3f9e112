"""Clicks, forms, and what waits for a person: shown once their command, click or form was answered."""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger
from typing import Any

import discord
from discord.ext import commands

from modules.discord.bot import ImageBot
from modules.discord.delivery.undelivered import UndeliveredPictures
from modules.discord.interactions.component_router import ComponentRouter
from modules.discord.interactions.replies import ErrorReplies
from modules.discord.requests.requester import Requesters
from modules.discord.ui.components import TEMPLATE
from modules.queue_manager.errors import RequestRejected, StoreError

log = getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Components(commands.Cog):
    """Hears what people click and type, and gives it to the router."""

    bot: ImageBot
    router: ComponentRouter
    errors: ErrorReplies
    undelivered: UndeliveredPictures
    requesters: Requesters

    @commands.Cog.listener()
    async def on_component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu of ours was used, here or in direct messages."""
        if self._hears(interaction):
            self.bot.track()
            await self.errors.fenced(interaction, lambda: self.router.component(interaction, what, about))
            await self._show_undelivered(interaction)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Forms are answered here, so that one which was open during a restart is answered too."""
        if interaction.type is not discord.InteractionType.modal_submit or not self._hears(interaction):
            return
        data: dict[str, Any] = dict(interaction.data or {})
        match = TEMPLATE.fullmatch(str(data.get("custom_id", "")))
        if match is not None and match["what"] == "form":
            self.bot.track()
            about = match["about"] or ""
            await self.errors.fenced(interaction, lambda: self.router.form(interaction, about))
            await self._show_undelivered(interaction)

    @commands.Cog.listener()
    async def on_app_command_completion(self, interaction: discord.Interaction, _: object) -> None:
        """A command of theirs was answered."""
        self.bot.track()
        await self._show_undelivered(interaction)

    async def _show_undelivered(self, interaction: discord.Interaction) -> None:
        """Bring what could be brought nowhere before."""
        try:
            if await self.undelivered.waits_for(interaction.user.id):
                person = await self.requesters.of(interaction)
                await self.undelivered.show(
                    person.guild_id,
                    person.user_id,
                    name=person.name,
                    locale=person.locale,
                    preferences=person.preferences,
                )
        except (RequestRejected, StoreError) as error:
            log.info("what is kept for %s was not looked at: %s", interaction.user.id, error)

    def _hears(self, interaction: discord.Interaction) -> bool:
        return interaction.guild_id is None or self.bot.guard.admits(interaction.guild_id)
