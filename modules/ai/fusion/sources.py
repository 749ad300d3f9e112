"""The pictures a graph starts from: leaving out those not given, and what size they are brought to."""

from __future__ import annotations

from dataclasses import dataclass

from modules.ai.workflows.graph import Graph, Link, Node, consumers, named, redirected

LOADER = "LoadImage"
SCALER = "ImageScaleToTotalPixels"

_BYPASS = {
    ("ReferenceLatent", "latent"): "conditioning",
    ("ImageStitch", "image2"): "image1",
    ("ImageBatch", "image2"): "image1",
    ("ImageBatch", "image1"): "image2",
}
"""Without this input, the node is left out, and what took its output takes this input's link instead."""

_OPTIONAL = {
    ("TextEncodeQwenImageEdit", "image"),
    ("TextEncodeQwenImageEditPlus", "image1"),
    ("TextEncodeQwenImageEditPlus", "image2"),
    ("TextEncodeQwenImageEditPlus", "image3"),
}
"""Without this input, the node works on."""


class SourceNeeded(ValueError):
    """The graph cannot do without the picture; the message names the node that needs it."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a source is scaled to: ``megapixels`` of 1024² pixels, by a method of ImageScaleToTotalPixels."""

    megapixels: float
    method: str


def without_source(graph: Graph, loader: str, output: str) -> dict[str, Node]:
    """The graph as if the picture of ``loader`` had never been drawn in.

    Raises `SourceNeeded` when ``output`` would go with it.
    """
    result = dict(graph)
    dead = [loader]
    while dead:
        gone = dead.pop()
        if gone not in result:
            continue
        if gone == output:
            raise SourceNeeded(f"{named(graph, loader)} cannot be left out: the output depends on it")
        places = consumers(result, gone)
        del result[gone]
        for place, _ in places:
            if place.node not in result:
                continue
            node = result[place.node]
            other = node.inputs.get(_BYPASS.get((node.class_type, place.input), ""))
            if (node.class_type, place.input) in _OPTIONAL:
                inputs = {name: value for name, value in node.inputs.items() if name != place.input}
                result[place.node] = Node(class_type=node.class_type, inputs=inputs, title=node.title)
            elif isinstance(other, Link) and other.node != gone:
                del result[place.node]
                result = redirected(result, Link(place.node, 0), other)
            else:
                dead.append(place.node)
    return result


def scaling(graph: Graph, loader: str) -> Scaling | None:
    """What brings the picture of ``loader`` to its size before anything else sees it, if all that takes
    it are scalers with the same constants."""
    found = {_scaling(graph[place.node]) if slot == 0 else None for place, slot in consumers(graph, loader)}
    return found.pop() if len(found) == 1 else None


def _scaling(node: Node) -> Scaling | None:
    megapixels, method = node.inputs.get("megapixels"), node.inputs.get("upscale_method")
    if node.class_type != SCALER or node.inputs.get("resolution_steps", 1) != 1:
        return None
    if isinstance(megapixels, bool) or not isinstance(megapixels, int | float) or not isinstance(method, str):
        return None
    return Scaling(float(megapixels), method)
