"""Everything the bot says, from one Fluent file per language in ``locales/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.resolver import Message

from modules.queue_manager.errors import BotError

LOCALES = Path(__file__).parents[1] / "locales"
FALLBACK = "en"

Field = str | int | float


class Translations:
    """Sentences by key and language. A language that has no file is answered in English."""

    def __init__(self, bundles: Mapping[str, FluentBundle]) -> None:
        self._bundles = dict(bundles)

    @classmethod
    def load(cls, folder: Path = LOCALES) -> Translations:
        """Read each ``<language>.ftl`` in ``folder``."""
        return cls({file.stem: _bundle(file) for file in sorted(folder.glob("*.ftl"))})

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a file, such as ``en`` and ``es``."""
        return tuple(self._bundles)

    def language(self, locale: str | None) -> str:
        """The language for a Discord locale such as ``es-419``."""
        base = (locale or FALLBACK).partition("-")[0]
        return base if base in self._bundles else FALLBACK

    def text(self, locale: str | None, key: str, /, **fields: Field) -> str:
        """The sentence, its blanks filled. Raises KeyError for an unknown key.

        Whole numbers choose plural forms and are shown with the language's separators: give as text
        what must be shown as it is (seeds, sizes).
        """
        bundle = self._bundles[self.language(locale)]
        if not bundle.has_message(key):
            bundle = self._bundles[FALLBACK]
        message: Message = bundle.get_message(key)
        if message.value is None:
            raise KeyError(key)
        return str(bundle.format_pattern(message.value, fields)[0])

    def attribute(self, locale: str | None, key: str, attribute: str) -> str | None:
        """A part of the message ``key`` (a command's description, an option's name), or None."""
        bundle = self._bundles[self.language(locale)]
        if not bundle.has_message(key):
            return None
        pattern = bundle.get_message(key).attributes.get(attribute)
        return None if pattern is None else str(bundle.format_pattern(pattern, {})[0])

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return self._bundles[FALLBACK].has_message(key)

    def error(self, locale: str | None, error: BotError) -> str:
        """The sentence for one of our own errors."""
        given: dict[str, Field] = {"reason": error.reason, **error.fields}
        fields = {name: _short(value) for name, value in given.items()}
        key = error.message_key
        return self.text(locale, key if self.has(key) else BotError.message_key, **fields)


def _bundle(file: Path) -> FluentBundle:
    # No isolation marks: they would break mentions, timestamps and links.
    bundle = FluentBundle([file.stem], use_isolating=False)
    bundle.add_resource(FluentResource(file.read_text(encoding="utf-8")))
    return bundle


def _short(value: Field) -> Field:
    return value if not isinstance(value, str) or len(value) <= 300 else value[:299] + "…"
