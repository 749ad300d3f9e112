"""What /history shows: pages of a person's own pictures, found by model or word, and the one they choose."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import discord

from modules.discord.delivery.result_message import FIRST, is_nsfw, label_of, made_by, made_of, result_actions
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requester
from modules.discord.ui.components import button, job_buttons, menu
from modules.discord.ui.formatting import moment, plain, quoted
from modules.discord.ui.layout import (
    Part,
    accent_of,
    container,
    gallery,
    layout,
    row,
    section,
    separator,
    small,
    text,
    thumbnail,
)
from modules.discord.ui.message_parts import ShownFile
from modules.discord.ui.modals import search_form
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.jobs import GenerationRequest, JobId, ModelOffer
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History

PAGE = 8
"""A picture with its thumbnail counts as three of a message's 40 components."""

WORD_BYTES = 24
"""Of the word that is searched for: a ``custom_id``, which holds it, has 100 characters."""

EVERY = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryQuery:
    """Which pictures a page shows: with numbers below ``before`` (0: the newest), of a ``model`` (its mark;
    empty: of all), with ``word`` in their prompt."""

    before: int = 0
    model: str = ""
    word: str = ""

    @classmethod
    def of(cls, text: str) -> HistoryQuery:
        """The query that `__str__` wrote; older messages have the first part alone."""
        before, model, word, *_ = [*text.split(":"), "", "", ""]
        padded = word.upper() + "=" * (-len(word) % 8)
        return cls(before=int(before or 0), model=model, word=base64.b32decode(padded).decode())

    def __str__(self) -> str:
        """In the characters that a ``custom_id`` may have."""
        word = base64.b32encode(self.word.encode()).decode().rstrip("=").lower()
        return f"{self.before}:{self.model}:{word}"

    def fits(self, request: GenerationRequest) -> bool:
        """Whether a picture is one of those, whatever its number."""
        return self.word.casefold() in request.prompt.casefold() and (
            not self.model or self.model in map(_mark, request.models)
        )


def _mark(model: str) -> str:
    """Stands for a model's name where only a few characters are allowed."""
    return f"{zlib.crc32(model.encode()):08x}"


