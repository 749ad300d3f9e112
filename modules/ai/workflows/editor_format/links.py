"""Where a link begins once subgraphs, bypassed nodes, reroutes and Set/Get pairs are out of the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from modules.ai.workflows.editor_format.document import BYPASS, NEVER, BadEditorFile, EditorNode, Socket
from modules.ai.workflows.editor_format.frames import Frame
from modules.ai.workflows.graph import JSON, Link

_REROUTES = ("Reroute", "Reroute (rgthree)")
_SETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
_SILENT = (
    "PrimitiveNode", "Note", "MarkdownNote", "Fast Muter (rgthree)", "Fast Bypasser (rgthree)",
    "Fast Actions Button (rgthree)", "Random Unmuter (rgthree)", "Mute / Bypass Repeater (rgthree)",
    "Mute / Bypass Relay (rgthree)", "Node Collector (rgthree)",
    "Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere",
)  # fmt: skip
VIRTUAL = frozenset({*_REROUTES, *_SETTERS, *_SETTERS.values(), *_SILENT})
"""Node types that the editor resolves by itself: ComfyUI never sees them."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that the host of a subgraph gives instead of a link."""

    value: JSON


@dataclass(frozen=True, slots=True)
class _Input:
    """An input on the way of a link back to its beginning; ``wanted`` is the type at the link's end."""

    frame: Frame
    socket: Socket
    wanted: str


@dataclass(frozen=True, slots=True)
class _Output:
    """An output on that way."""

    frame: Frame
    node: str
    slot: int
    wanted: str


_Place: TypeAlias = "_Input | _Output"
Source: TypeAlias = Link | Constant | None
"""What an input takes in the end: an output of a node that runs, a value, or nothing."""


class Sources:
    """Follows links, each part of the way once."""

    def __init__(self) -> None:
        self._known: dict[_Place, Source] = {}

    def of(self, frame: Frame, socket: Socket) -> Source:
        """What an input takes in the end. Raises `BadEditorFile` if its links form a cycle."""
        place: _Place | Source = _Input(frame, socket, socket.type)
        way: dict[_Place, None] = {}
        while isinstance(place, _Input | _Output) and place not in self._known:
            if place in way:
                raise BadEditorFile(
                    f"a link of type {socket.type} to {socket.name or 'a node'} leads into a loop"
                )
            way[place] = None
            place = _origin(place) if isinstance(place, _Input) else _beyond(place)
        found = self._known[place] if isinstance(place, _Input | _Output) else place
        self._known |= dict.fromkeys(way, found)
        return found


def primitive(frame: Frame, socket: Socket) -> JSON:
    """The value of the PrimitiveNode at the other end of a link, None if there is none."""
    origin = frame.level.links.get(socket.link or "")
    node = frame.level.nodes.get(origin.node or "") if origin is not None else None
    return _first(node) if node is not None and node.type == "PrimitiveNode" else None


def _origin(place: _Input) -> _Output | _Input | Constant | None:
    """Where the link to an input begins: an output, or outside of the subgraph."""
    frame = place.frame
    origin = frame.level.links.get(place.socket.link or "")
    if origin is None:
        return None
    if origin.node is not None:
        return _Output(frame, origin.node, origin.slot, place.wanted)
    if frame.host is None or frame.outer is None or origin.slot >= len(frame.level.inputs):
        return None
    name = frame.level.inputs[origin.slot].name
    outer = _host_socket(frame, frame.host, origin.slot)
    if outer is not None and outer.link is not None:
        return _Input(frame.outer, outer, outer.type)
    return Constant(frame.ports[name]) if name in frame.ports else None


def _beyond(place: _Output) -> _Output | _Input | Link | None:
    """What is behind an output: a node that runs, or whatever its node passes on."""
    frame, node = place.frame, place.frame.level.nodes.get(place.node)
    if node is None or node.mode == NEVER:
        return None
    if node.id in frame.inner:
        inner = frame.inner[node.id]
        ports = inner.level.outputs
        link = next(iter(ports[place.slot].links), None) if place.slot < len(ports) else None
        return _Input(inner, Socket(name="", type=place.wanted, link=link), place.wanted)
    if node.mode == BYPASS:
        socket = _bypass(node, place.slot, place.wanted)
        return None if socket is None else _Input(frame, socket, socket.type)
    if node.type not in VIRTUAL:
        return Link(frame.prefix + node.id, place.slot)
    frame, node = _setter(frame, node) if node.type in _SETTERS else (frame, node)
    return _Input(frame, node.inputs[0], place.wanted) if node.inputs else None


def _setter(frame: Frame, getter: EditorNode) -> tuple[Frame, EditorNode]:
    """The node that sets what ``getter`` gets, at its own level or outside."""
    name = _first(getter)
    level: Frame | None = frame
    while level is not None:
        for node in level.level.nodes.values():
            if node.type == _SETTERS[getter.type] and _first(node) == name:
                return level, node
        level = level.outer
    raise BadEditorFile(f'{getter.named} gets "{name}", which no {_SETTERS[getter.type]} sets')


def _first(node: EditorNode) -> JSON:
    values = node.values if isinstance(node.values, list) else list(node.values.values())
    return values[0] if values else None


def _host_socket(frame: Frame, host: EditorNode, slot: int) -> Socket | None:
    """The input of the host that stands for an input of its subgraph: the one with the same name; among
    several with that name, the one at the same position."""
    port = frame.level.inputs[slot]
    position = sum(other.name == port.name for other in frame.level.inputs[:slot])
    same = [socket for socket in host.inputs if socket.name == port.name]
    return same[position] if position < len(same) else None


def _bypass(node: EditorNode, slot: int, wanted: str) -> Socket | None:
    """The input that a bypassed node hands on to an output."""
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
