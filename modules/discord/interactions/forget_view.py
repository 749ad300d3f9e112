"""/forget: asks whether a person's prompts, pictures and settings should be erased, and erases them."""

from __future__ import annotations

import discord

from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requesters
from modules.discord.sessions.channels import SessionChannels
from modules.discord.ui.components import button, rows
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.manager import QueueManager
from modules.utils.database.stores.history import History


class ForgetView:
    """What is erased: see `History.forget`; the private channel goes as well."""

    def __init__(
        self,
        *,
        queue: QueueManager,
        history: History,
        channels: SessionChannels,
        failures: FailureNotices,
        requesters: Requesters,
        deferrals: Deferrals,
        messages: Translations,
    ) -> None:
        self._queue, self._history, self._channels, self._failures = queue, history, channels, failures
        self._requesters, self._deferrals, self._messages = requesters, deferrals, messages

    async def ask(self, interaction: discord.Interaction) -> None:
        """Ask whether they are sure."""
        await self._deferrals.defer(interaction)
        person, messages = await self._requesters.of(interaction), self._messages
        buttons = [
            button(
                messages.text(person.locale, "button-forget"),
                "forget",
                f"yes:{person.user_id}",
                style=discord.ButtonStyle.danger,
            ),
            button(messages.text(person.locale, "button-keep"), "forget", f"no:{person.user_id}"),
        ]
        await answer(interaction, messages.text(person.locale, "forget-ask"), view=rows(buttons))

    async def decided(self, interaction: discord.Interaction, about: str) -> None:
        """The question was answered; ``about`` is ``yes`` or ``no``, and whom it was put to."""
        await self._deferrals.defer(interaction, update=True)
        decision, _, owner = about.partition(":")
        if owner != str(interaction.user.id):
            raise NotYourJob
        person, messages = await self._requesters.of(interaction), self._messages
        if decision != "yes":
            await answer(interaction, messages.text(person.locale, "forget-kept"))
        elif self._queue.active_jobs(person.user_id):
            await answer(interaction, messages.text(person.locale, "forget-busy"))
        else:
            await self._channels.close(person.guild_id, person.user_id)
            await self._history.forget(person.user_id)
            self._failures.forget(person.user_id)
            await answer(interaction, messages.text(str(interaction.locale), "forget-done"))
