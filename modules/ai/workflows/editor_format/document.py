"""A workflow as ComfyUI's editor saves it, as plain values: the main graph and its subgraphs.

Versions 0.4 and 1.0 of the format are read alike. Nothing is looked up yet: a node's class may be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modules.ai.workflows.editor_format.group_nodes import without_group_nodes
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table

NEVER = 2
BYPASS = 4
MOST_NODES = 5000
"""Nodes of one workflow, subgraphs unfolded. The largest of ComfyUI's own templates has about 300."""


class BadEditorFile(ValueError):
    """The editor's file cannot be converted; the message is one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Socket:
    """An input of a node: ``link`` is the key of a link, ``widget`` the widget that it may stand for."""

    name: str
    type: str
    link: str | None
    widget: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditorNode:
    """A node as the editor keeps it. ``values`` are its widgets' values, in their order or by name."""

    id: str
    type: str
    title: str = ""
    mode: int = 0
    inputs: tuple[Socket, ...] = ()
    output_types: tuple[str, ...] = ()
    values: list[JSON] | Mapping[str, JSON] = field(default_factory=list)
    properties: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """How a sentence speaks of it."""
        title = f' "{self.title}"' if self.title and self.title != self.type else ""
        return f"node {self.id}{title} ({self.type})"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a link begins: an output of a node, or an input of the subgraph if ``node`` is None."""

    node: str | None
    slot: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """An input or output of a subgraph, with the links inside that begin or end there."""

    name: str
    type: str
    links: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """The main graph, or the inside of a subgraph. ``ends`` are the inputs to which each link leads."""

    nodes: Mapping[str, EditorNode]
    links: Mapping[str, Origin]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    ends: Mapping[str, list[tuple[EditorNode, Socket]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole file."""

    main: Level
    subgraphs: Mapping[str, Level]

    def nodes(self) -> list[EditorNode]:
        """All nodes, inside subgraphs too."""
        return [node for level in (self.main, *self.subgraphs.values()) for node in level.nodes.values()]


def is_editor_file(data: JSON) -> bool:
    """Whether the parsed file is of this format."""
    return isinstance(data, dict) and isinstance(data.get("nodes"), list)


def read_document(data: JSON, table: Table) -> Document:
    """The workflow in a parsed file. Raises `BadEditorFile`."""
    data = without_group_nodes(data, table)
    parts = _objects(_mapping(data.get("definitions")).get("subgraphs"))
    count = sum(len(_items(part.get("nodes"))) for part in (data, *parts))
    if count > MOST_NODES:
        raise BadEditorFile(f"it has {count} nodes; at most {MOST_NODES} are read")
    numbers = _Renumbering(data)
    levels = {_text(part.get("id")): _read_level(part, numbers.of(part)) for part in parts}
    return Document(main=_read_level(data, {}), subgraphs=levels)


class _Renumbering:
    """Gives the nodes of a subgraph other numbers where they are taken, as the editor does when it opens
    the file: a number is used once in the main graph and all subgraphs together."""

    def __init__(self, main: Mapping[str, JSON]) -> None:
        self._taken = {node.get("id") for node in _objects(main.get("nodes"))}
        last = main.get("last_node_id", _mapping(main.get("state")).get("lastNodeId"))
        self._last = max((n for n in (last, *self._taken) if isinstance(n, int)), default=0)

    def of(self, part: Mapping[str, JSON]) -> dict[str, str]:
        """The new numbers of a subgraph's nodes, by the old ones."""
        new = {}
        for old in (node.get("id") for node in _objects(part.get("nodes"))):
            if old not in self._taken:
                self._taken.add(old)
                self._last = max(self._last, old) if isinstance(old, int) else self._last
            elif isinstance(old, int):
                self._last += 1
                self._taken.add(self._last)
                new[_text(old)] = _text(self._last)
        return new


