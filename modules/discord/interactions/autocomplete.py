"""What is offered while somebody types an option: at most 25 choices of at most 100 characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from discord import app_commands

from modules.discord.requests.requester import Requester
from modules.discord.ui.aspect_ratios import sizes_by_shape
from modules.discord.ui.formatting import plain
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Kind, ModelOffer

MOST = 25
WIDEST = 100

Offered = list[app_commands.Choice[str]]


def described(offer: ModelOffer, language: str) -> str:
    """What a model is good at, in a language or in English."""
    words = dict(offer.description)
    return words.get(language) or words.get("en", "")


@dataclass(kw_only=True, eq=False)
class Choices:
    """``seconds`` gives how long a model takes for a picture, once that is known; until then a choice
    shows the model's steps."""

    offers: Sequence[ModelOffer]
    messages: Translations
    seconds: Callable[[str], float | None]

    def models(self, kind: Kind, typed: str, person: Requester) -> Offered:
        """Models whose name, label or description holds what was typed; the preferred one first."""
        wanted, language = typed.strip().casefold(), self.messages.language(person.locale)
        found = [
            offer
            for offer in self.offers
            if offer.kind == kind
            and (person.age_restricted or not offer.nsfw)
            and wanted in f"{offer.name} {offer.label} {described(offer, language)}".casefold()
        ]
        found.sort(key=lambda offer: offer.name != person.preferences.model)
        return [
            app_commands.Choice(name=self._line(offer, person.locale), value=offer.name[:WIDEST])
            for offer in found[:MOST]
        ]

    def _line(self, offer: ModelOffer, locale: str) -> str:
        seconds = self.seconds(offer.id)
        text = self.messages.text(
            locale,
            "choice-model",
            label=offer.label,
            seconds="unknown" if seconds is None else max(1, round(seconds)),
            steps=offer.steps,
            description=described(offer, self.messages.language(locale)),
        )
        return plain(text.rstrip(" ·"), WIDEST)

    def shapes(self, model: str, typed: str, person: Requester) -> Offered:
        """The shapes, then the further sizes, that the chosen model (else: the first) can make."""
        known = [offer for offer in self.offers if offer.kind == "imagine"]
        offer = next((offer for offer in known if offer.name == model), known[0] if known else None)
        if offer is None:
            return []
        lines = {
            shape: f"{self.messages.text(person.locale, f'aspect-{shape}')} · {size}"
            for shape, size in sizes_by_shape(offer).items()
        }
        named = set(sizes_by_shape(offer).values())
        lines |= {f"{size.width}x{size.height}": str(size) for size in offer.sizes if size not in named}
        wanted = typed.strip().casefold()
        return [
            app_commands.Choice(name=line, value=value)
            for value, line in lines.items()
            if wanted.replace("x", "×") in line.casefold() or wanted in value
        ][:MOST]


def prompt_choices(recent: Sequence[str]) -> Offered:
    """The person's own prompts. What does not fit in a choice's value cannot be offered."""
    return [
        app_commands.Choice(name=plain(prompt, WIDEST), value=prompt)
        for prompt in recent
        if prompt.strip() and len(prompt) <= WIDEST
    ][:MOST]
