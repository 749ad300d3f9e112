"""The sizes that a workflow can paint, and the inputs that say which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.workflows.cards import Role
from modules.ai.workflows.graph import NodeInput, downstream
from modules.queue_manager.jobs import Size

_RATIOS = ((1, 1), (3, 4), (4, 3), (2, 3), (3, 2), (9, 16), (16, 9))
_PREFIXES = ("", "target_", "resize_type.")
_MULTIPLES = (64, 32, 16, 8, 4, 2, 1)


def latents_of(drawing: Drawing) -> list[str]:
    """The nodes that make an empty latent, or whatever else a picture of a chosen size starts from."""
    return [node_id for node_id in drawing.order if _is_latent(drawing, node_id)]


def _is_latent(drawing: Drawing, node_id: str) -> bool:
    inputs, outputs = drawing.node(node_id).inputs, drawing.outputs(node_id)
    if "batch_size" not in inputs or "width" not in inputs:
        return False
    return "LATENT" in outputs or (not outputs and "latent" in drawing.node(node_id).class_type.lower())


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a card says of sizes: ``sizes`` and ``size_multiple``, and where a chosen size goes."""

    sizes: tuple[Size, ...]
    multiple: int
    roles: Mapping[Role, list[NodeInput]] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """As a card file has them."""
        texts = [f"{size.width}x{size.height}" for size in self.sizes]
        return {"sizes": texts, "size_multiple": self.multiple}


def sizes_of(drawing: Drawing, notes: list[str]) -> Sizes:
    """The sizes that it can paint. Raises `Underivable` where its size is computed."""
    latents = [node_id for node_id in latents_of(drawing) if _pair(drawing, node_id, "") is not None]
    if not latents:
        raise Underivable("no empty latent says how large the picture gets: write sizes")
    sizes = [size for node_id in latents if (size := _pair(drawing, node_id, "")) is not None]
    own = max(sizes, key=lambda size: size.width * size.height)
    pairs = list(_pairs(drawing, latents))
    fixing = [(node_id, size) for node_id, _, size, fixes in pairs if fixes and size != own]
    if fixing:
        node_id, size = fixing[-1]
        notes.append(f"{drawing.named(node_id)}: it is drawn for one size, so people cannot choose another")
        last = size if node_id in downstream(drawing.graph, latents) else own
        return Sizes((last,), _multiple(last))
    roles: dict[Role, list[NodeInput]] = {
        "width": [NodeInput(node_id, f"{prefix}width") for node_id, prefix, size, _ in pairs if size == own],
        "height": [
            NodeInput(node_id, f"{prefix}height") for node_id, prefix, size, _ in pairs if size == own
        ],
    }
    multiple = min(_multiple(own), _step(drawing, latents[0]))
    return Sizes(_choices(own, multiple), multiple, roles)


def _pairs(drawing: Drawing, latents: Sequence[str]) -> Iterator[tuple[str, str, Size, bool]]:
    """Each width and height that stand in the graph: node, prefix of the inputs, size, and whether another
    size of the picture would not fit to them."""
    after = downstream(drawing.graph, latents) - set(latents)
    for node_id in drawing.order:
        for prefix in _PREFIXES:
            size = _pair(drawing, node_id, prefix)
            if size is not None:
                inputs = drawing.node(node_id).inputs
                yield node_id, prefix, size, node_id in latents or node_id in after or "x" in inputs


def _pair(drawing: Drawing, node_id: str, prefix: str) -> Size | None:
    width, height = (drawing.whole(NodeInput(node_id, f"{prefix}{side}")) for side in ("width", "height"))
    return Size(width=width, height=height) if width and height and width > 0 and height > 0 else None


def _multiple(size: Size) -> int:
    """The largest usual step that both sides are a multiple of."""
    return next(step for step in _MULTIPLES if size.width % step == 0 and size.height % step == 0)


def _step(drawing: Drawing, node_id: str) -> int:
    """What the table says that sides are a multiple of."""
    spec = drawing.specs(node_id).get("width")
    step = (
        spec[1].get("step") if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else 16
    )
    return step if isinstance(step, int) and step > 0 else 16


def _choices(own: Size, multiple: int) -> tuple[Size, ...]:
    """The author's size, then others of as many pixels."""
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