def _read_level(data: Mapping[str, JSON], new: Mapping[str, str]) -> Level:
    outside = _text(_mapping(data.get("inputNode")).get("id", -10))
    links: dict[str, Origin] = {}
    targets: dict[str, dict[str, int]] = {}
    for link in _items(data.get("links")):
        key, node, slot, target, end = _link(link)
        links[key] = Origin(None if node == outside else new.get(node, node), slot)
        targets.setdefault(new.get(target, target), {})[key] = end
    nodes: dict[str, EditorNode] = {}
    ends: dict[str, list[tuple[EditorNode, Socket]]] = {}
    for part in _objects(data.get("nodes")):
        node_id = new.get(_text(part.get("id")), _text(part.get("id")))
        if node_id in nodes:
            raise BadEditorFile(f"two nodes have the number {node_id}")
        nodes[node_id] = _read_node(part, node_id, targets.get(node_id, {}))
        for socket in nodes[node_id].inputs:
            ends.setdefault(socket.link or "", []).append((nodes[node_id], socket))
    return Level(
        nodes=nodes,
        links=links,
        inputs=tuple(_read_port(port) for port in _objects(data.get("inputs"))),
        outputs=tuple(_read_port(port) for port in _objects(data.get("outputs"))),
        ends=ends,
    )


def _link(link: JSON) -> tuple[str, str, int, str, int]:
    """A link's key, the output where it begins and the input where it ends: of version 0.4 or 1.0."""
    if isinstance(link, list) and len(link) >= 5:
        key, node, slot, target, end = link[:5]
    elif isinstance(link, dict):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        key, node, slot, target, end = (link.get(name) for name in names)
    else:
        raise BadEditorFile("a link in it is not of a known form")
    if not isinstance(slot, int) or slot < 0:
        raise BadEditorFile(f"link {_text(key)} does not say from which output it comes")
    return _text(key), _text(node), slot, _text(target), end if isinstance(end, int) else -1


def _read_node(data: Mapping[str, JSON], node_id: str, links: Mapping[str, int]) -> EditorNode:
    """``links`` are those that lead to the node, with the inputs that they name."""
    named, values = data.get("widgets_values_named"), data.get("widgets_values")
    mode = data.get("mode")
    inputs = [_read_socket(socket) for socket in _objects(data.get("inputs"))]
    # an input and its link name each other; where they do not, the link is right
    named_by_inputs = {socket.link for socket in inputs}
    free = {end: key for key, end in links.items() if key not in named_by_inputs}
    return EditorNode(
        id=node_id,
        type=_text(data.get("type")),
        title=_text(data.get("title")),
        mode=mode if isinstance(mode, int) else 0,
        inputs=tuple(
            socket if socket.link in links else replace(socket, link=free.get(index))
            for index, socket in enumerate(inputs)
        ),
        output_types=tuple(_type(output) for output in _objects(data.get("outputs"))),
        values=named if isinstance(named, dict) else values if isinstance(values, list | dict) else [],
        properties=_mapping(data.get("properties")),
    )


def _read_socket(data: Mapping[str, JSON]) -> Socket:
    link, widget = data.get("link"), data.get("widget")
    return Socket(
        name=_text(data.get("name")),
        type=_type(data),
        link=None if link is None else _text(link),
        widget=_text(widget.get("name")) if isinstance(widget, dict) else None,
    )


def _read_port(data: Mapping[str, JSON]) -> Port:
    links = tuple(_text(link) for link in _items(data.get("linkIds")))
    return Port(name=_text(data.get("name")), type=_type(data), links=links)


def _type(data: Mapping[str, JSON]) -> str:
    found = data.get("type")
    return "*" if found in (0, None) else _text(found)


def _text(value: JSON) -> str:
    return "" if value is None else str(value)


def _mapping(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, dict) else {}


def _items(value: JSON) -> list[JSON]:
    """A list, or the values of an object that stands for one, without what is empty."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [item for item in items if item is not None]


def _objects(value: JSON) -> list[Mapping[str, JSON]]:
    return [item for item in _items(value) if isinstance(item, dict)]
