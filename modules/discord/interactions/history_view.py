"""What /history shows, page by page, and what can be done with a picture chosen there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.result_message import is_nsfw, made_by, result_actions
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.replies import TEXT_LIMIT, answer
from modules.discord.requests.requester import Requester
from modules.discord.ui.components import button, job_row, menu, rows
from modules.discord.ui.formatting import moment, plain, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.jobs import JobId, ModelOffer
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History

PAGE = 10


@dataclass(kw_only=True, eq=False)
class HistoryView:
    """Shows pages of a person's own pictures, and answers their buttons."""

    history: History
    jobs: JobLookup
    deferrals: Deferrals
    messages: Translations
    offers: Sequence[ModelOffer]

    async def show(self, interaction: discord.Interaction) -> None:
        """The newest page."""
        await self._show_page(interaction, await self.deferrals.begin(interaction), 0)

    async def turn_page(self, interaction: discord.Interaction, before: int) -> None:
        """Another page: the pictures with numbers below ``before``; 0: the newest page."""
        await self._show_page(interaction, await self.deferrals.begin(interaction, update=True), before)

    async def _show_page(self, interaction: discord.Interaction, person: Requester, before: int) -> None:
        """As many pictures as fit, `PAGE` at most; one more record means that there is another page."""
        messages, locale = self.messages, person.locale
        records = await self.history.of_user(person.user_id, before=before or None, limit=PAGE + 1)
        lines = [f"**{messages.text(locale, 'history-title')}**"]
        for record in records[:PAGE]:
            line = self._line(locale, record, await self.jobs.link(record))
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
        items = []
        if shown:
            items.append(menu("pick", person.user_id, messages.text(locale, "history-pick"), options))
        else:
            lines = [messages.text(locale, "history-empty")]
        if before:
            items.append(button(messages.text(locale, "button-newer"), "page", f"{person.user_id}:0"))
        if len(records) > len(shown):
            older = f"{person.user_id}:{shown[-1].number}"
            items.append(button(messages.text(locale, "button-older"), "page", older))
        await answer(interaction, "\n".join(lines), view=rows(items) if items else None)

    def _line(self, locale: str, record: JobRecord, link: str | None) -> str:
        gone = "deleted" if record.message_id is None else "closed"
        line = self.messages.text(
            locale,
            "history-line",
            number=str(record.number),
            when=moment(record.queued_at),
            model=made_by(self.messages, locale, self.offers, record.request),
            size="none" if record.size is None else str(record.size),
            state=record.state if link or record.state != "delivered" else gone,
            link=link or "",
        )
        prompt = quoted(record.request.prompt, 80)
        return f"{line}\n{self.messages.text(locale, 'prompt-line', prompt=prompt)}"

    async def pick(self, interaction: discord.Interaction, job_id: JobId) -> None:
        """A picture was chosen: show what can be done with it."""
        person = await self.deferrals.begin(interaction)
        job = await self.jobs.job(job_id)
        if job.request.user_id != person.user_id:
            raise NotYourJob
        nsfw = is_nsfw(self.offers, job.request)
        actions = [
            action for action in result_actions(self.offers, gallery=False, nsfw=nsfw) if action != "delete"
        ]
        text = self.messages.text(
            person.locale, "history-act", number=str(job.number), prompt=quoted(job.request.prompt, 200)
        )
        await answer(interaction, text, view=job_row(self.messages, person.locale, job.id, actions))
