"""Where a click or a form goes, by what its ``custom_id`` says. All routes are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord

from modules.discord.interactions.cancel_menu import CancelMenu
from modules.discord.interactions.forget_view import ForgetView
from modules.discord.interactions.history_view import HistoryView
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.message_menus import MessageMenus
from modules.discord.interactions.queue_view import QueueView
from modules.discord.interactions.settings_view import SettingsView
from modules.discord.ui.components import MORE
from modules.discord.ui.modals import uploads_of, values_of
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
    queue: QueueView

    async def component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu was used. Raises a `RequestRejected`."""
        data: Mapping[str, Any] = interaction.data or {}
        values = [str(value) for value in data.get("values", ())]
        if self.actions.knows(what):
            await self.actions.press(interaction, what, JobId(about))
        elif what in MORE and values and self.actions.knows(values[0]):
            await self.actions.choose_action(interaction, what, values[0], JobId(about))
        elif what == "which" and values:
            await self.actions.choose(interaction, JobId(values[0]))
        elif what in ("page", "filter", "search", "pick"):
            await self._history(interaction, what, about, values)
        elif what == "withdraw":
            _owned(interaction, about)
            await self.cancel.chosen(interaction, values)
        elif what == "queue":
            await self.queue.clicked(interaction, JobId(about) if about else None)
        elif what == "setting":
            await self.settings.chosen(interaction, about, values)
        elif what == "reopen" and interaction.message is not None:
            kind, _, target = about.partition(":")
            typed = await self.actions.forms.typed_in(interaction.message)
            if "-" in target:
                await self.message_menus.reopen(interaction, kind, target, typed)
            else:
                await self.actions.reopen(interaction, kind, JobId(target), typed)
        elif what == "forget":
            await self.forget.decided(interaction, about)

    async def _history(
        self, interaction: discord.Interaction, what: str, about: str, values: Sequence[str]
    ) -> None:
        """A control of /history."""
        query = _owned(interaction, about)
        if what == "page":
            await self.history.turn_page(interaction, query)
        elif what == "search":
            await self.history.ask_word(interaction, query)
        elif what == "filter" and values:
            await self.history.filter(interaction, query, values[0])
        elif values:
            await self.history.pick(interaction, query, JobId(values[0]))

    async def form(self, interaction: discord.Interaction, about: str) -> None:
        """A form came back. Raises a `RequestRejected`."""
        kind, _, target = about.partition(":")
        data: Mapping[str, Any] = interaction.data or {}
        values, uploads = values_of(data), uploads_of(data)
        if kind == "search":
            await self.history.search(interaction, _owned(interaction, target), values.get("word", ""))
        elif "-" in target:
            await self.message_menus.answered(interaction, kind, target, values, uploads)
        elif kind in ("edit", "start"):
            await self.actions.made_from_picture(interaction, kind, JobId(target), values, uploads)
        elif kind == "prompt":
            await self.actions.reworded(interaction, JobId(target), values)


def _owned(interaction: discord.Interaction, about: str) -> str:
    """What a control is about, behind the id of the person for whom it is. Raises `NotYourJob`."""
    owner, _, rest = about.partition(":")
    if owner != str(interaction.user.id):
        raise NotYourJob
    return rest
