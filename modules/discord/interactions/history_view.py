"""Pure: a page of /history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.result_message import made_by
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.requests.requester import Requester
from modules.discord.ui.components import Component, button, menu
from modules.discord.ui.formatting import message_link, moment, plain, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import ModelOffer
from modules.utils.database.rows import JobRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What is said, and the menu and buttons below."""

    text: str
    items: tuple[Component, ...] = ()


def history_page(
    messages: Translations,
    person: Requester,
    offers: Sequence[ModelOffer],
    records: Sequence[JobRecord],
    *,
    guild_of: Callable[[int], int],
    size: int,
    before: int | None,
) -> Page:
    """The newest of ``records``, as many as fit and ``size`` at most; one more tells of another page.

    ``guild_of`` tells a channel's guild, 0 for direct messages.
    """
    locale = person.locale
    if not records:
        newest = button(messages.text(locale, "button-newer"), "page", f"{person.user_id}:0")
        return Page(text=messages.text(locale, "history-empty"), items=(newest,) if before else ())
    lines = [f"**{messages.text(locale, 'history-title')}**"]
    for record in records[:size]:
        line = _line(messages, locale, offers, record, guild_of)
        if len("\n".join([*lines, line])) > TEXT_LIMIT:
            break
        lines.append(line)
    shown = records[: len(lines) - 1]
    options = [
        discord.SelectOption(
            label=plain(f"#{record.number} {record.request.prompt}", 100), value=record.job_id
        )
        for record in shown
    ]
    items = [menu("pick", person.user_id, messages.text(locale, "history-pick"), options)]
    if before is not None:
        items.append(button(messages.text(locale, "button-newer"), "page", f"{person.user_id}:0"))
    if len(records) > len(shown):
        older = f"{person.user_id}:{shown[-1].number}"
        items.append(button(messages.text(locale, "button-older"), "page", older))
    return Page(text="\n".join(lines), items=tuple(items))


def _line(
    messages: Translations,
    locale: str,
    offers: Sequence[ModelOffer],
    record: JobRecord,
    guild_of: Callable[[int], int],
) -> str:
    link = ""
    if record.channel_id is not None and record.message_id is not None:
        link = message_link(guild_of(record.channel_id), record.channel_id, record.message_id)
    line = messages.text(
        locale,
        "history-line",
        number=str(record.number),
        when=moment(record.queued_at),
        model=made_by(messages, locale, offers, record.request),
        size="none" if record.size is None else str(record.size),
        state=record.state if link or record.state != "delivered" else "deleted",
        link=link,
    )
    return f"{line}\n{messages.text(locale, 'prompt-line', prompt=quoted(record.request.prompt, 80))}"
