"""What /queue and /help say."""

from __future__ import annotations

from modules.discord.interactions.autocomplete import described
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.requests.requester import Requester
from modules.discord.ui.formatting import fitting, moment, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Job
from modules.queue_manager.status import QueueStatus

MODELS_SHOWN = 20


def queue_text(desk: Desk, person: Requester) -> str:
    """Everybody's count, one's own places and times."""
    messages, status, locale = desk.messages, desk.queue.status(), person.locale
    lines = [
        f"**{messages.text(locale, 'queue-title')}**",
        counts_text(messages, status, locale),
    ]
    if status.closed_because is not None:
        lines.append(messages.text(locale, "queue-closed"))
    hindrance = desk.hindrance()
    if hindrance is not None:
        lines.append(messages.text(locale, f"status-{hindrance}"))
    mine = desk.queue.active_jobs(person.user_id)
    lines += [_mine(desk, job, locale) for job in mine]
    if not mine:
        lines.append(messages.text(locale, "queue-none-mine"))
    return fitting(lines, TEXT_LIMIT)


def counts_text(messages: Translations, status: QueueStatus, locale: str) -> str:
    """How many pictures wait, are being made and are on their way, and how many people they are for."""
    return messages.text(
        locale,
        "queue-counts",
        waiting=status.waiting,
        taken=status.taken,
        running=status.running,
        arriving=status.arriving,
        users=status.users,
    )


def _mine(desk: Desk, job: Job, locale: str) -> str:
    place = desk.queue.place(job.id)
    expected = place.expected_at if place is not None else None
    fields: dict[str, str | int] = {
        "number": str(job.number),
        "when": moment(expected) if expected is not None else "none",
    }
    key = "queue-mine-running"
    if place is not None and not place.running:
        key, fields["ahead"] = "queue-mine-waiting", place.ahead
    line = desk.messages.text(locale, key, **fields)
    return f"{line} {quoted(job.request.prompt, 60)}"


def help_text(desk: Desk, person: Requester) -> str:
    """What the bot can do, in short, and which models there are."""
    messages, locale = desk.messages, person.locale
    parts = ("help-imagine", "help-edit", "help-queue", "help-settings", "help-buttons")
    lines = [messages.text(locale, part) for part in parts]
    lines.append(messages.text(locale, "help-limit", limit=desk.submissions.allowance(person).jobs))
    lines += ["", messages.text(locale, "help-models")]
    language = messages.language(locale)
    shown = [offer for offer in desk.offers if person.age_restricted or not offer.nsfw]
    lines += [
        messages.text(locale, "help-model", label=offer.label, description=described(offer, language))
        for offer in shown[:MODELS_SHOWN]
    ]
    return fitting(lines, TEXT_LIMIT)
