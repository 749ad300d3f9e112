"""Pure: what is offered while somebody types an option: at most 25 choices of at most 100 characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from discord import app_commands

from modules.discord.requests.requester import Requester
from modules.discord.ui.aspect_ratios import sizes_by_shape
from modules.discord.ui.formatting import plain
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Kind, ModelOffer

MOST = 25
WIDEST = 100


def described(offer: ModelOffer, language: str) -> str:
    """What a model is good at, in a language or in English."""
    words = dict(offer.description)
    return words.get(language) or words.get("en", "")


def model_choices(
    offers: Sequence[ModelOffer],
    kind: Kind,
    typed: str,
    person: Requester,
    messages: Translations,
    *,
    seconds: Callable[[str], float | None],
) -> list[app_commands.Choice[str]]:
    """Models whose name, label or description holds what was typed; the preferred one first.

    ``seconds`` tells how long a model takes for a picture, once that is known; until then its steps are told.
    """
    wanted, language = typed.strip().casefold(), messages.language(person.locale)
    found = [
        offer
        for offer in offers
        if offer.kind == kind
        and (person.age_restricted or not offer.nsfw)
        and wanted in f"{offer.name} {offer.label} {described(offer, language)}".casefold()
    ]
    found.sort(key=lambda offer: offer.name != person.preferences.model)
    return [
        app_commands.Choice(
            name=_line(offer, person.locale, messages, seconds(offer.name)), value=offer.name[:WIDEST]
        )
        for offer in found[:MOST]
    ]


class ModelChoices:
    """Offers the models of the queue to whoever types. ``seconds``: see `model_choices`."""

    def __init__(
        self, *, offers: Sequence[ModelOffer], messages: Translations, seconds: Callable[[str], float | None]
    ) -> None:
        self._offers, self._messages, self._seconds = offers, messages, seconds

    def matching(self, kind: Kind, typed: str, person: Requester) -> list[app_commands.Choice[str]]:
        """The models that fit what somebody types."""
        return model_choices(self._offers, kind, typed, person, self._messages, seconds=self._seconds)


def _line(offer: ModelOffer, locale: str, messages: Translations, seconds: float | None) -> str:
    text = messages.text(
        locale,
        "choice-model",
        label=offer.label,
        seconds="unknown" if seconds is None else max(1, round(seconds)),
        steps=offer.steps,
        description=described(offer, messages.language(locale)),
    )
    return plain(text.rstrip(" ·"), WIDEST)


def shape_choices(
    offers: Sequence[ModelOffer], model: str, typed: str, person: Requester, messages: Translations
) -> list[app_commands.Choice[str]]:
    """The shapes and sizes that the chosen model (else: any of its kind) can do."""
    known = [offer for offer in offers if offer.kind == "imagine"]
    offer = next((offer for offer in known if offer.name == model), known[0] if known else None)
    if offer is None:
        return []
    shapes = sizes_by_shape(offer)
    lines = {
        shape: f"{messages.text(person.locale, f'aspect-{shape}')} · {size}" for shape, size in shapes.items()
    }
    lines |= {f"{size.width}x{size.height}": str(size) for size in offer.sizes}
    wanted = typed.strip().casefold().replace("x", "×")
    return [
        app_commands.Choice(name=line, value=value)
        for value, line in lines.items()
        if wanted in line.casefold() or typed.strip().casefold() in value
    ][:MOST]


def prompt_choices(recent: Sequence[str]) -> list[app_commands.Choice[str]]:
    """The person's own prompts. What does not fit in a choice's value cannot be offered."""
    return [
        app_commands.Choice(name=plain(prompt, WIDEST), value=prompt)
        for prompt in recent
        if prompt.strip() and len(prompt) <= WIDEST
    ][:MOST]
