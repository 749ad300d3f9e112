"""The main graph and each use of a subgraph in it, with the values that a use gives to what is inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modules.ai.workflows.editor_format.document import (
    BYPASS,
    MOST_NODES,
    NEVER,
    BadEditorFile,
    Document,
    EditorNode,
    Level,
    Port,
)
from modules.ai.workflows.editor_format.widgets import CONTROL, widget_values
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table


@dataclass(kw_only=True, slots=True, eq=False)
class Frame:
    """One use of a level: the main graph, or the subgraph for which ``host`` stands in ``outer``.

    ``ports`` are the values that the host gives to the subgraph's inputs, by name. ``shown`` are the widgets
    inside that the host shows as its own, by node and name, with the name of their value among ``ports``.
    """

    level: Level
    prefix: str = ""
    outer: Frame | None = None
    host: EditorNode | None = None
    inner: dict[str, Frame] = field(default_factory=dict)
    ports: dict[str, JSON] = field(default_factory=dict)
    shown: dict[tuple[str, str], str] = field(default_factory=dict)

    def values(self, node: EditorNode, table: Table) -> dict[str, JSON]:
        """The values of a node's widgets, as the node itself saved them."""
        entry = table.get(node.type)
        return widget_values(node.type, entry, node.values) if entry is not None else {}


def unfolded(document: Document, table: Table) -> Frame:
    """The main graph with all that is in it. Raises `BadEditorFile`."""
    main = Frame(level=document.main)
    count = 0

    def unfold(frame: Frame, within: tuple[str, ...]) -> None:
        nonlocal count
        count += len(frame.level.nodes)
        if count > MOST_NODES:
            raise BadEditorFile(f"its subgraphs unfold to more than {MOST_NODES} nodes")
        for node in frame.level.nodes.values():
            level = document.subgraphs.get(node.type)
            if level is None or node.mode in (NEVER, BYPASS):
                continue
            if node.type in within:
                raise BadEditorFile(f"{node.named}: this subgraph contains itself")
            inner = Frame(level=level, prefix=f"{frame.prefix}{node.id}:", outer=frame, host=node)
            frame.inner[node.id] = inner
            unfold(inner, (*within, node.type))
            _promote(inner, node, table)

    unfold(main, ())
    return main


def _promote(frame: Frame, host: EditorNode, table: Table) -> None:
    """Take the values that the host gives to the inputs of its subgraph and to widgets inside."""
    for port in frame.level.inputs:
        for value in _inside(frame, port, table):
            frame.ports.setdefault(port.name, value)
    given = host.values
    if isinstance(given, Mapping):
        frame.ports |= {name: value for name, value in given.items() if name in frame.ports}
        return
    rest = list(reversed(given))
    names = [port.name for port in frame.level.inputs if port.name in frame.ports]
    spare = len(rest) > len(names)
    for name in names:
        value = rest.pop() if rest else None
        frame.ports[name] = frame.ports[name] if value is None else value
        if spare and rest and rest[-1] in CONTROL:  # what the editor does to a seed after each run
            rest.pop()
    proxies = host.properties.get("proxyWidgets")
    for index, proxy in enumerate(proxies if isinstance(proxies, list) else ()):
        if isinstance(proxy, list) and len(proxy) >= 2:
            value = given[index] if index < len(given) else None
            node_id = frame.level.renumbered.get(str(proxy[0]), str(proxy[0]))
            _show(frame, node_id, str(proxy[1]), value, table)


def _inside(frame: Frame, port: Port, table: Table) -> Iterator[JSON]:
    """What the widgets behind an input of a subgraph hold inside."""
    for link in port.links:
        for node, socket in frame.level.ends.get(link, ()):
            inner = frame.inner.get(node.id)
            values = inner.ports if inner is not None else frame.values(node, table)
            if socket.name in values:
                yield values[socket.name]


def _show(frame: Frame, node_id: str, widget: str, value: JSON, table: Table) -> None:
    """Let the host show a widget inside it, with ``value`` if it has one of its own."""
    node = frame.level.nodes.get(node_id)
    linked = widget if node_id == "-1" else _port_of(frame, node_id, widget)
    if linked is not None and linked in frame.ports:
        frame.ports[linked] = frame.ports[linked] if value is None else value
    elif node is not None and widget != "control_after_generate":
        places = [(node, widget)]
        if node.type == "PrimitiveNode":  # in its place, the host gives the value to each input that it feeds
            ends = [
                frame.level.ends.get(key, [])
                for key, origin in frame.level.links.items()
                if origin.node == node.id
            ]
            places = [(end, socket.name) for pairs in ends for end, socket in pairs]
        name = widget
        while name in frame.ports or any(port.name == name for port in frame.level.inputs):
            name += "_"
        for end, inner_name in places:
            inner = frame.inner.get(end.id)
            held = inner.ports if inner is not None else frame.values(end, table)
            if inner_name in held:
                frame.ports.setdefault(name, held[inner_name] if value is None else value)
                frame.shown[end.id, inner_name] = name
                if inner is not None:
                    inner.ports[inner_name] = frame.ports[name]


def _port_of(frame: Frame, node_id: str, widget: str) -> str | None:
    """The input of the subgraph that is linked to a widget inside."""
    for port in frame.level.inputs:
        for link in port.links:
            for node, socket in frame.level.ends.get(link, ()):
                if node.id == node_id and socket.name == widget:
                    return port.name
    return None
