"""Folds graphs: switches, primitives, joined texts and arithmetic become constants before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from modules.ai.workflows.constants import is_constant, outputs_of
from modules.ai.workflows.graph import JSON, Graph, Link, Node, in_order, only, upstream
from modules.ai.workflows.node_table import Table, inputs_of

SWITCH = "ComfySwitchNode"
WRITERS = frozenset({"TextGenerate", "TextGenerateLTX2Prompt"})
"""Nodes whose language model writes a text."""

SHOWING = {"PreviewAny": "source", "SaveText": "text"}
"""Nodes that pass a text on unchanged."""

_CASTS: Mapping[str, Callable[[JSON], JSON]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def folded(
    graph: Graph, table: Table, keep: Collection[str] = (), *, enhance: bool = False
) -> dict[str, Node]:
    """``graph`` with constants where they can be computed, and without the nodes that are no longer needed.

    The nodes in ``keep`` stay, and so do those that depend on their values, which are filled in later. A
    switch with one text from a language model and one without takes the first if ``enhance``, otherwise the
    second. Raises `BadGraph` if there is a cycle.
    """
    known: dict[Link, JSON | Link] = {}
    result: dict[str, Node] = dict(graph)
    written: set[str] = set()
    for node_id in in_order(graph):
        node = graph[node_id]
        specs = inputs_of(table.get(node.class_type) or {})
        inputs = {name: _arriving(value, known, specs.get(name)) for name, value in node.inputs.items()}
        node = result[node_id] = Node(class_type=node.class_type, inputs=inputs, title=node.title)
        links = [link for _, link in node.links()]
        if node.class_type in WRITERS or (
            any(link.node in written for link in links) and _gives_words(node, links, result, table)
        ):
            written.add(node_id)
        if node_id not in keep:
            if node.class_type == SWITCH:
                outputs = _chosen(node, written, enhance=enhance)
            else:
                outputs = _outputs(node, _constants(graph[node_id], specs), result, table)
            known |= {Link(node_id, slot): value for slot, value in enumerate(outputs)}
    settled = {link.node for link in known}
    taken = {link.node for node in graph.values() for _, link in node.links()}
    needed = {
        node_id
        for node_id, node in graph.items()
        if node_id not in taken or (table.get(node.class_type) or {}).get("output_node")
    }
    return only(result, upstream(result, (needed - settled) | (set(keep) & set(graph))))


def _arriving(value: JSON | Link, known: Mapping[Link, JSON | Link], spec: JSON) -> JSON | Link:
    if not isinstance(value, Link) or value not in known:
        return value
    arrived = known[value]
    return arrived if isinstance(arrived, Link) or _taken(arrived, spec) else value


def _taken(value: JSON, spec: JSON) -> bool:
    """Whether ComfyUI accepts the constant there: it checks limits of constants, not of linked values."""
    bounds = spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else {}
    if isinstance(value, str):
        return True
    least, most = bounds.get("min", value), bounds.get("max", value)
    return all(isinstance(bound, int | float) for bound in (least, most)) and bool(least <= value <= most)


def _outputs(
    node: Node, constants: Mapping[str, JSON], graph: Graph, table: Table
) -> tuple[JSON | Link, ...]:
    """The outputs of a node as constants or links to other nodes; empty if they are not known."""
    shown = node.inputs.get(SHOWING.get(node.class_type, ""))
    if isinstance(shown, Link):
        return (shown,) if _type(graph, shown, table) == "STRING" else ()
    if any(True for _ in node.links()):
        return ()
    return outputs_of(node.class_type, {**node.inputs, **constants}) or ()


def _chosen(node: Node, written: Collection[str], *, enhance: bool) -> tuple[JSON | Link, ...]:
    switch = node.inputs.get("switch")
    if isinstance(switch, Link) or switch is None:
        return ()
    taken, other = (node.inputs.get(name) for name in ("on_true", "on_false"))
    if not switch:
        taken, other = other, taken
    by_model = [isinstance(side, Link) and side.node in written for side in (taken, other)]
    if other is not None and by_model == [not enhance, enhance]:
        taken = other
    return (taken,) if isinstance(taken, Link) or is_constant(taken) else ()


_WORDS = ("STRING", "CONDITIONING", "COMFY_MATCHTYPE_V3", "*", None)


def _gives_words(node: Node, links: Collection[Link], graph: Graph, table: Table) -> bool:
    """Whether a node passes words on as words, and not as a picture made from them."""
    outputs = (table.get(node.class_type) or {}).get("output")
    kinds = outputs if isinstance(outputs, list) else [_type(graph, link, table) for link in links]
    return all(kind in _WORDS for kind in kinds)


def _type(graph: Graph, link: Link, table: Table) -> JSON:
    outputs = (table.get(graph[link.node].class_type) or {}).get("output")
    return outputs[link.slot] if isinstance(outputs, list) and 0 <= link.slot < len(outputs) else None


def _constants(node: Node, specs: Mapping[str, JSON]) -> dict[str, JSON]:
    """The constants of a node as ComfyUI reads them from the file."""
    return {name: _cast(v, specs.get(name)) for name, v in node.inputs.items() if not isinstance(v, Link)}


def _cast(value: JSON, spec: JSON) -> JSON:
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    kind = spec[0] if isinstance(spec, list) and spec and isinstance(spec[0], str) else ""
    try:
        return _CASTS[kind](value) if kind in _CASTS else value
    except (OverflowError, TypeError, ValueError):
        return value  # ComfyUI refuses the graph
