"""Which part of a text people can see (pure functions)."""

from __future__ import annotations

import unicodedata

_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Fillers of Hangul, Khmer and Braille: letters and symbols by category that show nothing."""


def is_invisible(character: str) -> bool:
    """Whether a character shows nothing: a format or control character, or a filler."""
    return character in _BLANK or unicodedata.category(character) in ("Cc", "Cf")


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: only spaces, invisible characters and combining marks."""
    return all(
        character.isspace() or is_invisible(character) or unicodedata.category(character) in ("Mn", "Me")
        for character in text
    )
