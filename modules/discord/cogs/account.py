"""What the bot remembers of a person: /history, /settings, /forget."""

from __future__ import annotations

from dataclasses import dataclass

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.interactions.autocomplete import Choices, Offered
from modules.discord.interactions.forget_view import ForgetView
from modules.discord.interactions.history_view import HistoryView
from modules.discord.interactions.settings_view import SettingsView
from modules.discord.requests.requester import Requesters


@dataclass(kw_only=True, eq=False)
class Account(commands.Cog):
    """Each command is answered by its view."""

    history_view: HistoryView
    settings_view: SettingsView
    forget_view: ForgetView
    choices: Choices
    requesters: Requesters

    @app_commands.command()
    async def history(self, interaction: discord.Interaction) -> None:
        """The pictures you have made."""
        await self.history_view.show(interaction)

    @app_commands.command()
    async def settings(self, interaction: discord.Interaction, model: str | None = None) -> None:
        """Your model, shape, language and where results go."""
        await self.settings_view.show(interaction, model)

    @settings.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> Offered:
        return self.choices.models("imagine", typed, await self.requesters.of(interaction))

    @app_commands.command()
    async def forget(self, interaction: discord.Interaction) -> None:
        """Erase your prompts, pictures and settings."""
        await self.forget_view.ask(interaction)
