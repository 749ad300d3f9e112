"""What /queue shows: how much waits, and a person's own pictures, each with its Cancel."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import discord

from modules.discord.delivery.availability import Availability
from modules.discord.delivery.status_text import countdown, hindrance_text
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requester
from modules.discord.ui.components import button
from modules.discord.ui.formatting import quoted
from modules.discord.ui.layout import Part, container, layout, row, section, separator, small, text
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.jobs import Job, JobId, JobState
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock
from modules.queue_manager.status import QueueStatus

_MINE: dict[JobState, str] = {
    "waiting": "queue-mine-waiting",
    "taken": "queue-mine-taken",
    "running": "queue-mine-running",
    "arriving": "status-finishing",
}
"""For each state of a job, the sentence about it."""

SHOWN = 10
"""Of a person's own pictures; a line with a button counts as three of a message's 40 components."""


@dataclass(kw_only=True, eq=False)
class QueueView:
    """Tells how much waits for everybody, and where the person's own pictures stand."""

    queue: QueueManager
    availability: Availability
    deferrals: Deferrals
    messages: Translations
    clock: Clock

    async def show(self, interaction: discord.Interaction) -> None:
        """The page."""
        await answer(interaction, view=self._page(await self.deferrals.begin(interaction)))

    async def clicked(self, interaction: discord.Interaction, job_id: JobId | None) -> None:
        """A button of the page: cancel this job, if it is theirs, and show how things stand now."""
        person = await self.deferrals.begin(interaction, update=True)
        said = None
        if job_id is not None:
            cancelled = ""
            if job_id in {job.id for job in self.queue.active_jobs(person.user_id)}:
                with suppress(UnknownJob):  # its picture is on its way
                    cancelled = f"#{(await self.queue.cancel(job_id, by=person.user_id)).number}"
            count = 1 if cancelled else 0
            said = self.messages.text(person.locale, "cancelled-mine", count=count, numbers=cancelled)
        await answer(interaction, view=self._page(person, said))

    def _page(self, person: Requester, said: str | None = None) -> discord.ui.LayoutView:
        messages, status, locale = self.messages, self.queue.status(), person.locale
        lines = [counts_text(messages, status, locale)]
        if status.closed_because is not None:
            lines.append(messages.text(locale, "queue-closed"))
        hindrance = self.availability.hindrance()
        if hindrance is not None:
            lines.append(hindrance_text(messages, locale, hindrance))
        mine = self.queue.active_jobs(person.user_id)
        parts: list[Part] = [
            self._mine(job, locale, held_up=hindrance is not None) for job in mine[:SHOWN]
        ] or [text(messages.text(locale, "queue-none-mine"))]
        if len(mine) > SHOWN:
            parts.append(small(messages.text(locale, "queue-more-mine", count=len(mine) - SHOWN)))
        return layout(
            container(
                text(f"### {messages.text(locale, 'queue-title')}\n" + "\n".join(lines)),
                text(said) if said is not None else None,
                separator(),
                *parts,
                row(button(messages.text(locale, "button-refresh"), "queue")),
            )
        )

    def _mine(self, job: Job, locale: str, *, held_up: bool) -> Part:
        place = self.queue.place(job.id)
        state = place.state if place is not None else "running"
        expected = None if place is None or (place.waits and held_up) else place.expected_at
        when = countdown(expected, self.clock.unix()) if expected is not None else "none"
        ahead = place.ahead if place is not None else 0
        line = self.messages.text(locale, _MINE[state], number=str(job.number), when=when, ahead=ahead)
        cancel = button(
            self.messages.text(locale, "button-cancel"), "queue", job.id, style=discord.ButtonStyle.danger
        )
        return section(f"{line}\n{quoted(job.request.prompt, 100)}", cancel)


def counts_text(messages: Translations, status: QueueStatus, locale: str) -> str:
    """How many pictures wait, are being made and are being delivered, and for how many people."""
    return messages.text(
        locale,
        "queue-counts",
        waiting=status.waiting,
        taken=status.taken,
        running=status.running,
        arriving=status.arriving,
        users=status.users,
    )
