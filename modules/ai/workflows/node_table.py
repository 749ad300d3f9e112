"""What a server says about its node classes, and what it would refuse in a graph."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from modules.ai.workflows.graph import JSON, Graph, Link, Node, NodeInput

FILE_ENDINGS = (".gguf", ".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin")


Table = Mapping[str, Mapping[str, JSON] | None]
"""Class → its entry in /object_info, None for a class that the server lacks."""

Choice = tuple[str, str, str]
"""A class, one of its inputs, and the value of that input in a graph."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lack:
    """Something that a graph needs and a server lacks. ``input`` and ``value`` are empty for a whole
    class; ``options`` are what the server has instead; ``folder`` is where a picture was looked for."""

    class_type: str
    input: str = ""
    value: str = ""
    options: tuple[str, ...] = field(default=(), compare=False)
    folder: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a model file, by its name."""
        return self.value.lower().endswith(FILE_ENDINGS)


@cache
def bundled_table() -> Table:
    """ComfyUI 0.33.0's own nodes, for when no server has been asked: names, types, defaults, choices and
    outputs. Its choices have no model files."""
    packed = Path(__file__).with_name("node_table.json.gz").read_bytes()
    table: dict[str, dict[str, JSON]] = json.loads(gzip.decompress(packed))
    return table


def lacks(graph: Graph, table: Table, free: Iterable[NodeInput]) -> Iterator[Lack]:
    """What ``table`` lacks for ``graph``. Inputs in ``free`` are filled later and are not looked at, nor
    are pictures (see `pictures`)."""
    for class_type in dict.fromkeys(node.class_type for node in graph.values()):
        if table.get(class_type) is None:
            yield Lack(class_type=class_type)
    for class_type, name, value, spec in _constants(graph, table, free):
        options = choices(spec)
        if options is None or _folder(spec) or value in options or own_spelling(value, options) is not None:
            continue
        known = tuple(option for option in options if isinstance(option, str))
        yield Lack(class_type=class_type, input=name, value=str(value), options=known)


def pictures(graph: Graph, table: Table, free: Iterable[NodeInput]) -> Iterator[Lack]:
    """The uploaded files that ``graph`` names, each as the `Lack` to report if the server does not have it.

    ComfyUI takes any file in its input folder, but lists only those that are not in a subfolder.
    """
    for class_type, name, value, spec in _constants(graph, table, free):
        folder = _folder(spec)
        if folder and isinstance(value, str) and value:
            _, named = annotated(value)
            yield Lack(class_type=class_type, input=name, value=value, folder=named or folder)


def annotated(value: str) -> tuple[str, str]:
    """The path and the folder in a loader's value, such as ``kept/a.png [output]``."""
    for folder in ("input", "output", "temp"):
        if value.endswith(f" [{folder}]"):
            return value[: -len(folder) - 3], folder
    return value, ""


def respellings(graph: Graph, table: Table, free: Iterable[NodeInput]) -> Iterator[tuple[Choice, str]]:
    """The server's spelling of each file that ``graph`` writes with other separators."""
    for class_type, name, value, spec in _constants(graph, table, free):
        options = choices(spec) or []
        own = None if value in options else own_spelling(value, options)
        if own is not None:
            yield (class_type, name, value), own


def respelled(graph: Graph, spellings: Mapping[Choice, str]) -> Graph:
    """``graph`` with its files in a server's spelling."""
    if not spellings:
        return graph
    return {
        node_id: Node(
            class_type=node.class_type,
            inputs={
                name: spellings.get((node.class_type, name, value), value)
                if isinstance(value, str)
                else value
                for name, value in node.inputs.items()
            },
            title=node.title,
        )
        for node_id, node in graph.items()
    }


def own_spelling(value: JSON, options: Iterable[JSON]) -> str | None:
    """The option that equals ``value`` except for its path separators: Windows writes ``\\``."""
    if not isinstance(value, str):
        return None
    plain = value.replace("\\", "/")
    return next((o for o in options if isinstance(o, str) and o.replace("\\", "/") == plain), None)


def _constants(
    graph: Graph, table: Table, free: Iterable[NodeInput]
) -> Iterator[tuple[str, str, JSON, JSON]]:
    """Class, input, value and the input's entry in the table, for the constants of known classes."""
    filled_later = set(free)
    for node_id, node in graph.items():
        specs = inputs_of(table.get(node.class_type) or {})
        for name, value in node.inputs.items():
            if not isinstance(value, Link) and NodeInput(node_id, name) not in filled_later:
                yield node.class_type, name, value, specs.get(name)


def _folder(spec: JSON) -> str:
    """The folder of an input that names an uploaded file, empty for any other input."""
    config = spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else {}
    if not any(isinstance(name, str) and name.endswith("_upload") and config[name] for name in config):
        return ""
    folder = config.get("image_folder", "input")
    return folder if isinstance(folder, str) and folder else "input"


def inputs_of(entry: Mapping[str, JSON], *only: str) -> dict[str, JSON]:
    """The inputs of a class by name: required and optional ones, or one kind ``only``."""
    groups = entry.get("input")
    found: dict[str, JSON] = {}
    for group in only or ("required", "optional"):
        part = groups.get(group) if isinstance(groups, dict) else None
        if isinstance(part, dict):
            found |= part
    return found


def choices(spec: JSON) -> list[JSON] | None:
    """The options of a choice; None for other kinds of input.

    Old nodes write ``[[options…], {…}]``, V3 nodes ``["COMBO", {"options": […]}]``.
    """
    if not isinstance(spec, list) or not spec:
        return None
    if isinstance(spec[0], list):
        return spec[0]
    if spec[0] == "COMBO" and len(spec) > 1 and isinstance(spec[1], dict):
        options = spec[1].get("options")
        return options if isinstance(options, list) else None
    return None
