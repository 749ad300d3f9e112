"""The sizes that a workflow can paint, and the inputs that say which."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.models.sampling import samplers_of
from modules.ai.workflows.cards import Role
from modules.ai.workflows.graph import Graph, Link, NodeInput, downstream
from modules.queue_manager.jobs import Size

_RATIOS = ((1, 1), (3, 4), (4, 3), (2, 3), (3, 2), (9, 16), (16, 9))
_MULTIPLES = (64, 32, 16, 8, 4, 2, 1)
_PREFIXES = ("", "target_", "resize_type.", "empty_latent_")
_CHOOSING = re.compile(r"ratio|aspect|preset|swap|resolution|dimension")
"""In the name of an input that may override width and height in an unknown node."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a card says about sizes: ``sizes`` and ``size_multiple``, and where a chosen size goes."""

    sizes: tuple[Size, ...]
    multiple: int
    roles: Mapping[Role, list[NodeInput]] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """As fields of a card file."""
        texts = [f"{size.width}x{size.height}" for size in self.sizes]
        return {"sizes": texts, "size_multiple": self.multiple}


@dataclass(frozen=True, slots=True)
class _Pair:
    """A width and a height in the graph, for the inputs of ``node``. With ``fixes``, another picture size
    would not fit this one."""

    node: str
    width: NodeInput
    height: NodeInput
    size: Size
    fixes: bool


def latents_of(drawing: Drawing) -> list[str]:
    """The nodes that make an empty latent, or whatever else a picture of a chosen size starts from."""
    return [node_id for node_id in drawing.order if _is_latent(drawing, node_id)]


def _is_latent(drawing: Drawing, node_id: str) -> bool:
    inputs = drawing.node(node_id).inputs
    if "batch_size" not in inputs or not {"width", "empty_latent_width"} & set(inputs):
        return False
    if node_id in drawing.known:
        return "LATENT" in drawing.outputs(node_id)
    name = drawing.node(node_id).class_type.lower()
    return ("latent" in name or "empty_latent_width" in inputs) and not any(map(_CHOOSING.search, inputs))


def sizes_of(drawing: Drawing, drawn: Graph, notes: list[str]) -> Sizes:
    """The sizes that a workflow can paint; ``drawn`` is the graph as its author drew it.

    Raises `Underivable` if its size is computed.
    """
    latents = latents_of(drawing)
    pairs = list(_pairs(drawing, latents))
    sizes = [pair.size for pair in pairs if pair.node in latents]
    if not sizes:
        raise Underivable(
            f"{_unsized(drawing, latents)}the bot cannot tell how large the picture gets: write sizes"
        )
    own = max(sizes, key=lambda size: size.width * size.height)
    equal = [pair for pair in pairs if pair.size == own]
    roles: dict[Role, list[NodeInput]] = {
        "width": list(dict.fromkeys(pair.width for pair in equal)),
        "height": list(dict.fromkeys(pair.height for pair in equal)),
    }
    fixing = [pair for pair in pairs if pair.fixes and pair.size != own]
    why = fixing[-1].node if fixing else _placed(drawing, latents)
    why = why or next((pair.node for pair in equal if pair.width in roles["height"]), None)  # always square
    why = why or _elsewhere(drawing, drawn, {*roles["width"], *roles["height"]})
    if why is not None:
        notes.append(f"{drawing.named(why)}: it fits only one size, so people cannot choose another")
        made = [pair.size for pair in fixing if pair.node in downstream(drawing.graph, latents)]
        last = made[-1] if made else own
        return Sizes((last,), _multiple(last))
    multiple = min(_multiple(own), _step(drawing, latents[0]))
    return Sizes(_choices(own, multiple), multiple, roles)


def _pairs(drawing: Drawing, latents: Collection[str]) -> Iterator[_Pair]:
    after = downstream(drawing.graph, latents)
    for node_id in drawing.order:
        placed = "x" in drawing.node(node_id).inputs or "MASK" in drawing.outputs(node_id)
        for prefix in _PREFIXES:
            sides = [drawing.held(NodeInput(node_id, f"{prefix}{side}")) for side in ("width", "height")]
            if sides[0] is not None and sides[1] is not None:
                width, height = (drawing.whole(side) or 0 for side in sides if side is not None)
                if width > 0 and height > 0:
                    size = Size(width=width, height=height)
                    yield _Pair(node_id, sides[0], sides[1], size, placed or node_id in after)


def _placed(drawing: Drawing, latents: Collection[str]) -> str | None:
    """A node that puts something in a certain place in the picture."""
    after = downstream(drawing.graph, latents)
    places = [
        NodeInput(node_id, name) for node_id in drawing.order if node_id in after for name in ("x", "y")
    ]
    return next((place.node for place in places if drawing.whole(place)), None)


def _elsewhere(drawing: Drawing, drawn: Graph, places: Collection[NodeInput]) -> str | None:
    """A node outside ``places`` that uses a value computed from the author's size: it would keep that value
    for every other size. (The setting of a switch does not count.)"""
    todo = [
        link.node for place in places if isinstance(link := drawn[place.node].inputs.get(place.input), Link)
    ]
    made = set(todo)
    while todo:
        for name, link in drawn[todo.pop()].links():
            if name != "switch" and link.node not in made:
                made.add(link.node)
                todo.append(link.node)
    made = downstream(drawn, made) - set(drawing.graph)
    for node_id in drawing.order:
        for name, link in drawn[node_id].links():
            if link.node in made and name != "switch" and NodeInput(node_id, name) not in places:
                return node_id
    return None


def _unsized(drawing: Drawing, latents: list[str]) -> str:
    """The start of a sentence about the node that should say the size, if there is one."""
    starts = [
        link.node
        for node_id in samplers_of(drawing)
        if isinstance(link := drawing.node(node_id).inputs.get("latent_image"), Link)
    ]
    return f"{drawing.named([*latents, *starts][0])}: " if latents or starts else ""


def _multiple(size: Size) -> int:
    """The largest usual step that both sides are a multiple of."""
    return next(step for step in _MULTIPLES if size.width % step == 0 and size.height % step == 0)


def _step(drawing: Drawing, node_id: str) -> int:
    """The multiple that the table requires for the sides."""
    spec = drawing.specs(node_id).get("width")
    options = spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else {}
    step = options.get("step")
    return step if isinstance(step, int) and step > 0 else 16


def _choices(own: Size, multiple: int) -> tuple[Size, ...]:
    """The author's size, then others with about as many pixels."""
    step, pixels = max(multiple, _multiple(own), 8), own.width * own.height
    found = [own]
    for across, down in _RATIOS:
        unit = math.sqrt(pixels / (across * down)) / step
        width, height = round(across * unit) * step, round(down * unit) * step
        if width and height:
            found.append(Size(width=width, height=height))
    return tuple(dict.fromkeys(found))


def batch_places(drawing: Drawing) -> list[NodeInput]:
    """The inputs that say how many pictures are made."""
    places = [NodeInput(node_id, "batch_size") for node_id in latents_of(drawing)]
    return [place for place in places if drawing.whole(place) is not None]
