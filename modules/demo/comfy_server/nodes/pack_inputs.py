"""How the node pack reads its JSON inputs, and the sentences in which it refuses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modules.demo.comfy_server.nodes.values import mixed_seed

REFUSED = "/comfyui/custom_nodes/fullet.inputs.Refused"
_MOST = 2**64 - 1
_KEY_LETTERS = set("0123456789abcdef")
_CHECKED = {
    "RandomNoiseBatch": "seeds",
    "SamplerBatch": "seeds",
    "SaveImageBatch": "keys",
}


class NodeFailure(Exception):
    """A node raised. ``kind`` is the exception's full type name as the server reports it."""

    def __init__(self, message: str, kind: str = "ValueError") -> None:
        super().__init__(message)
        self.kind = kind


def refusal(node: str, name: str, why: str) -> NodeFailure:
    """The pack's own refusal: a sentence that names node and input."""
    return NodeFailure(f"{node}: input {name}: {why}", REFUSED)


def keys(node: str, text: str) -> tuple[str, ...]:
    """A JSON array of different keys of 32 hexadecimal digits. Raises `NodeFailure`."""
    found = _array(node, "keys", text)
    if not all(isinstance(key, str) and len(key) == 32 and not set(key) - _KEY_LETTERS for key in found):
        raise refusal(node, "keys", "each key is 32 hexadecimal digits in lower case.")
    if len(set(found)) < len(found):
        raise refusal(node, "keys", "a key stands for one picture only.")
    return tuple(found)


def seeds(node: str, text: str) -> tuple[int, ...]:
    """A JSON array of seeds; ``[seed, variation seed, strength]`` becomes the seed that stands for it."""
    found: list[int] = []
    for entry in _array(node, "seeds", text):
        parts = entry if isinstance(entry, list) and len(entry) == 3 else [entry, 0, 0]
        strength = parts[2]
        if not all(type(part) is int and 0 <= part <= _MOST for part in parts[:2]):
            raise refusal(
                node, "seeds", f"an entry is a whole number up to {_MOST}, or a list that mixes two."
            )
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
            raise refusal(node, "seeds", "a strength lies between 0 and 1.")
        found.append(variation_seed(*parts))
    return tuple(found)


def variation_seed(seed: int, variation: int, strength: float) -> int:
    """The seed under which a variation is drawn here; strength 0 and 1 are the plain pictures. Its lower 64
    bits are the first seed, so that it looks like what it varies."""
    if strength in (0, 1):
        return variation if strength else seed
    return mixed_seed(seed, variation, float(strength)) << 64 | seed


def check(node: str, inputs: Mapping[str, Any]) -> tuple[str, str] | None:
    """Before the run: (input, sentence) if the pack's node refuses what is written in its JSON input."""
    name = _CHECKED.get(node)
    text = inputs.get(name) if name is not None else None
    if name is None or not isinstance(text, str):
        return None
    try:
        seeds(node, text) if name == "seeds" else keys(node, text)
    except NodeFailure as failure:
        return name, str(failure)
    return None


def _array(node: str, name: str, text: str) -> list[Any]:
    try:
        items = json.loads(text)
    except ValueError:
        items = None
    if not isinstance(items, list) or not items:
        raise refusal(node, name, "a JSON array with at least one entry is needed.")
    return items
