"""What the server remembers of former runs: results by content, not by node id."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modules.demo.comfy_server.prompt_queue import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a node gave: its outputs, and what it shows."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None = None


class NodeCache:
    """``size`` 0 keeps the last prompt's nodes only (the default); any other keeps that many results
    (--cache-lru)."""

    def __init__(self, size: int = 0) -> None:
        self._size = size
        self._results: OrderedDict[str, Result] = OrderedDict()

    def enter(self, signatures: Mapping[str, str]) -> None:
        """A prompt with these signatures begins."""
        if self._size:
            return
        kept = set(signatures.values())
        self._results = OrderedDict((key, value) for key, value in self._results.items() if key in kept)

    def get(self, signature: str) -> Result | None:
        """A former result, or None."""
        result = self._results.get(signature)
        if result is not None:
            self._results.move_to_end(signature)
        return result

    def put(self, signature: str, result: Result) -> None:
        """Remember."""
        self._results[signature] = result
        while self._size and len(self._results) > self._size:
            self._results.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._results.clear()


def signatures(graph: Graph, fingerprint: Callable[[str, Mapping[str, Any]], Any]) -> dict[str, str]:
    """Each node's signature: a digest of its class, its inputs and everything upstream of it.

    ``fingerprint`` is called with a node's id and the node, and gives what else its result depends on (a
    file's content, its own id). Links that lead nowhere are ignored.
    """
    found: dict[str, str] = {}

    def sign(node_id: str) -> str:
        if node_id in found:
            return found[node_id]
        found[node_id] = ""  # ends a cycle in a part of the graph that does not run
        node = graph[node_id]
        parts: list[Any] = [node["class_type"], fingerprint(node_id, node)]
        for name, value in sorted(node.get("inputs", {}).items()):
            link = _link(graph, value)
            parts.append([name, "link", sign(link[0]), link[1]] if link else [name, value])
        text = json.dumps(parts, sort_keys=True, default=str)
        found[node_id] = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return found[node_id]

    for node_id in graph:
        sign(node_id)
    return found


def _link(graph: Graph, value: Any) -> tuple[str, int] | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in graph:
        return value[0], value[1]
    return None
