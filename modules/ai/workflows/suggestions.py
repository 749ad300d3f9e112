"""Finds the names that someone probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from modules.ai.workflows.graph import JSON

_MOST_COMPARED = 5000


def nearest(value: JSON, options: Iterable[JSON]) -> str | None:
    """The option that differs least from ``value``: by folder, case or separators alone, else by spelling."""
    if not isinstance(value, str):
        return None
    known = [option for option in options if isinstance(option, str)][:_MOST_COMPARED]
    plain = {_plain(option): option for option in reversed(known)}
    if _plain(value) in plain:
        return plain[_plain(value)]
    stems = {_stem(name): option for name, option in reversed(plain.items())}
    close = difflib.get_close_matches(_stem(_plain(value))[:200], stems, n=1)
    return stems[close[0]] if close else None


def did_you_mean(value: JSON, options: Iterable[JSON]) -> str:
    """The end of a sentence about an unknown name; empty if no name is similar."""
    near = nearest(value, options)
    return f"; did you mean {near}?" if near is not None else ""


def _plain(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[-_. ]+", "-", base).casefold()


def _stem(plain: str) -> str:
    """Without the ending, which would make all short file names alike."""
    return re.sub(r"-(safetensors|sft|gguf|ckpt|pth?|bin)$", "", plain)
