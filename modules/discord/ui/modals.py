"""The forms that ask for a prompt, filled in with what is known, and how their answers are read.

A form's ``custom_id`` says what it is about, so one that was open during a restart is answered too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import discord

from modules.discord.rejections import NotANumber
from modules.discord.ui.aspect_ratios import SHAPES, shape_of, sizes_by_shape
from modules.discord.ui.components import custom_id
from modules.discord.ui.formatting import is_whole, plain
from modules.discord.ui.loras_and_styles import NONE, lora_line, style_line
from modules.discord.ui.message_parts import components_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import START_STEP, GenerationRequest, ModelOffer, Size, Style
from modules.queue_manager.offers import LoraOffer

OPEN_FOR = 900.0
"""Seconds after which Discord no longer takes an answer."""

FIELD_LIMIT = 4000
"""Characters that a form's field can hold."""

MENU_LIMIT = 25
"""Choices that a menu can have."""

UPLOADS = "pictures"
"""The field for files."""

STRENGTHS = tuple(f"{step * START_STEP:.2f}" for step in range(1, round(1 / START_STEP) + 1))
"""All strengths of a start picture, as options of a menu."""

Typed = Mapping[str, str]
"""What somebody typed or chose in a form, by field."""


def short_form(
    messages: Translations,
    locale: str,
    kind: Literal["edit", "again", "start"],
    about: str,
    *,
    models: Sequence[ModelOffer] = (),
    typed: Typed | None = None,
) -> discord.ui.Modal:
    """Asks what should change in a picture (``edit``), for a new prompt where the picture's own cannot be
    shown (``again``), or what to make from a picture and how much of it may change (``start``).

    ``about``: a job's id, or the ids of a channel and of a message in it, joined by a hyphen. ``models``:
    those that can do it; if one takes several pictures, more can be added. ``typed``: what the fields hold at
    first.
    """
    typed = typed or {}
    form = _form(messages, locale, kind, about)
    form.add_item(_field(messages, locale, "prompt", typed.get("prompt", ""), long=True))
    most = max((offer.source_count[1] for offer in models), default=0) - 1
    if most > 0:
        form.add_item(_uploads(messages, locale, min(most, 10)))
    if kind == "start":
        form.add_item(_strength_menu(messages, locale, typed.get("strength", "")))
    if len(models) > 1:
        form.add_item(_model_menu(messages, locale, models, typed.get("model") or models[0].name))
    return form


def prompt_form(
    messages: Translations,
    locale: str,
    about: str,
    request: GenerationRequest,
    *,
    models: Sequence[ModelOffer],
    styles: Sequence[Style] = (),
    lora: LoraOffer | None = None,
    typed: Typed | None = None,
) -> discord.ui.Modal:
    """Everything that a picture was made from, to be changed; ``models``: those to choose from, at least one.
    The LoRA stays with the models that it fits, and the form says so; ``lora``: what is offered of it now.
    ``typed``: what the fields hold at first, if that is something else. What starts from a picture keeps its
    shape, and has its strength instead. A form has five fields: where six would be of use, that for the
    negative prompt is left out, or, if the model takes one, that for the seed, which stays."""
    before = {
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": str(request.seed),
        "size": _size_value(request.size),
        "model": request.model,
        "style": request.style.name if request.style is not None else NONE,
        "strength": "" if request.strength is None else f"{request.strength:.2f}",
    }
    now = {**before, **(typed or {})}
    form = _form(messages, locale, "prompt", about)
    form.add_item(_field(messages, locale, "prompt", now["prompt"], long=True))
    negative = {offer.name: offer.negative != "none" for offer in models}
    own, full = negative.get(request.model, False), bool(styles) and request.kind == "imagine"
    if own or (any(negative.values()) and not full):
        form.add_item(_field(messages, locale, "negative", now["negative"], long=True, required=False))
    if not (own and full):
        form.add_item(_field(messages, locale, "seed", now["seed"], required=False))
    if request.strength is not None:
        form.add_item(_strength_menu(messages, locale, now["strength"]))
    elif request.kind == "imagine" and request.mask is None:
        shapes = _shapes(messages, locale, request, models)
        form.add_item(_menu(messages, locale, "size", shapes, now["size"]))
    model_menu = _model_menu(messages, locale, models, now["model"])
    if request.lora is not None:
        fitting = ", ".join(offer.label for offer in models if lora is not None and offer.name in lora.models)
        told = messages.text(
            locale, "form-lora", lora=lora_line(messages, locale, request.lora), models=fitting or "none"
        )
        model_menu.description = plain(told, 100)
    form.add_item(model_menu)
    if styles:
        labels = {style.name: style_line(messages, locale, style) for style in styles}
        kept = (
            {now["style"]: labels.get(now["style"], now["style"])} if now["style"] not in ("", NONE) else {}
        )
        choices = {NONE: messages.text(locale, "choice-no-style"), **kept, **labels}
        form.add_item(_menu(messages, locale, "style", choices, now["style"]))
    return form


