"""The forms about a picture: which models they offer, and what happens to one that is refused.

Nothing that somebody typed is lost: the answer shows it for copying, and a button opens the form again. That
answer holds everything that this needs.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from modules.discord.rejections import NobodyStarts
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import FOR_PARTS, USUAL_STRENGTH
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.ui.components import button
from modules.discord.ui.formatting import BROKEN_FENCE, code_block
from modules.discord.ui.layout import Part, attached, container, layout, row, small, text
from modules.discord.ui.loras_and_styles import find_entry
from modules.discord.ui.message_parts import components_of, files_of
from modules.discord.ui.modals import Typed, prompt_form, short_form, uploads_of, values_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import UnknownModel
from modules.queue_manager.jobs import Job, Kind, ModelOffer
from modules.queue_manager.offers import Offers
from modules.utils.database.stores.history import History

LONG_FIELDS = {"prompt": 1001, "negative": 1002}
"""The number of the text that shows each field; small numbers are Discord's own."""

SHORT_FIELDS = {"seed": 1003, "size": 1004, "model": 1005, "style": 1006, "strength": 1007}

BLOCK = 1200
"""Characters of a text that are shown; a longer one is attached as a file too."""


@dataclass(kw_only=True, eq=False)
class PromptForms:
    """``offers``: all models, LoRAs and styles."""

    history: History
    reader: AttachmentReader
    messages: Translations
    offers: Offers

    async def likely(self, person: Requester, kind: Kind, first: str | None = None) -> list[ModelOffer]:
        """The models of a kind that the person may choose: ``first``, the preferred one, their own by use,
        those of others by use, the rest."""
        used = [first, person.preferences.model, *await self.history.models_used(person.user_id)]
        order = list(dict.fromkeys([*used, *await self.history.models_used()]))
        offers = [
            offer
            for offer in self.offers
            if offer.kind == kind and (person.age_restricted or not offer.nsfw or offer.name == first)
        ]

        def rank(offer: ModelOffer) -> tuple[int, bool]:
            known = order.index(offer.name) if offer.name in order else len(order)
            return known, offer.masks in FOR_PARTS

        return sorted(offers, key=rank)

    async def short(
        self, person: Requester, kind: str, about: str, typed: Typed | None = None
    ) -> discord.ui.Modal:
        """Asks what should change in a picture (``edit``), what to make from it (``start``, raises
        `NobodyStarts`), or for a new prompt."""
        if kind == "start":
            models = [offer for offer in await self.likely(person, "imagine") if offer.starts]
            if not models:
                raise NobodyStarts
            usual = f"{person.preferences.start_strength or USUAL_STRENGTH:.2f}"
            known = {"strength": usual, **(typed or {})}
            return short_form(self.messages, person.locale, "start", about, models=models, typed=known)
        if kind != "edit":
            return short_form(self.messages, person.locale, "again", about, typed=typed)
        models = await self.likely(person, "edit")
        return short_form(self.messages, person.locale, "edit", about, models=models, typed=typed)

    async def about(
        self, job: Job, person: Requester, message: discord.Message | None, typed: Typed | None = None
    ) -> discord.ui.Modal:
        """Everything that the picture was made from; for an enlargement whose original is not known, or where
        no model makes such pictures any more, only a new prompt. Raises `UnknownModel`."""
        made = job.request.maker
        models = [
            offer
            for offer in await self.likely(person, made.kind, made.model)
            if (made.strength is None or offer.starts) and (made.mask is None or offer.masks != "none")
        ]
        if message is not None and (made.kind == "upscale" or not models):
            return await self.short(person, "again", about_message(message))
        if not models:
            raise UnknownModel(model=made.model)
        return prompt_form(
            self.messages,
            person.locale,
            job.id,
            made,
            models=models,
            styles=self.offers.styles,
            lora=None if made.lora is None else find_entry(self.offers.loras, made.lora.name),
            typed=typed,
        )

    def given_back(
        self, data: Mapping[str, Any], form: str, locale: str, said: str
    ) -> tuple[discord.ui.LayoutView, list[discord.File]]:
        """``said``, why a form was refused, then what stood in it and the button that opens it again.
        ``data``: what came back from it; ``form``: its kind and what it was about."""
        messages, typed = self.messages, values_of(data)
        parts: list[Part] = [text(said)]
        files = []
        for name, number in LONG_FIELDS.items():
            value, label = typed.get(name, ""), messages.text(locale, f"form-field-{name}")
            if value:
                parts.append(discord.ui.TextDisplay(f"**{label}**\n{code_block(value, BLOCK)}", id=number))
            if len(value) > BLOCK:
                files.append(discord.File(io.BytesIO(value.encode()), f"{name}.txt"))
                parts.append(discord.ui.File(attached(f"{name}.txt")))
        for name, number in SHORT_FIELDS.items():
            value, label = typed.get(name, "").replace("`", "'"), messages.text(locale, f"form-field-{name}")
            if value:
                parts.append(discord.ui.TextDisplay(f"-# {label}: `{value}`", id=number))
        if uploads_of(data):
            parts.append(small(messages.text(locale, "form-files-again")))
        again = button(messages.text(locale, "button-reopen"), "reopen", form)
        return layout(container(*parts, row(again))), files

    async def typed_in(self, message: discord.Message) -> dict[str, str]:
        """What stood in the form that `given_back` answered with this message. Raises `BadSourceImage` if an
        attached text cannot be read."""
        names = {number: name for name, number in (LONG_FIELDS | SHORT_FIELDS).items()}
        # what is not shown was empty, whatever the picture was made from
        typed = dict.fromkeys(names.values(), "")
        for component in components_of(message):
            if isinstance(component, discord.TextDisplay) and component.id in names:
                typed[names[component.id]] = _value(component.content)
        for file in files_of(message):
            typed[file.name.removesuffix(".txt")] = (await self.reader.read(file.url)).decode()
        return typed


def _value(shown: str) -> str:
    """What a text of `given_back` holds, without its label and marks."""
    block = shown.partition("```\n")[2]
    if block:
        return block.removesuffix("\n```").replace(BROKEN_FENCE, "```")
    return shown.partition("`")[2].removesuffix("`")


def about_message(message: discord.Message) -> str:
    """How a form names a message."""
    return f"{message.channel.id}-{message.id}"
