"""LoRAs and styles as people name and see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from modules.discord.ui.formatting import in_language, plain, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import LoraUse, Style
from modules.queue_manager.offers import LoraOffer

NONE = "none"
"""Stands for no LoRA or no style, whatever a person prefers."""

Entry = TypeVar("Entry", bound=LoraOffer | Style)


def find_entry(entries: Iterable[Entry], name: str) -> Entry | None:
    """The entry with this name or label, in any language and whatever its case."""
    wanted = name.strip().casefold()
    for entry in entries:
        if wanted in (entry.name, *map(str.casefold, _labels(entry))):
            return entry
    return None


def _labels(entry: LoraOffer | Style) -> Iterable[str]:
    return (entry.label,) if isinstance(entry, LoraOffer) else dict(entry.label).values()


def style_line(messages: Translations, locale: str | None, style: Style) -> str:
    """What people call a style."""
    return plain(in_language(style.label, messages.language(locale)) or style.name, 60)


def lora_line(messages: Translations, locale: str | None, lora: LoraUse) -> str:
    """A LoRA with its strength, and the words that it adds to the prompt."""
    label, words = plain(lora.label, 60), quoted(lora.words, 100) or "none"
    return messages.text(locale, "lora-line", label=label, strength=lora.strength, words=words)
