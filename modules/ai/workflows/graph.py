"""A ComfyUI graph in API format as plain values, and the functions that walk over it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

JSON: TypeAlias = Any
"""What `json.loads` returns: a graph's constants are strings, numbers, booleans, lists or objects."""


@dataclass(frozen=True, slots=True)
class Link:
    """An input that takes output number ``slot`` of another node (written ``["4", 0]`` in the file)."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class NodeInput:
    """One input of one node, written ``4.text`` on a card."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node: its class, its inputs (a `Link` or a constant each) and the title that its author gave it."""

    class_type: str
    inputs: Mapping[str, Link | JSON] = field(default_factory=dict)
    title: str = ""

    def links(self) -> Iterator[tuple[str, Link]]:
        """The inputs that come from other nodes."""
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Link))

    def having(self, **inputs: Link | JSON) -> Node:
        """The same node with some inputs set."""
        return Node(class_type=self.class_type, inputs={**self.inputs, **inputs}, title=self.title)


Graph: TypeAlias = Mapping[str, Node]


_HALF = re.compile("[\ud800-\udfff]")  # no log, file or request takes one


class BadGraph(ValueError):
    """The file is not a graph in API format; the message names the node and input."""


def read_graph(data: JSON) -> dict[str, Node]:
    """The graph in a parsed file (``{id: {class_type, inputs, _meta}}``). Raises `BadGraph`."""
    if not isinstance(data, dict) or not data:
        raise BadGraph("this is not a graph in API format (an object of nodes)")
    if isinstance(data.get("nodes"), list):
        raise BadGraph("this is the editor's own format; in ComfyUI choose Export (API)")
    graph = {str(node_id): _read_node(str(node_id), node) for node_id, node in data.items()}
    for node_id, node in graph.items():
        if any(map(_HALF.search, (node_id, node.class_type, node.title, *_texts(node)))):
            raise BadGraph("it contains half a character (a lone surrogate)")
        for name, link in node.links():
            if link.node not in graph:
                raise BadGraph(
                    f"node {node_id}, input {name}: it links to node {link.node}, which does not exist"
                )
    return graph


def _texts(node: Node) -> Iterator[str]:
    yield from node.inputs
    yield from (value for value in node.inputs.values() if isinstance(value, str))


def _read_node(node_id: str, data: JSON) -> Node:
    if not isinstance(data, dict) or not isinstance(data.get("class_type"), str):
        raise BadGraph(f"node {node_id} has no class_type")
    inputs = data.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadGraph(f"node {node_id}: its inputs are not an object")
    meta = data.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return Node(
        class_type=data["class_type"],
        inputs={str(name): _read_value(value) for name, value in inputs.items()},
        title=title if isinstance(title, str) else "",
    )


def _read_value(value: JSON) -> Link | JSON:
    # as ComfyUI reads it: two numbers, such as a size, are a constant
    if isinstance(value, list) and len(value) == 2:
        node_id, slot = value
        if isinstance(node_id, str) and isinstance(slot, int) and not isinstance(slot, bool):
            return Link(node_id, slot)
    return value


def write_graph(graph: Graph) -> dict[str, JSON]:
    """The graph as POST /prompt takes it, without titles."""
    return {
        node_id: {
            "class_type": node.class_type,
            "inputs": {
                name: [value.node, value.slot] if isinstance(value, Link) else value
                for name, value in node.inputs.items()
            },
        }
        for node_id, node in graph.items()
    }


def consumers(graph: Graph, node_id: str) -> list[tuple[NodeInput, int]]:
    """Each input that takes an output of ``node_id``, and the number of that output."""
    return [
        (NodeInput(other, name), link.slot)
        for other, node in graph.items()
        for name, link in node.links()
        if link.node == node_id
    ]


def upstream(graph: Graph, starts: Iterable[str]) -> set[str]:
    """``starts`` and every node they depend on."""
    return _reach(
        starts, {node_id: [link.node for _, link in node.links()] for node_id, node in graph.items()}
    )


def downstream(graph: Graph, starts: Iterable[str]) -> set[str]:
    """``starts`` and every node that depends on them."""
    followers: dict[str, list[str]] = {node_id: [] for node_id in graph}
    for node_id, node in graph.items():
        for _, link in node.links():
            followers[link.node].append(node_id)
    return _reach(starts, followers)


def _reach(starts: Iterable[str], edges: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(starts)
    while todo:
        node_id = todo.pop()
        if node_id not in seen:
            seen.add(node_id)
            todo.extend(edges[node_id])
    return seen


def in_order(graph: Graph) -> list[str]:
    """The nodes, each after those it depends on. Raises `BadGraph` if there is a cycle."""
    order: dict[str, None] = {}
    for start in graph:
        path: dict[str, Iterator[tuple[str, Link]]] = {}
        if start not in order:
            path[start] = graph[start].links()
        while path:
            node_id = next(reversed(path))
            step = next(path[node_id], None)
            if step is None:
                order[node_id] = None
                del path[node_id]
            elif step[1].node in path:
                raise BadGraph(f"node {step[1].node} depends on itself")
            elif step[1].node not in order:
                path[step[1].node] = graph[step[1].node].links()
    return list(order)


def only(graph: Graph, keep: set[str]) -> dict[str, Node]:
    """The graph without the nodes that are not in ``keep``, in its own order."""
    return {node_id: node for node_id, node in graph.items() if node_id in keep}


def redirected(graph: Graph, old: Link, new: Link) -> dict[str, Node]:
    """The graph with every input that took ``old`` taking ``new``."""
    return {
        node_id: Node(
            class_type=node.class_type,
            inputs={name: new if value == old else value for name, value in node.inputs.items()},
            title=node.title,
        )
        for node_id, node in graph.items()
    }


def named(graph: Graph, node_id: str) -> str:
    """A node's name in a sentence: ``node 4 "Prompt" (CLIPTextEncode)``."""
    node = graph[node_id]
    title = f' "{node.title}"' if node.title and node.title != node.class_type else ""
    return f"node {node_id}{title} ({node.class_type})"
