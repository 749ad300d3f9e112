"""Everything the bot says, from one Fluent file per language in ``locales/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.resolver import Message

from modules.queue_manager.errors import BotError

LOCALES = Path(__file__).parents[1] / "locales"
FALLBACK = "en"

Field = str | int | float


class Translations:
    """Sentences by key and language. A language that has no file is answered in English."""

    def __init__(self, bundles: Mapping[str, FluentBundle], command_ids: dict[str, str]) -> None:
        self._bundles, self._command_ids = dict(bundles), command_ids

    @classmethod
    def load(cls, folder: Path = LOCALES) -> Translations:
        """Read each ``<language>.ftl`` in ``folder``."""
        command_ids: dict[str, str] = {}
        files = sorted(folder.glob("*.ftl"))
        return cls({file.stem: _bundle(file, command_ids) for file in files}, command_ids)

    def mention_commands(self, ids: Mapping[str, str]) -> None:
        """From now on, mention these slash commands (ids by name) and no others."""
        self._command_ids.clear()
        self._command_ids.update(ids)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a file, such as ``en`` and ``es``."""
        return tuple(self._bundles)

    def language(self, locale: str | None) -> str:
        """The language for a Discord locale such as ``es-419``."""
        base = (locale or FALLBACK).partition("-")[0]
        return base if base in self._bundles else FALLBACK

    def text(self, locale: str | None, key: str, /, **fields: Field) -> str:
        """The sentence, its variables filled in. Raises KeyError for an unknown key.

        Whole numbers choose plural forms and are shown with the language's separators: give as text
        what must be shown as it is (seeds, sizes).
        """
        bundle = self._bundles[self.language(locale)]
        if not bundle.has_message(key):
            bundle = self._bundles[FALLBACK]
        return _message(bundle, key, **fields)

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


def command_key(*path: str) -> str:
    """The catalogue's key for a command: ``command-admin-sync``, ``command-edit-picture``."""
    return "command-" + "-".join(part.casefold().replace(" ", "-") for part in path)


def _bundle(file: Path, command_ids: Mapping[str, str]) -> FluentBundle:
    def command(full_name: object) -> Any:  # text, which Fluent takes though its types do not say so
        """``COMMAND("admin status")`` in a sentence: the command as this language's clients show it.

        Discord shows a mention's name as it is written, translated or not, and opens the command only if
        that is the registered name (discord-api-docs issues 5462, 5518, 7309): a translated name is
        therefore plain text.
        """
        path = str(full_name).split()
        parts = [(command_key(*path[: n + 1]), name) for n, name in enumerate(path)]
        shown = " ".join(_message(bundle, key) if bundle.has_message(key) else name for key, name in parts)
        known = command_ids.get(path[0]) if shown == full_name else None
        return f"/{shown}" if known is None else f"</{shown}:{known}>"

    # No isolation marks: they would break mentions, timestamps and links.
    bundle = FluentBundle([file.stem], functions={"COMMAND": command}, use_isolating=False)
    bundle.add_resource(FluentResource(file.read_text(encoding="utf-8")))
    return bundle


def _message(bundle: FluentBundle, key: str, /, **fields: Field) -> str:
    """Raises KeyError for a key that has no text."""
    message: Message = bundle.get_message(key)
    if message.value is None:
        raise KeyError(key)
    return str(bundle.format_pattern(message.value, fields)[0])


def _short(value: Field) -> Field:
    return value if not isinstance(value, str) or len(value) <= 300 else value[:299] + "…"
