"""The forms that ask for a prompt, filled in with what is known, and how their answers are read.

What a form is about stands in its ``custom_id``: one that was open during a restart is answered too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import discord

from modules.discord.rejections import NotANumber
from modules.discord.ui.components import custom_id
from modules.discord.ui.formatting import is_whole
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Job, ModelOffer

OPEN_FOR = 900.0
"""Seconds after which Discord would not take an answer any more."""

FIELD_LIMIT = 4000
"""Characters that a form's field can hold."""


def edit_form(messages: Translations, locale: str, about: str) -> discord.ui.Modal:
    """Asks what should change in a picture."""
    form = _form(messages, locale, "form-edit", f"edit:{about}")
    form.add_item(_field(messages, locale, "prompt", long=True))
    return form


def again_form(messages: Translations, locale: str, about: str) -> discord.ui.Modal:
    """Asks for the prompt of a picture that nobody here remembers."""
    form = _form(messages, locale, "form-again", f"again:{about}")
    form.add_item(_field(messages, locale, "prompt", long=True))
    return form


def prompt_form(messages: Translations, locale: str, job: Job, offer: ModelOffer | None) -> discord.ui.Modal:
    """Everything that what a picture shows was made from, to be changed; ``offer`` is that model's."""
    request = job.request.maker
    form = _form(messages, locale, "form-prompt", f"prompt:{job.id}")
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


def _form(messages: Translations, locale: str, title: str, about: str) -> discord.ui.Modal:
    return discord.ui.Modal(
        title=messages.text(locale, title)[:45], timeout=OPEN_FOR, custom_id=custom_id("form", about)
    )


def _field(
    messages: Translations,
    locale: str,
    name: str,
    value: str = "",
    *,
    long: bool = False,
    required: bool = True,
) -> discord.ui.Label[Any]:
    """A value that is too long for the field is cut, with a word."""
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
    return {str(field["custom_id"]): str(field.get("value") or "") for field in _fields(data)}


def _fields(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in data.get("components", ()):
        inner = [part["component"]] if "component" in part else part.get("components", ())
        yield from (field for field in inner if "custom_id" in field)


def seed_of(text: str | None) -> int | None:
    """A seed as somebody typed it; None for a new one. Raises `NotANumber`."""
    cleaned = (text or "").strip()
    if not cleaned:
        return None
    if not is_whole(cleaned):
        raise NotANumber(value=cleaned[:40])
    return int(cleaned)
