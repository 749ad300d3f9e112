# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the nodes' JSON inputs; refuses in a sentence that names node and input (standard library only)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_SEED = 2**64 - 1
_KEY = re.compile(r"[0-9a-f]{32}")


class Refused(ValueError):
    """What a node cannot do exactly; the message is a sentence that names the node and the input."""

    def __init__(self, node: str, name: str, why: str) -> None:
        super().__init__(f"{node}: input {name}: {why}")


@dataclass(frozen=True)
class SeedEntry:
    """One picture's noise: `seed`, mixed with `variation_seed` by `strength` (0: seed, 1: variation)."""

    seed: int
    variation_seed: int | None = None
    strength: float = 0.0


def seeds_of(node: str, text: str) -> tuple[SeedEntry, ...]:
    """`seeds`: a JSON array; an entry is a whole number or [seed, variation_seed, strength]."""
    return tuple(_seed_entry(node, entry) for entry in _array(node, "seeds", text, "seeds"))


def keys_of(node: str, text: str) -> tuple[str, ...]:
    """`keys`: a JSON array of different keys of 32 lower-case hexadecimal digits (128 bits)."""
    keys = _array(node, "keys", text, "keys")
    if not all(isinstance(key, str) and is_key(key) for key in keys):
        raise Refused(node, "keys", "every key must be a string of 32 lower-case hexadecimal digits.")
    if len(set(keys)) != len(keys):
        raise Refused(node, "keys", "two pictures cannot have the same key.")
    return tuple(keys)


def classes_of(node: str, text: str) -> tuple[str, ...]:
    """`vouched`: a JSON array, which may be empty, of names of node classes."""
    try:
        names = json.loads(text)
    except (TypeError, ValueError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise Refused(node, "vouched", "must be a JSON array of names of node classes.")
    return tuple(names)


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def verdict(parse: Any, node: str, text: object) -> bool | str:
    """For VALIDATE_INPUTS: True, or the refusal's sentence; a linked input is not known yet and passes."""
    if not isinstance(text, str):
        return True
    try:
        parse(node, text)
    except Refused as refused:
        return str(refused)
    return True


def _array(node: str, name: str, text: str, what: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None
    if not isinstance(value, list) or not value:
        raise Refused(node, name, f"must be a JSON array of one or more {what}.")
    return value


def _seed_entry(node: str, entry: object) -> SeedEntry:
    if isinstance(entry, list) and len(entry) == 3:
        seed, variation, strength = entry
        number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
        if not number or not 0 <= strength <= 1:
            raise Refused(node, "seeds", "the strength of a variation must be a number from 0 to 1.")
        return SeedEntry(_seed(node, seed), _seed(node, variation), float(strength))
    return SeedEntry(_seed(node, entry))


def _seed(node: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise Refused(
            node,
            "seeds",
            "a seed must be a whole number from 0 to 18446744073709551615, "
            "or [seed, variation_seed, strength].",
        )
    return value
