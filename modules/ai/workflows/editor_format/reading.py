"""Reads a parsed file of the editor's format, even a malformed one.

Versions 0.4 and 1.0 are read alike, group nodes as the subgraphs that came after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from modules.ai.workflows.editor_format.document import (
    MOST_NODES,
    BadEditorFile,
    Document,
    EditorNode,
    Level,
    Origin,
    Port,
    Socket,
)
from modules.ai.workflows.editor_format.group_nodes import GroupNode, group_name
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table


def is_editor_file(data: JSON) -> bool:
    """Whether a parsed file is of this format."""
    return isinstance(data, dict) and isinstance(data.get("nodes"), list)


def read_document(data: Mapping[str, JSON], table: Table) -> Document:
    """The workflow in a parsed file. Raises `BadEditorFile`."""
    parts = _objects(_mapping(data.get("definitions")).get("subgraphs"))
    extra = _mapping(data.get("extra"))
    count = sum(len(_items(part.get("nodes"))) for part in (data, *parts))
    if count > MOST_NODES:
        raise BadEditorFile(f"it has {count} nodes; at most {MOST_NODES} are read")
    numbers = _Numbers(data)
    subgraphs: dict[str, Level] = {}
    new: dict[str, str] = {}
    groups = _mapping(extra.get("groupNodes"))
    for node in _objects(data.get("nodes")):
        group = _mapping(groups.get(group_name(_text(node.get("type")))))
        if group:
            members = [_read_node(part, numbers.next(), {}) for part in _objects(group.get("nodes"))]
            host = _read_node(node, numbers.next(), {})
            new[_text(node.get("id"))] = host.id
            links, external = (
                [item for item in _items(group.get(key)) if isinstance(item, list)]
                for key in ("links", "external")
            )
            renamed = {
                (index, name): _text(_mapping(shown).get("name") or name)
                for index, part in _mapping(group.get("config")).items()
                for name, shown in _mapping(_mapping(part).get("input")).items()
            }
            subgraphs[host.id] = GroupNode(
                host, members=members, links=links, external=external, renamed=renamed, table=table
            ).level()
    for part in parts:
        subgraphs[_text(part.get("id"))] = _read_level(part, numbers.instead(part))
    main = _read_level(data, new)
    nodes = {
        key: replace(node, type=key, values=[]) if key in new.values() else node
        for key, node in main.nodes.items()
    }
    frontend = _text(extra.get("frontendVersion"))
    return Document(main=replace(main, nodes=nodes), subgraphs=subgraphs, frontend=frontend)


class _Numbers:
    """Gives nodes new numbers where theirs are taken, as the editor does when it opens a file: a number is
    used once in the main graph and all subgraphs together."""

    def __init__(self, main: Mapping[str, JSON]) -> None:
        ids = [node.get("id") for node in _objects(main.get("nodes"))]
        last = main.get("last_node_id", _mapping(main.get("state")).get("lastNodeId"))
        self._taken = {_text(node_id) for node_id in ids}
        self._last = max((n for n in (last, *ids) if isinstance(n, int)), default=0)

    def next(self) -> str:
        """A number that nobody has."""
        self._last += 1
        self._taken.add(str(self._last))
        return str(self._last)

    def instead(self, part: Mapping[str, JSON]) -> dict[str, str]:
        """The new numbers of a subgraph's nodes, by the old ones."""
        new = {}
        for old in (node.get("id") for node in _objects(part.get("nodes"))):
            if _text(old) in self._taken:
                new[_text(old)] = self.next()
            self._taken.add(_text(old))
            self._last = max(self._last, old) if isinstance(old, int) else self._last
        return new


def _read_level(data: Mapping[str, JSON], new: Mapping[str, str]) -> Level:
    outside = _text(_mapping(data.get("inputNode")).get("id", -10))
    links: dict[str, Origin] = {}
    targets: dict[str, dict[str, int]] = {}
    for link in (*_items(data.get("links")), *_links_by_air(data)):
        key, node, slot, target, end = _link(link)
        links[key] = Origin(None if node == outside else new.get(node, node), slot)
        targets.setdefault(new.get(target, target), {})[key] = end
    nodes: dict[str, EditorNode] = {}
    for part in _objects(data.get("nodes")):
        node_id = new.get(_text(part.get("id")), _text(part.get("id")))
        if node_id in nodes:
            raise BadEditorFile(f"two nodes have the number {node_id}")
        nodes[node_id] = _read_node(part, node_id, targets.get(node_id, {}))
    ports = [
        tuple(
            Port(
                name=_text(port.get("name")), links=tuple(_text(link) for link in _items(port.get("linkIds")))
            )
            for port in _objects(data.get(side))
        )
        for side in ("inputs", "outputs")
    ]
    return Level(nodes=nodes, links=links, inputs=ports[0], outputs=ports[1], renumbered=new)


def _links_by_air(data: Mapping[str, JSON]) -> Iterator[list[JSON]]:
    """The links that the pack cg-use-everywhere draws to inputs that have none."""
    names = ("upstream", "upstream_slot", "downstream", "downstream_slot")
    for number, link in enumerate(_objects(_mapping(data.get("extra")).get("ue_links"))):
        yield [f"by air {number}", *(link.get(name, -1) for name in names)]


def _link(link: JSON) -> tuple[str, str, int, str, int]:
    """A link's key, the output where it begins and the input where it ends: of version 0.4 or 1.0."""
    if isinstance(link, dict):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        link = [link.get(name) for name in names]
    if not isinstance(link, list) or len(link) < 5:
        raise BadEditorFile("a link in it is not of a known form")
    key, node, slot, target, end = link[:5]
    slot, end = (place if isinstance(place, int) and place >= 0 else _NOWHERE for place in (slot, end))
    return _text(key), _text(node), slot, _text(target), end


_NOWHERE = 2**31
"""A place that no node and no subgraph has."""


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


def _type(data: Mapping[str, JSON]) -> str:
    return _text(data.get("type") or "*")


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
