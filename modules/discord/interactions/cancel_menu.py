"""The menu of /cancel: a person's own jobs, and what happens to those they choose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import discord

from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.ui.components import menu, rows
from modules.discord.ui.formatting import plain
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.jobs import JobId
from modules.queue_manager.manager import QueueManager


@dataclass(kw_only=True, eq=False)
class CancelMenu:
    """Shows the menu, and answers a choice in it."""

    queue: QueueManager
    deferrals: Deferrals
    messages: Translations

    async def show(self, interaction: discord.Interaction) -> None:
        """Offer the person's active jobs."""
        person, messages = await self.deferrals.begin(interaction), self.messages
        jobs = self.queue.active_jobs(person.user_id)
        if not jobs:
            await answer(interaction, messages.text(person.locale, "cancel-none"))
            return
        options = [
            discord.SelectOption(label=plain(f"#{job.number} {job.request.prompt}", 100), value=job.id)
            for job in jobs[:24]
        ]
        if len(jobs) > 1:
            options.append(
                discord.SelectOption(label=messages.text(person.locale, "cancel-all"), value="all")
            )
        choose = messages.text(person.locale, "cancel-choose")
        view = rows([menu("withdraw", person.user_id, choose, options, most=len(options))])
        await answer(interaction, choose, view=view)

    async def chosen(self, interaction: discord.Interaction, values: Sequence[str]) -> None:
        """Cancel what was chosen: ids of jobs, or ``all``."""
        person = await self.deferrals.begin(interaction, update=True)
        mine = {job.id: job for job in self.queue.active_jobs(person.user_id)}
        chosen = list(mine) if "all" in values else [JobId(value) for value in values if JobId(value) in mine]
        numbers = []
        for job_id in chosen:
            with suppress(UnknownJob):  # it has ended by itself, or its picture is on its way
                numbers.append(f"#{(await self.queue.cancel(job_id, by=person.user_id)).number}")
        text = self.messages.text(
            person.locale, "cancelled-mine", count=len(numbers), numbers=", ".join(numbers)
        )
        await answer(interaction, text)
