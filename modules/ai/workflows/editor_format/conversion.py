"""From the editor's format to the graph that ComfyUI would run, as the editor itself exports it.

Subgraphs are unfolded, bypassed nodes jumped over, muted ones left out; reroutes, primitives and
Set/Get pairs, which exist in the editor alone, become links and constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.ai.workflows.editor_format.document import (
    BYPASS,
    MOST_NODES,
    NEVER,
    BadEditorFile,
    Document,
    EditorNode,
    Level,
    Socket,
)
from modules.ai.workflows.editor_format.widgets import widget_values
from modules.ai.workflows.graph import JSON, Link, Node
from modules.ai.workflows.node_table import Table

_REROUTES = ("Reroute", "Reroute (rgthree)")
_SETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
_SILENT = (
    "Note", "MarkdownNote", "PrimitiveNode", "Label (rgthree)", "Bookmark (rgthree)",
    "Fast Groups Muter (rgthree)", "Fast Groups Bypasser (rgthree)", "Fast Muter (rgthree)",
    "Fast Bypasser (rgthree)", "Fast Actions Button (rgthree)", "Random Unmuter (rgthree)",
    "Mute / Bypass Repeater (rgthree)", "Mute / Bypass Relay (rgthree)", "Node Collector (rgthree)",
)  # fmt: skip
VIRTUAL = frozenset({*_REROUTES, *_SETTERS, *_SETTERS.values(), *_SILENT})
"""Node types that the editor resolves by itself: ComfyUI never sees them."""


@dataclass(frozen=True, slots=True)
class _Constant:
    value: JSON


@dataclass(frozen=True, slots=True)
class _Muted:
    """The link comes from a node that does not run: the input is left out, its widget's value too."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Frame:
    """One use of a level: the main graph, or a subgraph where ``host`` stands in ``outer``.

    ``ports`` are the values that the host gives to its inputs, by their index; ``overrides`` those that it
    gives to widgets inside, by node and widget.
    """

    level: Level
    prefix: str = ""
    outer: _Frame | None = None
    host: EditorNode | None = None
    inner: dict[str, _Frame] = field(default_factory=dict)
    ports: Mapping[int, JSON] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Input:
    """An input on the way of a link back to its beginning; ``wanted`` is the type at the link's end."""

    frame: _Frame
    socket: Socket
    wanted: str


@dataclass(frozen=True, slots=True)
class _Output:
    """An output on that way."""

    frame: _Frame
    node: str
    slot: int
    wanted: str


def convert(document: Document, table: Table) -> tuple[dict[str, Node], dict[str, EditorNode]]:
    """The graph, and the nodes of unknown classes that are in it too, without their constants.

    Raises `BadEditorFile`.
    """
    return _Conversion(document, table).run()


