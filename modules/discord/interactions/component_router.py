"""Where a click or a form goes, by what its ``custom_id`` says. All routes are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from modules.discord.interactions.cancel_menu import CancelMenu
from modules.discord.interactions.forget_view import ForgetView
from modules.discord.interactions.history_view import HistoryView
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.message_menus import MessageMenus
from modules.discord.interactions.settings_view import SettingsView
from modules.discord.ui.modals import values_of
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.jobs import JobId


@dataclass(kw_only=True, eq=False)
class ComponentRouter:
    """Gives each button, menu and form to the part that answers it."""

    actions: JobActions
    message_menus: MessageMenus
    history: HistoryView
    settings: SettingsView
    forget: ForgetView
    cancel: CancelMenu

    async def component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu was used. Raises a `RequestRejected`."""
        data: Mapping[str, Any] = interaction.data or {}
        values = [str(value) for value in data.get("values", ())]
        if self.actions.knows(what):
            await self.actions.press(interaction, what, JobId(about))
        elif what == "more" and values and self.actions.knows(values[0]):
            await self.actions.press(interaction, values[0], JobId(about))
        elif what == "which" and values:
            await self.actions.choose(interaction, JobId(values[0]))
        elif what == "page":
            owner, _, before = about.partition(":")
            _check_owner(interaction, owner)
            await self.history.turn_page(interaction, int(before))
        elif what == "pick" and values:
            await self.history.pick(interaction, JobId(values[0]))
        elif what == "withdraw":
            _check_owner(interaction, about)
            await self.cancel.chosen(interaction, values)
        elif what == "setting":
            await self.settings.chosen(interaction, about, values)
        elif what == "forget":
            await self.forget.decided(interaction, about)

    async def form(self, interaction: discord.Interaction, about: str) -> None:
        """A form came back. Raises a `RequestRejected`."""
        kind, _, target = about.partition(":")
        values = values_of(interaction.data or {})
        if "-" in target:
            await self.message_menus.answered(interaction, kind, target, values)
        elif kind == "edit":
            await self.actions.edited(interaction, JobId(target), values)
        elif kind == "prompt":
            await self.actions.reworded(interaction, JobId(target), values)


def _check_owner(interaction: discord.Interaction, owner: str) -> None:
    if owner != str(interaction.user.id):
        raise NotYourJob
