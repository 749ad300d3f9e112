"""Reads the workflow files that people have: API format, a saved request, the editor's format, a picture."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modules.ai.workflows.downloads import ModelDownload
from modules.ai.workflows.editor_format.conversion import convert
from modules.ai.workflows.editor_format.document import (
    MOST_NODES,
    BadEditorFile,
    Document,
    EditorNode,
)
from modules.ai.workflows.editor_format.reading import is_editor_file, read_document
from modules.ai.workflows.graph import (
    JSON,
    BadGraph,
    Graph,
    Node,
    downstream,
    in_order,
    named,
    only,
    read_graph,
    upstream,
)
from modules.ai.workflows.node_table import Table, inputs_of
from modules.ai.workflows.picture_metadata import BadPicture, picture_metadata
from modules.queue_manager.errors import BadWorkflow

ENDINGS = (".json", ".png", ".webp")
_LARGEST_TEXT = 8 * 1024 * 1024
_SUBGRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowFile:
    """``graph`` is what ComfyUI would run; ``origins`` says which pack or ComfyUI version a class comes from,
    if the file says so: ``pack comfyui-kjnodes 1.2.3``."""

    graph: dict[str, Node]
    downloads: tuple[ModelDownload, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


def read_workflow(file: Path, table: Table) -> WorkflowFile:
    """The workflow in a file. Raises `BadWorkflow` with one sentence, which begins with the file's name.

    Classes that ``table`` lacks stay as they are in API format; in the editor's they cannot be read.
    """
    try:
        return _read(file, table)
    except (BadGraph, BadEditorFile, BadPicture) as fault:
        raise BadWorkflow(f"{file.name}: {fault}") from fault
    except (UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise BadWorkflow(f"{file.name}: not JSON ({fault})") from fault
    except (ValueError, RecursionError) as fault:
        raise BadWorkflow(
            f"{file.name}: its JSON is nested too deeply, or a number in it is too long"
        ) from fault
    except OSError as fault:
        raise BadWorkflow(f"{file.name}: cannot be read ({fault.strerror})") from fault


def _read(file: Path, table: Table) -> WorkflowFile:
    parts = _parts_of_text(file) if file.suffix.lower() == ".json" else _parts_of_picture(file)
    graphs = [part for part in parts if _is_graph(part)]
    editor = next((part for part in parts if is_editor_file(part)), None)
    if any(graph != graphs[0] for graph in graphs):
        raise BadGraph("there are several workflows in it")
    try:
        document = read_document(editor, table) if editor is not None else None
    except BadEditorFile:
        if not graphs:
            raise
        document = None
    if graphs:
        if len(graphs[0]) > MOST_NODES:
            raise BadGraph(f"it has {len(graphs[0])} nodes; at most {MOST_NODES} are read")
        graph = _leading_to(read_graph(graphs[0]), table, {})
    elif document is not None:
        graph = _converted(document, table)
    else:
        raise BadGraph("there is no ComfyUI workflow in it")
    in_order(graph)
    used = {node.class_type for node in graph.values()}
    nodes = [node for node in document.nodes() if node.type in used] if document is not None else []
    origins = {node.type: origin for node in nodes if (origin := _origin(node))}
    return WorkflowFile(graph=graph, downloads=tuple(dict.fromkeys(_downloads(nodes))), origins=origins)


def _parts_of_text(file: Path) -> list[JSON]:
    if file.stat().st_size > _LARGEST_TEXT:
        raise BadGraph(f"larger than {_LARGEST_TEXT} bytes")
    return list(_parts(_parsed(file.read_text(encoding="utf-8-sig"))))


def _parts_of_picture(file: Path) -> list[JSON]:
    parts: list[JSON] = []
    for text in picture_metadata(file):
        with suppress(json.JSONDecodeError):  # other programs write a plain text under the same name
            parts += _parts(_parsed(text))
    return parts


def _parsed(text: str) -> JSON:
    # ComfyUI writes NaN for what changes at every run
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole)


_MOST_DIGITS = len(str(2**64))


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # no input takes it, and arithmetic with it fails
        raise ValueError("a number is too long")
    return int(digits)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _parts(data: JSON, depth: int = 0) -> Iterator[JSON]:
    """Every graph and editor workflow in saved requests, answers and history, the outermost first."""
    if _is_graph(data) or is_editor_file(data):
        yield data
    elif depth < 6 and isinstance(data, dict | list):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _parts(part, depth + 1)


def _is_graph(data: JSON) -> bool:
    return isinstance(data, dict) and any(
        isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in data.values()
    )


# ── what runs ───────────────────────────────────────────────────────────────────────────────────


def _converted(document: Document, table: Table) -> dict[str, Node]:
    graph, unknown = convert(document, table)
    linked = {n for node_id, node in graph.items() for _, link in node.links() for n in (node_id, link.node)}
    lacking = {node_id: node for node_id, node in unknown.items() if node_id in linked}
    if lacking:
        raise BadGraph(_unknown(graph, lacking, document))
    graph = only(graph, graph.keys() - unknown.keys())  # a node without links is some pack's note
    return _leading_to(graph, table, dict(_unconnected(graph, table)))


def _leading_to(graph: Graph, table: Table, faults: Mapping[str, str]) -> dict[str, Node]:
    """Everything that the outputs depend on; ComfyUI leaves out an output that depends on a faulty node."""
    outputs = _outputs(graph, table)
    if not outputs:
        raise BadGraph("nothing in it is saved or shown (a node such as SaveImage is needed)")
    spoiled = downstream(graph, faults)
    whole = [node_id for node_id in outputs if node_id not in spoiled]
    if not whole:
        needed = upstream(graph, outputs)
        raise BadGraph(next(why for node_id, why in faults.items() if node_id in needed))
    return only(graph, upstream(graph, whole))


def _outputs(graph: Graph, table: Table) -> list[str]:
    """The nodes that ComfyUI starts from; an unknown class counts as one if no node takes its outputs."""
    feeding = {link.node for node in graph.values() for _, link in node.links()}
    return [
        node_id
        for node_id, node in graph.items()
        if (entry.get("output_node") if (entry := table.get(node.class_type)) else node_id not in feeding)
    ]


def _unconnected(graph: Graph, table: Table) -> Iterator[tuple[str, str]]:
    """The nodes that ComfyUI would refuse because something is missing, each with its sentence."""
    for node_id, node in graph.items():
        for name, spec in inputs_of(table.get(node.class_type) or {}, "required").items():
            grows = isinstance(spec, list) and str(spec[0]).startswith("COMFY_")
            if name not in node.inputs and not grows:
                yield node_id, f"{named(graph, node_id)} needs {name}, and nothing is connected there"


def _unknown(graph: Graph, nodes: Mapping[str, EditorNode], document: Document) -> str:
    first, *others = nodes
    origin = _origin(nodes[first])
    if _SUBGRAPH.fullmatch(nodes[first].type):
        return f"{named(graph, first)} stands for a subgraph that is not in the file"
    if origin.startswith("pack"):
        what = f"comes from the {origin}, which is not known here; install it in ComfyUI"
    elif origin:
        what = f"comes from {origin}, and the nodes known here are older; update ComfyUI"
    else:
        saved = f", saved with ComfyUI's frontend {document.frontend}," if document.frontend else ""
        what = f"is not known here, and the file{saved} does not say which pack it comes from"
    more = {nodes[n].type: _origin(nodes[n]) for n in others if nodes[n].type != nodes[first].type}
    told = ", ".join(f"{name} ({where})" if where else name for name, where in more.items())
    return f"{named(graph, first)} {what}" + (f"; also unknown: {told}" if told else "")


# ── what the nodes say about themselves ────────────────────────────────────────────────────────────


def _origin(node: EditorNode) -> str:
    pack, version = node.properties.get("cnr_id"), node.properties.get("ver")
    if not isinstance(pack, str) or not pack:
        pack = node.properties.get("aux_id")
    if not isinstance(pack, str) or not pack:
        return ""
    name = "ComfyUI" if pack == "comfy-core" else f"pack {pack}"
    return f"{name} {version}" if isinstance(version, str) and version else name


def _downloads(nodes: list[EditorNode]) -> Iterator[ModelDownload]:
    for node in nodes:
        models = node.properties.get("models")
        for model in models if isinstance(models, list) else ():
            fields = [
                model.get(key) if isinstance(model, dict) else None for key in ("name", "url", "directory")
            ]
            name, url, folder = (text if isinstance(text, str) else "" for text in fields)
            if name and url and folder:
                yield ModelDownload(name=name, url=url, folder=folder)
