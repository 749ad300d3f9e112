"""The pictures a graph starts from: leaves out those not given, and knows the size they are scaled to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modules.ai.workflows.graph import JSON, Graph, Link, Node, consumers, named, redirected
from modules.queue_manager.jobs import Scaling, Size

LOADER = "LoadImage"
SCALER = "ImageScaleToTotalPixels"

_BYPASS = {
    ("ReferenceLatent", "latent"): "conditioning",
    ("ImageStitch", "image2"): "image1",
    ("ImageBatch", "image2"): "image1",
    ("ImageBatch", "image1"): "image2",
}
"""(Class, input) → other input: without the input, the node is left out, and what took its output takes the
other input's link instead."""

_OPTIONAL = {
    ("TextEncodeQwenImageEdit", "image"),
    ("TextEncodeQwenImageEditPlus", "image1"),
    ("TextEncodeQwenImageEditPlus", "image2"),
    ("TextEncodeQwenImageEditPlus", "image3"),
}
"""Without this input, the node still works."""


class SourceNeeded(ValueError):
    """The graph cannot do without the picture; the message names the node that needs it."""


def without_source(graph: Graph, loader: str, output: str) -> dict[str, Node]:
    """The graph as if the picture of ``loader`` had never been part of it.

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
    """How the picture of ``loader`` is scaled before anything else sees it, if every node that takes it does
    the same."""
    found = [
        _scaling(graph[place.node], place.input) if slot == 0 else None
        for place, slot in consumers(graph, loader)
    ]
    return found[0] if found and all(each == found[0] for each in found) else None


def _scaling(node: Node, name: str) -> Scaling | None:
    found = _SCALERS.get((node.class_type, name))
    try:
        return found(node.inputs) if found is not None else None
    except (KeyError, TypeError, ValueError):  # what it is scaled to is computed in the graph
        return None


def _pixels(megapixels: JSON) -> float:
    if not isinstance(megapixels, int | float) or not 0 < megapixels < 1000:
        raise ValueError("it is not a size")
    return megapixels * _MEGA


def _whole(value: JSON) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError("it is not a size")
    return value


def _to_pixels(inputs: Mapping[str, JSON]) -> Scaling:
    return Scaling(pixels=_pixels(inputs["megapixels"]), step=_whole(inputs.get("resolution_steps", 1)))


def _to_size(inputs: Mapping[str, JSON]) -> Scaling:
    return Scaling(shapes=(Size(width=_whole(inputs["width"]), height=_whole(inputs["height"])),))


def _resized(inputs: Mapping[str, JSON]) -> Scaling | None:
    way = inputs["resize_type"]
    how = {name.removeprefix("resize_type."): value for name, value in inputs.items()}
    if way == "scale total pixels":
        return Scaling(pixels=int(_pixels(how["megapixels"])))
    if way == "scale longer dimension":
        return Scaling(longest=_whole(how["longer_size"]))
    return _to_size(how) if way == "scale dimensions" else None


_MEGA = 1024 * 1024
_KONTEXT_SIDES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
)  # fmt: skip
_KONTEXT = Scaling(
    shapes=tuple(
        Size(width=width, height=height)
        for width, height in (*_KONTEXT_SIDES, (1024, 1024), *(side[::-1] for side in _KONTEXT_SIDES[::-1]))
    )
)
_SCALERS: Mapping[tuple[str, str], Callable[[Mapping[str, JSON]], Scaling | None]] = {
    (SCALER, "image"): _to_pixels,
    ("FluxKontextImageScale", "image"): lambda _: _KONTEXT,
    ("ImageScale", "image"): _to_size,
    ("ImageScaleToMaxDimension", "image"): lambda inputs: Scaling(longest=_whole(inputs["largest_size"])),
    ("ResizeImageMaskNode", "input"): _resized,
    ("TextEncodeQwenImageEdit", "image"): lambda _: Scaling(pixels=_MEGA),
    **{
        ("TextEncodeQwenImageEditPlus", f"image{number}"): lambda _: Scaling(pixels=_MEGA, step=8)
        for number in (1, 2, 3)
    },
}
"""Nodes that scale a picture, the input that takes it, and the arithmetic of ComfyUI's node."""