class _Conversion:
    def __init__(self, document: Document, table: Table) -> None:
        self._document = document
        self._table = table
        self._graph: dict[str, Node] = {}
        self._unknown: dict[str, EditorNode] = {}
        self._count = 0

    def run(self) -> tuple[dict[str, Node], dict[str, EditorNode]]:
        main = _Frame(level=self._document.main)
        self._unfold(main, ())
        self._write(main)
        missing = [
            (node_id, name)
            for node_id, node in self._graph.items()
            for name, link in node.links()
            if link.node not in self._graph
        ]
        for node_id, name in missing:
            node = self._graph[node_id]
            inputs = {key: value for key, value in node.inputs.items() if key != name}
            self._graph[node_id] = Node(class_type=node.class_type, inputs=inputs, title=node.title)
        return self._graph, self._unknown

    # ── subgraphs ───────────────────────────────────────────────────────────────────────────────

    def _unfold(self, frame: _Frame, within: tuple[str, ...]) -> None:
        self._count += len(frame.level.nodes)
        if self._count > MOST_NODES:
            raise BadEditorFile(f"its subgraphs unfold to more than {MOST_NODES} nodes")
        for node in frame.level.nodes.values():
            level = self._document.subgraphs.get(node.type)
            if level is None or node.mode in (NEVER, BYPASS):
                continue
            if node.type in within:
                raise BadEditorFile(f"{node.named}: this subgraph contains itself")
            inner = _Frame(level=level, prefix=f"{frame.prefix}{node.id}:", outer=frame, host=node)
            frame.inner[node.id] = inner
            self._unfold(inner, (*within, node.type))
            self._promote(frame, inner, node)

    def _promote(self, frame: _Frame, inner: _Frame, host: EditorNode) -> None:
        """Take the values that the host gives to its inputs and to widgets inside it."""
        promoted = [
            (index, value)
            for index, port in enumerate(inner.level.inputs)
            if (value := self._inner_value(inner, index)) is not None
        ]
        ports = {index: value.value for index, value in promoted}
        overrides = dict(inner.overrides)
        proxies = host.properties.get("proxyWidgets")
        if isinstance(host.values, Mapping):
            named = {inner.level.inputs[index].name: index for index in ports}
            ports |= {named[name]: value for name, value in host.values.items() if name in named}
        elif isinstance(proxies, list):
            for proxy, value in zip(proxies, host.values, strict=False):
                if isinstance(proxy, list) and len(proxy) >= 2 and value is not None:
                    overrides[str(proxy[0]), str(proxy[1])] = value
        else:
            ports |= dict(zip(ports, host.values, strict=False))
        inner.ports, inner.overrides = ports, overrides

    def _inner_value(self, inner: _Frame, index: int) -> _Constant | None:
        """What the widget behind an input of a subgraph holds inside; None if there is none."""
        for link in inner.level.inputs[index].links:
            for node in inner.level.nodes.values():
                for socket in node.inputs:
                    if socket.link != link:
                        continue
                    if node.id in inner.inner:
                        deeper = inner.inner[node.id]
                        slot = _port(deeper.level, node, socket)
                        if slot is not None and slot in deeper.ports:
                            return _Constant(deeper.ports[slot])
                    else:
                        values = self._values(inner, node)
                        if socket.name in values:
                            return _Constant(values[socket.name])
        return None

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────

    def _write(self, frame: _Frame) -> None:
        for node in frame.level.nodes.values():
            if node.id in frame.inner:
                self._write(frame.inner[node.id])
            elif node.type not in VIRTUAL and node.mode not in (NEVER, BYPASS):
                self._write_node(frame, node)

    def _write_node(self, frame: _Frame, node: EditorNode) -> None:
        node_id = frame.prefix + node.id
        entry = self._table.get(node.type)
        if entry is None:
            self._unknown[node_id] = node
        inputs = dict(self._values(frame, node))
        for socket in node.inputs:
            found = self._source(frame, socket)
            if isinstance(found, _Muted):
                inputs.pop(socket.name, None)
            elif isinstance(found, _Constant):
                inputs[socket.name] = found.value
            elif found is not None:
                inputs[socket.name] = found
        title = "" if node.title == node.type else node.title
        title = title or str((entry or {}).get("display_name") or node.type)
        self._graph[node_id] = Node(class_type=node.type, inputs=inputs, title=title)

    def _values(self, frame: _Frame, node: EditorNode) -> dict[str, JSON]:
        entry = self._table.get(node.type)
        values = widget_values(node, entry) if entry is not None else {}
        for name in values:
            if (node.id, name) in frame.overrides:
                values[name] = frame.overrides[node.id, name]
        return values

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def _source(self, frame: _Frame, socket: Socket) -> Link | _Constant | _Muted | None:
        """What an input takes in the end; None if nothing."""
        place: _Input | _Output | Link | _Constant | _Muted | None = _Input(frame, socket, socket.type)
        seen = set()
        while isinstance(place, _Input | _Output):
            if place in seen:
                raise BadEditorFile(f"the link to {socket.name} of a {socket.type} input runs in a circle")
            seen.add(place)
            place = _origin(place) if isinstance(place, _Input) else _beyond(place)
        return place


