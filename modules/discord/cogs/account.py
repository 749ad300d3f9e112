"""What the bot remembers of a person: /history, /settings, /forget."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.interactions.autocomplete import ModelChoices
from modules.discord.interactions.forget_view import ForgetView
from modules.discord.interactions.history_view import HistoryView
from modules.discord.interactions.settings_view import SettingsView
from modules.discord.requests.requester import Requesters


class Account(commands.Cog):
    """Each command is answered by its view."""

    def __init__(
        self,
        *,
        history: HistoryView,
        settings: SettingsView,
        forget: ForgetView,
        model_choices: ModelChoices,
        requesters: Requesters,
    ) -> None:
        self._history, self._settings, self._forget = history, settings, forget
        self._model_choices, self._requesters = model_choices, requesters

    @app_commands.command()
    async def history(self, interaction: discord.Interaction) -> None:
        """The pictures you have made."""
        await self._history.show(interaction)

    @app_commands.command()
    async def settings(self, interaction: discord.Interaction, model: str | None = None) -> None:
        """Your model, shape, language and where results go."""
        await self._settings.show(interaction, model)

    @settings.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        person = await self._requesters.of(interaction)
        return self._model_choices.matching("imagine", typed, person)

    @app_commands.command()
    async def forget(self, interaction: discord.Interaction) -> None:
        """Erase your prompts, pictures and settings."""
        await self._forget.ask(interaction)
