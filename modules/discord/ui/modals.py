"""The forms that ask for a prompt, filled in with what is known, and how their answers are read.

A form's ``custom_id`` says what it is about, so one that was open during a restart is answered too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import discord

from modules.discord.rejections import NotANumber
from modules.discord.ui.components import custom_id
from modules.discord.ui.formatting import is_whole
from modules.discord.ui.message_parts import components_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Job, JobId, ModelOffer

OPEN_FOR = 900.0
"""Seconds after which Discord no longer takes an answer."""

FIELD_LIMIT = 4000
"""Characters that a form's field can hold."""


def short_form(
    messages: Translations, locale: str, kind: Literal["edit", "again"], about: JobId | discord.Message
) -> discord.ui.Modal:
    """Asks what should change in a picture, or for the prompt of one whose own prompt cannot be shown."""
    if isinstance(about, discord.Message):
        about = JobId(f"{about.channel.id}-{about.id}")
    form = _form(messages, locale, kind, about)
    form.add_item(_field(messages, locale, "prompt", long=True))
    return form


def prompt_form(messages: Translations, locale: str, job: Job, offer: ModelOffer | None) -> discord.ui.Modal:
    """Everything that a picture was made from, to be changed; ``offer``: its model, None if it is gone."""
    request = job.request.maker
    form = _form(messages, locale, "prompt", job.id)
    form.add_item(_field(messages, locale, "prompt", request.prompt, long=True))
    if offer is not None and offer.negative != "none":
        form.add_item(_field(messages, locale, "negative", request.negative, long=True, required=False))
    form.add_item(_field(messages, locale, "seed", str(request.seed), required=False))
    if request.kind == "imagine":
        form.add_item(_field(messages, locale, "size", str(request.size), required=False))
    form.add_item(
        _field(messages, locale, "model", offer.label if offer is not None else request.model, required=False)
    )
    return form


def search_form(messages: Translations, locale: str, about: str, word: str) -> discord.ui.Modal:
    """Asks for a word to look for; ``about`` comes back with it."""
    form = _form(messages, locale, "search", about)
    form.add_item(_field(messages, locale, "word", word, required=False))
    return form


def _form(messages: Translations, locale: str, kind: str, about: str) -> discord.ui.Modal:
    title = messages.text(locale, f"form-{kind}")[:45]
    return discord.ui.Modal(title=title, timeout=OPEN_FOR, custom_id=custom_id("form", f"{kind}:{about}"))


def _field(
    messages: Translations,
    locale: str,
    name: str,
    value: str = "",
    *,
    long: bool = False,
    required: bool = True,
) -> discord.ui.Label[Any]:
    """A value that is too long for the field is cut, and the description says so."""
    limit = FIELD_LIMIT if long else 100
    cut = messages.text(locale, "form-cut", shown=limit, length=len(value)) if len(value) > limit else None
    return discord.ui.Label(
        text=messages.text(locale, f"form-field-{name}")[:45],
        description=cut and cut[:100],
        component=discord.ui.TextInput(
            custom_id=name,
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=value[:limit] or None,
            required=required,
            max_length=limit,
        ),
    )


def values_of(data: Mapping[str, Any]) -> dict[str, str]:
    """What was typed, by field, of a form's interaction data."""
    fields = (field for field in components_of(data) if "custom_id" in field)
    return {str(field["custom_id"]): str(field.get("value") or "") for field in fields}


def seed_of(text: str | None) -> int | None:
    """A seed as somebody typed it; None for a new one. Raises `NotANumber`."""
    cleaned = (text or "").strip()
    if not cleaned:
        return None
    if not is_whole(cleaned):
        raise NotANumber(value=cleaned[:40])
    return int(cleaned)