def _origin(place: _Input) -> _Output | _Input | _Constant | None:
    """Where the link to an input begins: an output, or outside of the subgraph."""
    frame = place.frame
    origin = frame.level.links.get(place.socket.link) if place.socket.link is not None else None
    if origin is None:
        return None
    if origin.node is not None:
        return _Output(frame, origin.node, origin.slot, place.wanted)
    outer = _host_socket(frame, origin.slot)
    if frame.outer is not None and outer is not None and outer.link is not None:
        return _Input(frame.outer, outer, outer.type)
    return _Constant(frame.ports[origin.slot]) if origin.slot in frame.ports else None


def _beyond(place: _Output) -> _Output | _Input | Link | _Constant | _Muted | None:
    """What stands behind an output: a node that runs, or whatever its node hands on."""
    frame, node = place.frame, place.frame.level.nodes.get(place.node)
    if node is None:
        return None
    if node.mode == NEVER:
        return _Muted()
    if node.id in frame.inner:
        return _inside(frame.inner[node.id], place)
    if node.type == "PrimitiveNode":
        return None if _first(node) is None else _Constant(_first(node))
    if node.mode != BYPASS and node.type not in VIRTUAL:
        return Link(frame.prefix + node.id, place.slot)
    return _handed_on(place, node)


def _inside(inner: _Frame, place: _Output) -> _Output | _Input | None:
    """What a subgraph gives out at one of its outputs."""
    ports = inner.level.outputs
    link = next(iter(ports[place.slot].links), None) if place.slot < len(ports) else None
    end = Socket(name="", type=place.wanted, link=link)
    return _Input(inner, end, place.wanted)


def _handed_on(place: _Output, node: EditorNode) -> _Input | None:
    """The input that a bypassed node, a reroute or a Set/Get pair hands on."""
    if node.mode == BYPASS:
        socket = _bypass(node, place.slot, place.wanted)
        return None if socket is None else _Input(place.frame, socket, socket.type)
    frame, node = _setter(place.frame, node) if node.type in _SETTERS else (place.frame, node)
    return _Input(frame, node.inputs[0], place.wanted) if node.inputs else None


def _setter(frame: _Frame, getter: EditorNode) -> tuple[_Frame, EditorNode]:
    """The node that sets what ``getter`` gets, at its own level or outside."""
    name = _first(getter)
    level: _Frame | None = frame
    while level is not None:
        for node in level.level.nodes.values():
            if node.type == _SETTERS[getter.type] and _first(node) == name:
                return level, node
        level = level.outer
    raise BadEditorFile(f'{getter.named} gets "{name}", which no {_SETTERS[getter.type]} sets')


def _first(node: EditorNode) -> JSON:
    values = list(node.values.values()) if isinstance(node.values, Mapping) else node.values
    return values[0] if values else None


def _port(level: Level, host: EditorNode, socket: Socket) -> int | None:
    """The index of a host's input among the inputs of its subgraph."""
    same = [other for other in host.inputs if other.name == socket.name]
    indices = [index for index, port in enumerate(level.inputs) if port.name == socket.name]
    position = same.index(socket)
    return indices[position] if position < len(indices) else None


def _host_socket(frame: _Frame, slot: int) -> Socket | None:
    """The input of the host that stands for an input of its subgraph."""
    if frame.host is None or slot >= len(frame.level.inputs):
        return None
    return next((s for s in frame.host.inputs if _port(frame.level, frame.host, s) == slot), None)


def _bypass(node: EditorNode, slot: int, wanted: str) -> Socket | None:
    """The input that a bypassed node passes on to an output."""
    if wanted in ("*", ""):
        return node.inputs[slot if slot < len(node.inputs) else 0] if node.inputs else None
    output = node.output_types[slot] if slot < len(node.output_types) else "*"

    def fits(socket: Socket) -> bool:
        return _compatible(socket.type, output) and _compatible(socket.type, wanted)

    if slot < len(node.inputs) and fits(node.inputs[slot]):
        return node.inputs[slot]
    exact = next((socket for socket in node.inputs if socket.type == wanted), None)
    return exact or next((socket for socket in node.inputs if fits(socket)), None)


def _compatible(one: str, other: str) -> bool:
    if one in ("*", "") or other in ("*", ""):
        return True
    return not set(one.lower().split(",")).isdisjoint(other.lower().split(","))
