"""The status page in each language that has a catalogue beside it: a Fluent file, like those of the bot."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from fluent.runtime import FluentBundle, FluentResource

PAGE = Path(__file__).parent / "status_page"

_ACCEPTED = re.compile(r"\s*([a-z]+)(?:-[\w-]+)?\s*(?:;\s*q=(\d(?:\.\d*)?)\s*)?")


def pages() -> dict[str, str]:
    """The page by language."""
    catalogues = {file.stem: _words(file.read_text(encoding="utf-8")) for file in sorted(PAGE.glob("*.ftl"))}
    template = (PAGE / "index.html").read_text(encoding="utf-8")

    def link(to: str, shown: str) -> str:
        current = ' aria-current="true"' if to == shown else ""
        name = html.escape(catalogues[to]["language-name"])
        return f'<a href="?lang={to}" lang="{to}" hreflang="{to}"{current}>{name}</a>'

    def page(language: str) -> str:
        words = catalogues[language]
        parts = {
            **{key: html.escape(text) for key, text in words.items()},
            "lang": language,
            "languages": "".join(link(to, language) for to in catalogues),
            "words": json.dumps(words, ensure_ascii=False).replace("<", "\\u003c"),
        }
        return re.sub(r"{{([\w-]+)}}", lambda found: parts[found[1]], template)

    return {language: page(language) for language in catalogues}


def languages_of(header: str) -> list[str]:
    """What an ``Accept-Language`` such as ``es-MX,es;q=0.9`` asks for, the most wanted first, without
    countries."""
    found = [match for item in header.lower().split(",") if (match := _ACCEPTED.fullmatch(item))]
    return [match[1] for match in sorted(found, key=lambda match: -float(match[2] or 1))]


def _words(catalogue: str) -> dict[str, str]:
    """The texts by key, attributes as ``key.attribute``. The page fills in the placeholders, ``{name}``.
    Raises ValueError for a faulty text."""
    bundle = FluentBundle(["en"], use_isolating=False)
    bundle.add_resource(FluentResource(catalogue))
    blanks = {name: f"{{{name}}}" for name in re.findall(r"\$(\w+)", catalogue)}
    words: dict[str, str] = {}
    for key in re.findall(r"^([\w-]+) =", catalogue, re.MULTILINE):
        message = bundle.get_message(key)
        patterns = {
            key: message.value,
            **{f"{key}.{name}": part for name, part in message.attributes.items()},
        }
        for name, pattern in patterns.items():
            text, errors = bundle.format_pattern(pattern, blanks)  # type: ignore[arg-type]
            if errors:
                raise ValueError(f"{name}: {errors[0]}")
            words[name] = str(text)
    return words
