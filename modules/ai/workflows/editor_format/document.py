"""A workflow as ComfyUI's editor saves it, as plain values: the main graph and its subgraphs.

Nothing is looked up yet: a node's class may be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.ai.workflows.graph import JSON

NEVER = 2
BYPASS = 4
MOST_NODES = 5000
"""Nodes of one workflow, subgraphs unfolded. The largest file among ComfyUI's own templates has 211."""


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
        """How a sentence refers to it."""
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
    links: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """The main graph, or the inside of a subgraph.

    ``ends`` are the inputs to which each link leads, ``renumbered`` the new numbers of nodes by the old ones.
    """

    nodes: Mapping[str, EditorNode]
    links: Mapping[str, Origin]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    renumbered: Mapping[str, str] = field(default_factory=dict)
    ends: dict[str, list[tuple[EditorNode, Socket]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.nodes.values():
            for socket in node.inputs:
                self.ends.setdefault(socket.link or "", []).append((node, socket))


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole file. ``frontend`` is the version that saved it, empty if the file does not say."""

    main: Level
    subgraphs: Mapping[str, Level]
    frontend: str = ""

    def nodes(self) -> list[EditorNode]:
        """All nodes, inside subgraphs too."""
        return [node for level in (self.main, *self.subgraphs.values()) for node in level.nodes.values()]