def _strength_menu(messages: Translations, locale: str, now: str) -> discord.ui.Label[Any]:
    found = _menu(messages, locale, "strength", dict(zip(STRENGTHS, STRENGTHS, strict=True)), now)
    found.description = messages.text(locale, "form-hint-strength")[:100]
    return found


def size_for(request: GenerationRequest, model: ModelOffer | None, chosen: str) -> str:
    """The size that was chosen in a form. If it is the picture's former one, which the model does not make,
    its shape is meant, if the model makes that."""
    kept = model is not None and chosen == _size_value(request.size)
    if model is None or not kept or request.size in (*model.sizes, model.default_size):
        return chosen
    shape = shape_of(request.size)
    return shape if shape in sizes_by_shape(model) else chosen


def _size_value(size: Size) -> str:
    return f"{size.width}x{size.height}"


def _shapes(
    messages: Translations, locale: str, request: GenerationRequest, models: Sequence[ModelOffer]
) -> dict[str, str]:
    """The former size first, then the shapes that any of the models makes, then its own model's sizes."""
    own = next((offer for offer in models if offer.name == request.model), None)
    sizes = sizes_by_shape(own) if own is not None else {}
    name = messages.text(locale, f"aspect-{shape_of(request.size)}")
    choices = {_size_value(request.size): f"{name} · {request.size}"}
    for shape in SHAPES:
        if sizes.get(shape) != request.size and any(shape in sizes_by_shape(offer) for offer in models):
            name = messages.text(locale, f"aspect-{shape}")
            choices[shape] = f"{name} · {sizes[shape]}" if shape in sizes else name
    for size in own.sizes if own is not None else ():
        if size not in sizes.values():
            choices.setdefault(_size_value(size), str(size))
    return choices


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
    limit, hint = FIELD_LIMIT if long else 100, f"form-hint-{name}"
    cut = messages.text(locale, "form-cut", shown=limit, length=len(value)) if len(value) > limit else None
    return discord.ui.Label(
        text=messages.text(locale, f"form-field-{name}")[:45],
        description=cut and cut[:100],
        component=discord.ui.TextInput(
            custom_id=name,
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=value[:limit] or None,
            placeholder=messages.text(locale, hint)[:100] if messages.has(hint) else None,
            required=required,
            max_length=limit,
        ),
    )


def _model_menu(
    messages: Translations, locale: str, models: Sequence[ModelOffer], now: str
) -> discord.ui.Label[Any]:
    labels = {offer.name[:100]: plain(offer.label, 100) for offer in models}
    return _menu(messages, locale, "model", labels, now)


def _menu(
    messages: Translations, locale: str, name: str, choices: Mapping[str, str], now: str
) -> discord.ui.Label[Any]:
    """``choices``: what is shown for each value; the first ones that fit."""
    options = [
        discord.SelectOption(label=label, value=value, default=value == now)
        for value, label in list(choices.items())[:MENU_LIMIT]
    ]
    return discord.ui.Label(
        text=messages.text(locale, f"form-field-{name}")[:45],
        component=discord.ui.Select(custom_id=name, options=options),
    )


def _uploads(messages: Translations, locale: str, most: int) -> discord.ui.Label[Any]:
    return discord.ui.Label(
        text=messages.text(locale, "form-field-pictures")[:45],
        component=discord.ui.FileUpload(custom_id=UPLOADS, required=False, min_values=0, max_values=most),
    )


def values_of(data: Mapping[str, Any]) -> dict[str, str]:
    """What was typed or chosen, by field, of a form's interaction data."""
    fields = (field for field in components_of(data) if "custom_id" in field)
    return {str(field["custom_id"]): _value(field) for field in fields if field["custom_id"] != UPLOADS}


def _value(field: Mapping[str, Any]) -> str:
    return str(field.get("value") or next(iter(field.get("values") or ()), ""))


def uploads_of(data: Mapping[str, Any]) -> list[str]:
    """The addresses of the files that were added to a form."""
    files = (data.get("resolved") or {}).get("attachments") or {}
    added = [field.get("values") or () for field in components_of(data) if field.get("custom_id") == UPLOADS]
    return [str(files[file]["url"]) for ids in added for file in ids if file in files]


def strength_of(typed: Typed) -> float | None:
    """The strength that was chosen in a form; None: none was. Raises `NotANumber`."""
    chosen = typed.get("strength", "")
    try:
        return float(chosen) if chosen else None
    except ValueError:
        raise NotANumber(value=chosen[:40]) from None


def seed_of(text: str | None) -> int | None:
    """A seed as somebody typed it; None for a new one. Raises `NotANumber`."""
    cleaned = (text or "").strip()
    if not cleaned:
        return None
    if not is_whole(cleaned):
        raise NotANumber(value=cleaned[:40])
    return int(cleaned)
