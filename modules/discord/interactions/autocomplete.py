"""What is offered while somebody types an option: at most 25 choices of at most 100 characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from discord import app_commands

from modules.discord.requests.requester import Requester
from modules.discord.ui.aspect_ratios import sizes_by_shape
from modules.discord.ui.formatting import in_language, plain
from modules.discord.ui.loras_and_styles import NONE, find_entry, style_line
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Kind, ModelOffer
from modules.queue_manager.offers import LoraOffer, Offers

MOST = 25
WIDEST = 100

Offered = list[app_commands.Choice[str]]


@dataclass(kw_only=True, eq=False)
class Choices:
    """``seconds`` gives how long a model takes for a picture, once that is known; until then a choice
    shows the model's steps. ``has``: whether a model can be run with a LoRA's file now."""

    offers: Offers
    messages: Translations
    seconds: Callable[[str], float | None]
    has: Callable[[ModelOffer, str], bool]

    def models(self, kind: Kind, typed: str, person: Requester) -> Offered:
        """Models whose name, label or description holds what was typed; the preferred one first."""
        wanted, language = typed.strip().casefold(), self.messages.language(person.locale)
        found = [
            offer
            for offer in self.offers
            if offer.kind == kind
            and (person.age_restricted or not offer.nsfw)
            and wanted in f"{offer.name} {offer.label} {in_language(offer.description, language)}".casefold()
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
            description=in_language(offer.description, self.messages.language(locale)),
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

    def loras(self, kind: Kind, model: str, typed: str, person: Requester) -> Offered:
        """The LoRAs that the person may use with the chosen model (else: with any) and that a server has."""
        wanted, locale = typed.strip().casefold(), person.locale
        models = [one for one in self.offers if one.kind == kind and model in ("", one.name, one.label)]
        usable = [
            lora
            for lora in self.offers.loras
            if lora.allows(person.role_ids)
            and any(one.name in lora.models and self.has(one, lora.file) for one in models)
        ]
        found = [lora for lora in usable if wanted in f"{lora.name} {lora.label} {lora.words}".casefold()]
        return self._with_none(
            "choice-no-lora" if usable else "choice-no-loras",
            [(lora.name, self._lora_line(lora, locale)) for lora in found],
            locale,
        )

    def strengths(self, lora: str, typed: str, person: Requester) -> list[app_commands.Choice[float]]:
        """The strengths of the chosen LoRA, its usual one first."""
        chosen = find_entry(self.offers.loras, lora or person.preferences.lora or "")
        if chosen is None:
            return []
        steps = sorted(chosen.steps(), key=lambda step: step != chosen.strength)
        lines = {step: self.messages.text(person.locale, "choice-strength", strength=step) for step in steps}
        wanted = typed.strip().replace(",", ".")
        return [
            app_commands.Choice(name=line, value=step)
            for step, line in lines.items()
            if wanted in line.replace(",", ".")
        ][:MOST]

    def styles(self, typed: str, person: Requester) -> Offered:
        """The styles whose name or label holds what was typed."""
        wanted, locale = typed.strip().casefold(), person.locale
        lines = [(style.name, style_line(self.messages, locale, style)) for style in self.offers.styles]
        found = [(name, line) for name, line in lines if wanted in f"{name} {line}".casefold()]
        return self._with_none("choice-no-style", found, person.locale)

    def _with_none(self, none: str, found: Sequence[tuple[str, str]], locale: str) -> Offered:
        """What was found (names and lines), then the choice of none."""
        choices = [*found[: MOST - 1], (NONE, self.messages.text(locale, none))]
        return [app_commands.Choice(name=plain(line, WIDEST), value=name) for name, line in choices]

    def _lora_line(self, lora: LoraOffer, locale: str) -> str:
        least, most = lora.strengths
        return self.messages.text(
            locale, "choice-lora", label=lora.label, words=lora.words or "none", least=least, most=most
        )


def prompt_choices(recent: Sequence[str]) -> Offered:
    """The person's own prompts. What does not fit in a choice's value cannot be offered."""
    return [
        app_commands.Choice(name=plain(prompt, WIDEST), value=prompt)
        for prompt in recent
        if prompt.strip() and len(prompt) <= WIDEST
    ][:MOST]
