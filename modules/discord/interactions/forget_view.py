"""/forget: asks whether a person's prompts, pictures and settings should be erased, and erases them."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.result_sets import ResultSets
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.sessions.channels import SessionChannels
from modules.discord.ui.components import button, rows
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.manager import QueueManager
from modules.utils.database.stores.history import History


@dataclass(kw_only=True, eq=False)
class ForgetView:
    """What is erased: see `History.forget`; the private channel goes as well."""

    queue: QueueManager
    history: History
    channels: SessionChannels
    failures: FailureNotices
    sets: ResultSets
    deferrals: Deferrals
    messages: Translations

    async def ask(self, interaction: discord.Interaction) -> None:
        """Ask whether they are sure."""
        person, messages = await self.deferrals.begin(interaction), self.messages
        forget, keep = (messages.text(person.locale, f"button-{name}") for name in ("forget", "keep"))
        danger = discord.ButtonStyle.danger
        buttons = [
            button(forget, "forget", f"yes:{person.user_id}", style=danger),
            button(keep, "forget", f"no:{person.user_id}"),
        ]
        await answer(interaction, messages.text(person.locale, "forget-ask"), view=rows(buttons))

    async def decided(self, interaction: discord.Interaction, about: str) -> None:
        """The question was answered; ``about`` is ``yes`` or ``no``, and whom it was put to."""
        person, messages = await self.deferrals.begin(interaction, update=True), self.messages
        decision, _, owner = about.partition(":")
        if owner != str(person.user_id):
            raise NotYourJob
        if decision != "yes":
            await answer(interaction, messages.text(person.locale, "forget-kept"))
            return
        with self.queue.shut_for(person.user_id) as idle:
            if idle:
                await self.channels.close(person.guild_id, person.user_id)
                await self.history.forget(person.user_id)
                self.failures.forget(person.user_id)
                self.sets.forget(person.user_id)
        locale, said = (str(interaction.locale), "forget-done") if idle else (person.locale, "forget-busy")
        await answer(interaction, messages.text(locale, said))
