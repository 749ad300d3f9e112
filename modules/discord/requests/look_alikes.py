"""Which Latin letter a character looks like: by its Unicode name, by its decomposition, or by Unicode's table
of confusable characters (UTS #39)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from modules.queue_manager.prompt_text import is_invisible

EITHER = "\N{BROKEN BAR}"
"""Stands for a character that may be meant as i or as l."""

_ALSO = {**dict(zip("пцшґзηλεωδμ", "nuwgenlewdu", strict=True)), "ӏ": EITHER, "ß": "ss"}
"""What the table does not have, or has differently."""

_NAME = re.compile(
    r"LATIN (?:CAPITAL |SMALL )?(?:LETTER|LIGATURE) (?:SMALL CAPITAL |DOTLESS |BARRED )*"
    r"([A-Z]|AE|OE)(?: WITH .*)?$"
    r"|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])$"
)


@cache
def letters_of(character: str) -> str:
    """The letters that a character passes for, in lower case; itself if none, "" if nobody sees it.

    ``ñ`` is a letter of its own: in Spanish it makes other words.
    """
    if character.isascii() or character == EITHER:
        return character.lower()
    if character in "ñÑ":
        return "ñ"
    if is_invisible(character) or unicodedata.category(character) in ("Mn", "Me"):
        return ""
    named = _NAME.search(unicodedata.name(character, ""))
    if named is not None:
        return (named[1] or named[2]).lower()
    plain = unicodedata.normalize("NFKD", character)
    if plain != character:
        return "".join(map(letters_of, plain))
    folded = character.casefold()
    return _ALSO.get(folded) or _confusable(character) or _confusable(character.upper()) or folded


def _confusable(character: str) -> str | None:
    letter = _table().get(character, "")
    return EITHER if letter in ("l", "I", "1") else letter.lower() or None


@cache
def _table() -> Mapping[str, str]:
    """The letter that each character is confusable with, if there is one."""
    file = files("confusable_homoglyphs") / "confusables.json"
    found: dict[str, str] = {}
    for character, others in json.loads(file.read_text(encoding="utf-8")).items():
        for other in (each["c"] for each in others):
            named = _NAME.search(unicodedata.name(other, "")) if len(other) == 1 else None
            if named is not None and character not in found:
                found[character] = other if other.isascii() else named[1]
    return found
