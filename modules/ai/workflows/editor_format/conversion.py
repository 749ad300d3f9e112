"""From the editor's format to the graph that ComfyUI would run, as the editor itself exports it.

Subgraphs are unfolded, bypassed nodes jumped over, muted ones left out; reroutes, primitives and
Set/Get pairs, which exist in the editor alone, become links and constants.
"""

from __future__ import annotations

from collections.abc import Iterator

from modules.ai.workflows.editor_format.document import BYPASS, NEVER, Document, EditorNode
from modules.ai.workflows.editor_format.frames import Frame, unfolded
from modules.ai.workflows.editor_format.links import VIRTUAL, Constant, Sources, primitive
from modules.ai.workflows.editor_format.widgets import drawn, offered_inputs, with_index
from modules.ai.workflows.graph import JSON, Link, Node
from modules.ai.workflows.node_table import Table, inputs_of


def convert(document: Document, table: Table) -> tuple[dict[str, Node], dict[str, EditorNode]]:
    """The graph, and which of its nodes are of no known class: their constants are not in it.

    Raises `BadEditorFile`.
    """
    graph: dict[str, Node] = {}
    unknown: dict[str, EditorNode] = {}
    sources = Sources()
    for frame, node in _running(unfolded(document, table)):
        node_id = frame.prefix + node.id
        entry = table.get(node.type)
        if entry is None:
            unknown[node_id] = node
        title = node.title if node.title != node.type else ""
        title = title or str((entry or {}).get("display_name") or node.type)
        graph[node_id] = Node(class_type=node.type, inputs=_inputs(frame, node, table, sources), title=title)
    return graph, unknown


def _running(frame: Frame) -> Iterator[tuple[Frame, EditorNode]]:
    for node in frame.level.nodes.values():
        if node.id in frame.inner:
            yield from _running(frame.inner[node.id])
        elif node.type not in VIRTUAL and node.mode not in (NEVER, BYPASS):
            yield frame, node


def _inputs(frame: Frame, node: EditorNode, table: Table, sources: Sources) -> dict[str, Link | JSON]:
    entry = table.get(node.type)
    specs = inputs_of(entry) if entry is not None else {}
    inputs: dict[str, Link | JSON] = frame.values(node, table)
    for socket in node.inputs:
        value = primitive(frame, socket)
        if value is not None and socket.widget in inputs:
            inputs[socket.name] = value
    inputs |= drawn(inputs, specs)
    for name in inputs:
        shown = frame.shown.get((node.id, name))
        inputs[name] = inputs[name] if shown is None else frame.ports[shown]
    offered = {*offered_inputs(specs, inputs)}
    for socket in node.inputs:
        known = socket.name in offered or socket.name[: socket.name.rfind(".") + 1] in offered
        if entry is not None and not known and (socket.widget is not None or "." in socket.name):
            continue  # an input that another version of the class had, or another choice has
        if (node.id, socket.name) in frame.shown:
            continue
        found = sources.of(frame, socket)
        if found is not None:
            inputs[socket.name] = found.value if isinstance(found, Constant) else found
    return with_index(inputs) if node.type == "CustomCombo" else inputs
