"""Which LoRA and which style somebody means, and whether they may have it with the model."""

from __future__ import annotations

from dataclasses import replace

from modules.discord.rejections import (
    BadLoraStrength,
    LoraForOtherModels,
    LoraForOthers,
    StrengthOfNothing,
    UnknownLora,
    UnknownStyle,
)
from modules.discord.requests.requester import Requester
from modules.discord.ui.loras_and_styles import NONE, find_entry
from modules.queue_manager.jobs import LoraUse, ModelOffer, Style
from modules.queue_manager.offers import STRENGTH_STEP, Offers


def lora_of(
    offers: Offers, person: Requester, offer: ModelOffer, name: str | None, strength: float | None
) -> LoraUse | None:
    """The LoRA called ``name``; with None, the preferred one for a new picture, if it fits and is allowed.
    Raises a `RequestRejected`."""
    if name is None and offer.kind == "imagine":
        preferred = next((one for one in offers.loras if one.name == person.preferences.lora), None)
        if preferred is not None and offer.name in preferred.models and preferred.allows(person.role_ids):
            name = preferred.name
    if name is None or _means_none(name):
        if strength is not None:
            raise StrengthOfNothing
        return None
    lora = find_entry(offers.loras, name)
    if lora is None:
        raise UnknownLora(lora=name[:80])
    if not lora.allows(person.role_ids):
        raise LoraForOthers(lora=lora.label)
    if offer.name not in lora.models:
        labels = [one.label for one in offers if one.name in lora.models]
        raise LoraForOtherModels(lora=lora.label, model=offer.label, models=", ".join(labels))
    strength = lora.strength if strength is None else strength
    if strength not in lora.steps():
        least, most = lora.strengths
        raise BadLoraStrength(lora=lora.label, least=least, most=most, step=STRENGTH_STEP)
    return lora.use(strength)


def style_of(offers: Offers, person: Requester, offer: ModelOffer, name: str | None) -> Style | None:
    """The style called ``name``; with None, the preferred one for a new picture, if there still is one. The
    style's negative prompt is kept only for models where each person has a negative prompt of their own.
    Raises `UnknownStyle`."""
    if name is None and offer.kind == "imagine":
        name = next((one.name for one in offers.styles if one.name == person.preferences.style), None)
    if name is None or _means_none(name):
        return None
    style = find_entry(offers.styles, name)
    if style is None:
        raise UnknownStyle(style=name[:80])
    return style if offer.negative == "own" else replace(style, negative="")


def _means_none(name: str) -> bool:
    return name.strip().casefold() in ("", NONE)
