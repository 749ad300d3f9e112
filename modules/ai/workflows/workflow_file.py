"""A workflow file as people have it: API format, a saved request, the editor's format, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modules.ai.workflows.editor_format.conversion import VIRTUAL, convert
from modules.ai.workflows.editor_format.document import (
    MOST_NODES,
    BadEditorFile,
    Document,
    EditorNode,
    is_editor_file,
    read_document,
)
from modules.ai.workflows.graph import (
    JSON,
    BadGraph,
    Graph,
    Node,
    in_order,
    named,
    only,
    read_graph,
    upstream,
)
from modules.ai.workflows.node_table import Table
from modules.ai.workflows.picture_metadata import BadPicture, picture_metadata
from modules.queue_manager.errors import BadWorkflow

ENDINGS = (".json", ".png", ".webp")
_LARGEST_TEXT = 16 * 1024 * 1024
_PICTURES = ("IMAGE", "LATENT", "MASK", "VIDEO")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDownload:
    """A model file that the workflow needs: ``folder`` is that below ComfyUI's ``models/``."""

    name: str
    url: str
    folder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowFile:
    """``graph`` is what ComfyUI would run; ``origins`` says which pack or ComfyUI brings a class, where the
    file says so: ``pack comfyui-kjnodes 1.2.3``."""

    graph: dict[str, Node]
    downloads: tuple[ModelDownload, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


def read_workflow(file: Path, table: Table) -> WorkflowFile:
    """The workflow in a file. Raises `BadWorkflow` with one sentence, which begins with the file's name.

    Classes that ``table`` has not are taken as they are in API format; in the editor's they cannot be read.
    """
    try:
        return _read(file, table)
    except (BadGraph, BadEditorFile, BadPicture) as fault:
        raise BadWorkflow(f"{file.name}: {fault}") from fault
    except (UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise BadWorkflow(f"{file.name}: not JSON ({fault})") from fault
    except (ValueError, RecursionError) as fault:
        raise BadWorkflow(f"{file.name}: its JSON is nested too deep or has a number too long") from fault
    except OSError as fault:
        raise BadWorkflow(f"{file.name}: cannot be read ({fault.strerror})") from fault


def _read(file: Path, table: Table) -> WorkflowFile:
    if file.suffix.lower() == ".json":
        if file.stat().st_size > _LARGEST_TEXT:
            raise BadGraph(f"larger than {_LARGEST_TEXT} bytes")
        parts = list(_parts(_parsed(file.read_text(encoding="utf-8-sig"))))
    else:
        texts = picture_metadata(file)
        if not texts:
            raise BadPicture("this picture has no workflow in it")
        parts = [part for text in texts for part in _parts(_parsed(text))]
    api = next((part for part in parts if _is_graph(part)), None)
    editor = next((part for part in parts if is_editor_file(part)), None)
    if api is None and editor is None:
        raise BadGraph("there is no ComfyUI workflow in it")
    document = read_document(editor) if editor is not None else None
    if api is not None:
        if len(api) > MOST_NODES:
            raise BadGraph(f"it has {len(api)} nodes; at most {MOST_NODES} are read")
        graph = _runnable(read_graph(api), table)
    elif document is not None:
        graph = _converted(document, table)
    in_order(graph)
    nodes = [node for node in document.nodes() if node.type not in VIRTUAL] if document is not None else []
    used = {node.class_type for node in graph.values()}
    nodes = [node for node in nodes if node.type in used]
    origins = {node.type: origin for node in nodes if (origin := _origin(node))}
    return WorkflowFile(graph=graph, downloads=tuple(dict.fromkeys(_downloads(nodes))), origins=origins)


def _parsed(text: str) -> JSON:
    # ComfyUI writes NaN for what changes at every run
    return json.loads(text, parse_constant=lambda _: None)


def _parts(data: JSON, depth: int = 0) -> Iterator[JSON]:
    """Every graph and editor's workflow in saved requests, answers and history, the outermost first."""
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
    saving = [node_id for node_id in _outputs(graph, table) if node_id not in unknown]
    saving = [node_id for node_id in saving if not graph[node_id].class_type.startswith("Preview")]
    needed = upstream(graph, saving or _outputs(graph, table))
    lacking = [node_id for node_id in unknown if node_id in needed]
    if lacking:
        raise BadGraph(_unknown(graph, {node_id: unknown[node_id] for node_id in lacking}))
    whole = {
        node_id for node_id in _outputs(graph, table) if unknown.keys().isdisjoint(upstream(graph, [node_id]))
    }
    return _runnable(only(graph, upstream(graph, whole)), table)


def _outputs(graph: Graph, table: Table) -> list[str]:
    """The nodes that ComfyUI starts from; an unknown class is taken for one if it only takes pictures."""
    feeding = {link.node for node in graph.values() for _, link in node.links()}
    return [
        node_id
        for node_id, node in graph.items()
        if (entry.get("output_node") if (entry := table.get(node.class_type)) else node_id not in feeding)
    ]


def _runnable(graph: Graph, table: Table) -> dict[str, Node]:
    outputs = _outputs(graph, table)
    if not outputs:
        raise BadGraph("nothing in it is saved or shown (a node such as SaveImage is needed)")
    return only(graph, upstream(graph, outputs))


def _unknown(graph: Graph, nodes: Mapping[str, EditorNode]) -> str:
    first, *others = nodes
    origin = _origin(nodes[first])
    if origin.startswith("pack"):
        what = f"comes from the {origin}, which is not known here; install it in ComfyUI"
    elif origin:
        what = f"comes from {origin}, and the nodes known here are older; update ComfyUI"
    else:
        what = "is not known here, and the file does not say which pack it comes from"
    more = dict.fromkeys(f"{nodes[n].type} ({_origin(nodes[n]) or 'pack not told'})" for n in others)
    more.pop(f"{nodes[first].type} ({origin or 'pack not told'})", None)
    return f"{named(graph, first)} {what}" + (f"; also unknown: {', '.join(more)}" if more else "")


# ── what the nodes say of themselves ────────────────────────────────────────────────────────────


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
