"""What a server says of its node classes, and what in a graph it would refuse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from modules.ai.graph import JSON, Graph, Link, Place

FILE_ENDINGS = (".gguf", ".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lack:
    """Something that a graph needs and a server has not. ``input`` and ``value`` are empty for a whole
    class; ``options`` are what the server has instead."""

    class_type: str
    input: str = ""
    value: str = ""
    options: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_file(self) -> bool:
        """Whether it is a model file, by its name."""
        return self.value.lower().endswith(FILE_ENDINGS)


def lacks(
    graph: Graph, table: Mapping[str, Mapping[str, JSON] | None], free: Iterable[Place]
) -> Iterator[Lack]:
    """What ``table`` (class → its entry in /object_info, None for a class the server has not) lacks for
    ``graph``. Inputs in ``free`` are filled later and are not looked at."""
    filled_later = set(free)
    for node_id, node in graph.items():
        entry = table.get(node.class_type)
        if entry is None:
            yield Lack(class_type=node.class_type)
            continue
        specs = inputs_of(entry)
        for name, value in node.inputs.items():
            options = choices(specs.get(name))
            if options is None or isinstance(value, Link) or Place(node_id, name) in filled_later:
                continue
            if value not in options:
                known = tuple(option for option in options if isinstance(option, str))
                yield Lack(class_type=node.class_type, input=name, value=str(value), options=known)


def inputs_of(entry: Mapping[str, JSON]) -> dict[str, JSON]:
    """The inputs of a class, required and optional, by name."""
    groups = entry.get("input")
    found: dict[str, JSON] = {}
    for group in ("required", "optional"):
        part = groups.get(group) if isinstance(groups, dict) else None
        if isinstance(part, dict):
            found |= part
    return found


def choices(spec: JSON) -> list[JSON] | None:
    """The options of a choice, None for another kind of input.

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
