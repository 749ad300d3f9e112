"""The menu of /cancel: a person's own jobs, and what happens to those they choose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import discord

from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requesters
from modules.discord.ui.components import menu, rows
from modules.discord.ui.formatting import plain
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.jobs import JobId
from modules.queue_manager.manager import QueueManager


class CancelMenu:
    """Shows the menu, and answers a choice in it."""

    def __init__(
        self, *, queue: QueueManager, requesters: Requesters, deferrals: Deferrals, messages: Translations
    ) -> None:
        self._queue, self._requesters = queue, requesters
        self._deferrals, self._messages = deferrals, messages

    async def show(self, interaction: discord.Interaction) -> None:
        """Offer the person's active jobs."""
        await self._deferrals.defer(interaction)
        person, messages = await self._requesters.of(interaction), self._messages
        jobs = self._queue.active_jobs(person.user_id)
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
        await self._deferrals.defer(interaction, update=True)
        person = await self._requesters.of(interaction)
        mine = {job.id: job for job in self._queue.active_jobs(person.user_id)}
        chosen = list(mine) if "all" in values else [JobId(value) for value in values if JobId(value) in mine]
        numbers = []
        for job_id in chosen:
            with suppress(UnknownJob):  # it has ended by itself, or its picture is on its way
                numbers.append(f"#{(await self._queue.cancel(job_id, by=person.user_id)).number}")
        text = self._messages.text(
            person.locale, "cancelled-mine", count=len(numbers), numbers=", ".join(numbers)
        )
        await answer(interaction, text)