@dataclass(kw_only=True, eq=False)
class HistoryView:
    """Shows pages of a person's own pictures, and answers their controls."""

    history: History
    jobs: JobLookup
    deferrals: Deferrals
    messages: Translations
    offers: Sequence[ModelOffer]

    async def show(self, interaction: discord.Interaction) -> None:
        """The newest page."""
        await self._show_page(interaction, await self.deferrals.begin(interaction), HistoryQuery())

    async def turn_page(self, interaction: discord.Interaction, query: str) -> None:
        """Another page."""
        await self._show(interaction, HistoryQuery.of(query))

    async def filter(self, interaction: discord.Interaction, query: str, model: str) -> None:
        """A model was chosen."""
        chosen = "" if model == EVERY else model
        await self._show(interaction, replace(HistoryQuery.of(query), before=0, model=chosen))

    async def ask_word(self, interaction: discord.Interaction, query: str) -> None:
        """Open the form that asks for a word."""
        person = await self.deferrals.requesters.of(interaction)
        asked = HistoryQuery.of(query)
        about = f"{person.user_id}:{replace(asked, before=0, word='')}"
        await interaction.response.send_modal(search_form(self.messages, person.locale, about, asked.word))

    async def search(self, interaction: discord.Interaction, query: str, typed: str) -> None:
        """The form came back."""
        word = " ".join(typed.split()).encode()[:WORD_BYTES].decode(errors="ignore")
        await self._show(interaction, replace(HistoryQuery.of(query), word=word))

    async def _show(self, interaction: discord.Interaction, query: HistoryQuery) -> None:
        await self._show_page(interaction, await self.deferrals.begin(interaction, update=True), query)

    async def _show_page(
        self, interaction: discord.Interaction, person: Requester, query: HistoryQuery
    ) -> None:
        """One record more than fits means that there is another page."""
        messages, locale = self.messages, person.locale
        records = await self.history.of_user(
            person.user_id, before=query.before or None, limit=PAGE + 1, fits=query.fits
        )
        shown, more = records[:PAGE], len(records) > PAGE
        links = {record.job_id: await self.jobs.link(record) for record in shown}
        pictures = await self.jobs.pictures([record for record in shown if links[record.job_id]])
        models = await self.history.models_used(person.user_id)
        title = [f"### {messages.text(locale, 'history-title')}"]
        if query.word:
            title.append("-# " + messages.text(locale, "history-word", word=quoted(query.word, WORD_BYTES)))
        if not shown:
            found = "history-none-found" if query.word or query.model else "history-empty"
            title.append(messages.text(locale, found))
        await answer(
            interaction,
            view=layout(
                container(
                    text("\n".join(title)),
                    *[
                        self._line(locale, record, links[record.job_id], pictures.get(record.job_id))
                        for record in shown
                    ],
                    separator() if shown else None,
                    self._pick_menu(person, query, shown) if shown else None,
                    self._filter_menu(person, query, models) if query.model or len(models) > 1 else None,
                    self._turn_buttons(person, query, shown[-1].number if more else None) if models else None,
                )
            ),
        )

    def _line(self, locale: str, record: JobRecord, link: str | None, picture: ShownFile | None) -> Part:
        """A picture that cannot be seen any more has no thumbnail, and the line says why."""
        state: str = record.state
        if state == "delivered" and picture is None:
            state = "closed" if link is None and record.message_id is not None else "deleted"
        line = self.messages.text(
            locale,
            "history-line",
            number=str(record.number),
            when=moment(record.queued_at),
            model=made_by(self.messages, locale, self.offers, record.request),
            size="none" if record.size is None else str(record.size),
            state=state,
            link=link or "",
        )
        said = (
            f"{line}\n{self.messages.text(locale, 'prompt-line', prompt=quoted(record.request.prompt, 80))}"
        )
        if picture is None:
            return text(said)
        return section(said, thumbnail(picture.url, plain(record.request.prompt, 1000)))

    def _pick_menu(self, person: Requester, query: HistoryQuery, shown: Sequence[JobRecord]) -> Part:
        options = [
            discord.SelectOption(
                label=plain(f"#{record.number} {record.request.prompt}", 100), value=record.job_id
            )
            for record in shown
        ]
        about = f"{person.user_id}:{query}"
        return row(menu("pick", about, self.messages.text(person.locale, "history-pick"), options))

    def _filter_menu(self, person: Requester, query: HistoryQuery, models: Sequence[str]) -> Part:
        every = discord.SelectOption(
            label=self.messages.text(person.locale, "history-all-models"),
            value=EVERY,
            default=not query.model,
        )
        options = [
            discord.SelectOption(
                label=plain(label_of(self.offers, name), 100),
                value=_mark(name),
                default=_mark(name) == query.model,
            )
            for name in models
        ]
        about = f"{person.user_id}:{query}"
        placeholder = self.messages.text(person.locale, "history-model")
        return row(menu("filter", about, placeholder, [every, *options]))

    def _turn_buttons(self, person: Requester, query: HistoryQuery, last: int | None) -> Part:
        """``last``: the lowest number on a page that is not the last one."""
        targets = {
            "newer": ("page", replace(query, before=0)) if query.before else None,
            "older": ("page", replace(query, before=last)) if last is not None else None,
            "search": ("search", query),
        }
        return row(
            *[
                button(
                    self.messages.text(person.locale, f"button-{name}"),
                    target[0],
                    f"{person.user_id}:{target[1]}",
                )
                for name, target in targets.items()
                if target is not None
            ]
        )

    async def pick(self, interaction: discord.Interaction, query: str, job_id: JobId) -> None:
        """A picture was chosen: show it in the page's place, what can be done with it, and the way back."""
        person, messages = await self.deferrals.begin(interaction, update=True), self.messages
        job, record = await self.jobs.job(job_id), await self.history.job(job_id)
        request, locale = job.request, person.locale
        if request.user_id != person.user_id:
            raise NotYourJob
        there = record is not None and await self.jobs.link(record)
        found = await self.jobs.pictures([record]) if record is not None and there else {}
        picture = found.get(job_id)
        size = record.size if record is not None and record.size is not None else request.size
        shares = picture is not None and self.jobs.gallery_channel_id is not None
        nsfw = is_nsfw(self.offers, request)
        actions = result_actions(self.offers, varies=self.jobs.queue.varies(), gallery=shares, nsfw=nsfw)
        facts = made_of(messages, locale, self.offers, request, size)
        await answer(
            interaction,
            view=layout(
                container(
                    text(messages.text(locale, "result-number", number=str(job.number))),
                    gallery([(picture.url, plain(request.prompt, 1000))]) if picture is not None else None,
                    text(messages.text(locale, "prompt-line", prompt=quoted(request.prompt, 200))),
                    small(" · ".join(facts)),
                    job_buttons(messages, locale, job_id, [a for a in actions if a in FIRST]),
                    job_buttons(messages, locale, job_id, [a for a in actions if a not in FIRST]),
                    row(button(messages.text(locale, "button-back"), "page", f"{person.user_id}:{query}")),
                    accent=accent_of(request.model),
                )
            ),
        )
