"""Pure: how a job ended, in one line."""

from __future__ import annotations

from collections.abc import Callable

from modules.discord.delivery.job_records import error_of
from modules.discord.ui.formatting import message_link
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import Job
from modules.utils.database.rows import JobRecord


def remembered(
    messages: Translations, locale: str, job: Job, record: JobRecord | None, guild_of: Callable[[int], int]
) -> str:
    """How a job ended that is not in the queue or cannot be cancelled any more. ``guild_of`` gives a
    channel's guild, 0 for direct messages."""
    number = str(job.number)
    if record is None or record.state in ("queued", "dispatched", "finished"):
        return messages.text(locale, "status-finishing", number=number)
    if record.state == "failed":
        return _failed(messages, locale, number, error_of(record))
    if record.state == "delivered" and record.channel_id is not None:
        where = (guild_of(record.channel_id), record.channel_id, record.message_id)
        return _ready(messages, locale, number, where)
    if record.state in ("delivered", "deleted"):
        return messages.text(locale, "ended-deleted", number=number)
    return messages.text(locale, f"status-{record.state}", number=number)


def _failed(messages: Translations, locale: str, number: str, error: GenerationError) -> str:
    return messages.text(locale, "status-failed", number=number, why=messages.error(locale, error))


def _ready(messages: Translations, locale: str, number: str, where: tuple[int, int, int | None]) -> str:
    guild_id, channel_id, message_id = where
    if message_id is None:
        return messages.text(locale, "ended-delivered-in", number=number, channel=f"<#{channel_id}>")
    link = message_link(guild_id, channel_id, message_id)
    return messages.text(locale, "ended-delivered", number=number, link=link)
