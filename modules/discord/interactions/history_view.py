"""What /history shows, page by page, and what can be done with a picture chosen there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.result_message import is_nsfw, made_by, result_actions
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.replies import TEXT_LIMIT, answer
from modules.discord.requests.requester import Requester, Requesters
from modules.discord.ui.components import Component, button, job_row, menu, rows
from modules.discord.ui.formatting import message_link, moment, plain, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.jobs import JobId, ModelOffer
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History

PAGE = 10


class HistoryView:
    """Shows pages of a person's own pictures, and answers their buttons."""

    def __init__(
        self,
        *,
        history: History,
        jobs: JobLookup,
        requesters: Requesters,
        deferrals: Deferrals,
        messages: Translations,
        offers: Sequence[ModelOffer],
    ) -> None:
        self._history, self._jobs, self._requesters = history, jobs, requesters
        self._deferrals, self._messages, self._offers = deferrals, messages, offers

    async def show(self, interaction: discord.Interaction) -> None:
        """The newest page."""
        await self._deferrals.defer(interaction)
        await self._show_page(interaction, None)

    async def turn_page(self, interaction: discord.Interaction, before: int) -> None:
        """A page button was pressed; ``before`` 0 is the newest page."""
        await self._deferrals.defer(interaction, update=True)
        await self._show_page(interaction, before or None)

    async def _show_page(self, interaction: discord.Interaction, before: int | None) -> None:
        person = await self._requesters.of(interaction)
        records = await self._history.of_user(person.user_id, before=before, limit=PAGE + 1)
        page = history_page(
            self._messages,
            person,
            self._offers,
            records,
            guild_of=self._jobs.guild_of,
            size=PAGE,
            before=before,
        )
        await answer(interaction, page.text, view=rows(page.items) if page.items else None)

    async def pick(self, interaction: discord.Interaction, job_id: JobId) -> None:
        """A picture was chosen: show what can be done with it."""
        await self._deferrals.defer(interaction)
        person = await self._requesters.of(interaction)
        job = await self._jobs.job(job_id)
        if job.request.user_id != person.user_id:
            raise NotYourJob
        nsfw = is_nsfw(self._offers, job.request)
        actions = [
            action for action in result_actions(self._offers, gallery=False, nsfw=nsfw) if action != "delete"
        ]
        text = self._messages.text(
            person.locale, "history-act", number=str(job.number), prompt=quoted(job.request.prompt, 200)
        )
        await answer(interaction, text, view=job_row(self._messages, person.locale, job.id, actions))


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
