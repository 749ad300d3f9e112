"""What /queue says."""

from __future__ import annotations

from dataclasses import dataclass

from modules.discord.delivery.availability import Availability
from modules.discord.delivery.status_text import countdown
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.requests.requester import Requester
from modules.discord.ui.formatting import fitting, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Job
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock
from modules.queue_manager.status import QueueStatus


@dataclass(kw_only=True, eq=False)
class QueueView:
    """Tells how much waits for everybody, and where the person's own pictures stand."""

    queue: QueueManager
    availability: Availability
    messages: Translations
    clock: Clock

    def text(self, person: Requester) -> str:
        """The answer to this person."""
        messages, status, locale = self.messages, self.queue.status(), person.locale
        lines = [f"**{messages.text(locale, 'queue-title')}**", counts_text(messages, status, locale)]
        if status.closed_because is not None:
            lines.append(messages.text(locale, "queue-closed"))
        hindrance = self.availability.hindrance()
        if hindrance is not None:
            lines.append(messages.text(locale, f"status-{hindrance}"))
        mine = self.queue.active_jobs(person.user_id)
        lines += [self._mine(job, locale, held_up=hindrance is not None) for job in mine]
        if not mine:
            lines.append(messages.text(locale, "queue-none-mine"))
        return fitting(lines, TEXT_LIMIT)

    def _mine(self, job: Job, locale: str, *, held_up: bool) -> str:
        place = self.queue.place(job.id)
        running = place is None or place.running
        expected = place.expected_at if place is not None and (running or not held_up) else None
        number = str(job.number)
        when = countdown(expected, self.clock.unix()) if expected is not None else "none"
        if place is None or place.running:
            line = self.messages.text(locale, "queue-mine-running", number=number, when=when)
        else:
            ahead = place.ahead
            line = self.messages.text(locale, "queue-mine-waiting", number=number, when=when, ahead=ahead)
        return f"{line} {quoted(job.request.prompt, 60)}"


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
