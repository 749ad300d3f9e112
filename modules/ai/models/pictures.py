"""The pictures of a workflow: its result, the ones people give, and how much it enlarges them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from modules.ai.fusion.sources import LOADER, SCALER, SourceNeeded, scaling, without_source
from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.models.sampling import denoise_of
from modules.ai.workflows.cards import MOST_SOURCES
from modules.ai.workflows.graph import Graph, Link, NodeInput, consumers, in_order, named, upstream
from modules.ai.workflows.node_table import Table

_SAVERS = ("SaveImage", "SaveImageAdvanced", "SaveImageWebsocket")
_SHOWER = "PreviewImage"
_MEDIA = re.compile(r"Video|WEBM|Animated|Audio|GLB|3D|Gaussian|PointCloud|Mesh|SVG")
"""In the name of a node that saves something other than a picture."""

_ENDS = ("Save", "VHS_VideoCombine", "Preview3D", "PreviewAudio", "PreviewGaussian", "PreviewPoint")
_SAVING = re.compile(r"save.*image(?!.*dataset)|image.*sav|send.*image", re.IGNORECASE)
"""In the name of another pack's node that saves pictures."""

_DECODERS = ("VAEDecode", "VAEDecodeTiled")
_FRAMES = ("length", "video_frames")
_CUT = frozenset({"ImageFromBatch", "GetImageRangeFromBatch", "LatentFromBatch"})
_REPEATING = {"RepeatLatentBatch": "amount", "RepeatImageBatch": "amount", "LatentCutToBatch": ""}


def output_of(graph: Graph, table: Table, notes: list[str]) -> NodeInput:
    """Where the finished picture ends up. Raises `Underivable` if there is none, or more than one."""
    saved = [place for node_id in graph if (place := _saved(graph, table, node_id)) is not None]
    other = [node_id for node_id, node in graph.items() if _saves_other(node.class_type, table)]
    if other:
        what = "it saves more than pictures: write roles.output" if saved else "it saves no picture"
        raise Underivable(f"{named(graph, other[0])}: {what}")
    shown = [
        NodeInput(node_id, "images")
        for node_id, node in graph.items()
        if node.class_type == _SHOWER and isinstance(node.inputs.get("images"), Link)
    ]
    if not saved and not shown:
        raise Underivable(f"no picture is saved in it ({', '.join((*_SAVERS, _SHOWER))})")
    return _last(graph, saved or shown, notes)


def _saved(graph: Graph, table: Table, node_id: str) -> NodeInput | None:
    """The input of a node that saves a picture, or None."""
    node = graph[node_id]
    entry = table.get(node.class_type)
    named_so = bool(_SAVING.search(node.class_type)) and not _MEDIA.search(node.class_type)
    if node.class_type not in _SAVERS and not (named_so and (entry is None or entry.get("output_node"))):
        return None
    places = [NodeInput(node_id, name) for name in ("images", "image")]
    return next((place for place in places if isinstance(node.inputs.get(place.input), Link)), None)


def _saves_other(class_type: str, table: Table) -> bool:
    entry = table.get(class_type)
    ends = entry is None or entry.get("output_node")
    return bool(ends and class_type.startswith(_ENDS) and _MEDIA.search(class_type))


def _last(graph: Graph, places: list[NodeInput], notes: list[str]) -> NodeInput:
    """The one that is made from all the others, if there is one: the others are steps on the way to it."""
    made = {place: _painted(graph, place) for place in places}
    painted = set(made.values())
    last = next(node_id for node_id in reversed(in_order(graph)) if node_id in painted)
    if painted <= upstream(graph, [last]):
        kept = next(place for place, node_id in made.items() if node_id == last)
        if len(painted) > 1:
            notes.append(f"{named(graph, kept.node)}: of several pictures, this one is delivered")
        return kept
    nodes = ", ".join(named(graph, place.node) for place in places[:3]) + (", …" if len(places) > 3 else "")
    raise Underivable(f"{len(places)} different pictures are made ({nodes}): write roles.output")


def _painted(graph: Graph, place: NodeInput) -> str:
    """The node that makes a picture, before it is decoded: hires fix decodes the same one twice."""
    link = graph[place.node].inputs[place.input]
    while isinstance(link, Link):
        node_id = link.node
        link = graph[node_id].inputs.get("samples") if graph[node_id].class_type in _DECODERS else None
    return node_id


def refuse_videos(drawing: Drawing, notes: list[str]) -> None:
    """Raise `Underivable` if a video is made, and note where several pictures are made; neither if a node
    takes pictures out of the batch."""
    if any(drawing.node(node_id).class_type in _CUT for node_id in drawing.order):
        return
    for node_id in drawing.order:
        for name in _FRAMES:
            frames = drawing.whole(NodeInput(node_id, name))
            if frames is not None and frames > 1 and "LATENT" in drawing.outputs(node_id):
                raise Underivable(f"{drawing.named(node_id)}: it makes a video of {frames} frames")
        repeat = _REPEATING.get(drawing.node(node_id).class_type)
        if repeat is not None and (not repeat or drawing.whole(NodeInput(node_id, repeat)) != 1):
            notes.append(
                f"{drawing.named(node_id)}: it makes several pictures for each request; only one is kept"
            )


# ── the pictures that people give ───────────────────────────────────────────────────────────────

_PICTURES = ("IMAGE", "COMFY_MATCHTYPE_V3")
_STYLING = frozenset({"CLIPVisionEncode", "IPAdapter", "IPAdapterAdvanced", "ReduxAdvanced"})


def sources_of(drawing: Drawing, notes: list[str]) -> tuple[list[NodeInput], int]:
    """The loaders of the pictures that people give, in order, and how many of them are needed.

    A mask or a style picture that comes with another picture stays the author's.
    """
    loaders = [n for n in drawing.order if _is_source(drawing, n)]
    main = [n for n in loaders if not _is_furniture(drawing, n)] or loaders
    for node_id in loaders:
        if node_id not in main:
            name = drawing.node(node_id).inputs.get("image")
            notes.append(f"{drawing.named(node_id)}: its picture {name} is the author's, and stays")
    main.sort(key=lambda node_id: (_rank(drawing, node_id), _number(node_id)))
    optional = [n for n in main[:MOST_SOURCES] if _can_go(drawing.graph, n, drawing.output.node)]
    needed = [n for n in main if n not in optional] or optional[:1]
    ordered = [*needed, *(n for n in optional if n not in needed)]
    return [NodeInput(node_id, "image") for node_id in ordered], len(needed)


def _is_source(drawing: Drawing, node_id: str) -> bool:
    node = drawing.node(node_id)
    return node.class_type == LOADER and "image" in node.inputs


def _is_furniture(drawing: Drawing, node_id: str) -> bool:
    return all(
        slot == 1 or drawing.node(place.node).class_type in _STYLING
        for place, slot in consumers(drawing.graph, node_id)
    )


def _rank(drawing: Drawing, node_id: str) -> int:
    """The number in the name of the input that a picture goes to, such as image2; 0 if there is none."""
    seen, todo = {node_id}, [node_id]
    while todo:
        for place, _ in consumers(drawing.graph, todo.pop(0)):
            found = re.search(r"image_?(\d+)$", place.input)
            if found:
                return int(found[1])
            if place.node not in seen and (drawing.outputs(place.node) or ["IMAGE"])[0] in _PICTURES:
                seen.add(place.node)
                todo.append(place.node)
    return 0


def _number(node_id: str) -> tuple[int, str]:
    return (int(node_id), "") if node_id.isdecimal() else (2**62, node_id)


def _can_go(graph: Graph, loader: str, output: str) -> bool:
    try:
        without_source(graph, loader, output)
    except SourceNeeded:
        return False
    return True


# ── enlarging ───────────────────────────────────────────────────────────────────────────────────

_ENLARGING: Mapping[str, tuple[str, str]] = {
    "ImageScaleBy": ("image", "scale_by"),
    "LatentUpscaleBy": ("samples", "scale_by"),
    "UltimateSDUpscale": ("image", "upscale_by"),
    "UltimateSDUpscaleCustomSample": ("image", "upscale_by"),
}
_THROUGH: Mapping[str, str] = {
    "ImageBlur": "image",
    "ImageInvert": "image",
    "ImageSharpen": "image",
    "JoinImageWithAlpha": "image",
    "KSampler": "latent_image",
    "KSamplerAdvanced": "latent_image",
    "SamplerCustom": "latent_image",
    "SamplerCustomAdvanced": "latent_image",
    "SeedVR2PostProcessing": "images",
    "SeedVR2Preprocess": "resized_images",
    "UltimateSDUpscaleNoUpscale": "upscaled_image",
    "VAEDecode": "samples",
    "VAEDecodeTiled": "samples",
    "VAEEncode": "pixels",
    "VAEEncodeTiled": "pixels",
}
_RETOUCH = 0.5
"""The highest denoise that still leaves it the same picture."""

_FACTOR = re.compile(r"(?<![0-9a-z])x(\d)(?!\d)|(?<![0-9a-z])(\d)x(?!\d)")


def is_upscaler(drawing: Drawing, samplers: Sequence[str]) -> bool:
    """Whether it enlarges the given picture and at most retouches it, so that a prompt hardly matters."""
    try:
        return upscale_of(drawing) > 1 and all(denoise_of(drawing, node) <= _RETOUCH for node in samplers)
    except Underivable:
        return False


def upscale_of(drawing: Drawing) -> float:
    """How many times as long the sides get. Raises `Underivable` where that is not known."""
    link = drawing.node(drawing.output.node).inputs.get(drawing.output.input)
    factor = 1.0
    while isinstance(link, Link) and drawing.node(link.node).class_type != LOADER:
        name, by = _step_of(drawing, link.node)
        if by is None:
            raise Underivable(
                f"{drawing.named(link.node)}: it takes no prompt, and the bot cannot tell how much larger "
                f"it makes a picture: write upscale, or kind and roles"
            )
        factor, link = factor * by, drawing.node(link.node).inputs.get(name)
    if factor <= 1 or not isinstance(link, Link):
        raise Underivable("it takes no prompt and does not enlarge a picture: write kind and roles")
    return factor


def _step_of(drawing: Drawing, node_id: str) -> tuple[str, float | None]:
    """The input of a node that carries the picture, and by what the node multiplies its sides."""
    node = drawing.node(node_id)
    if node.class_type in _THROUGH:
        return _THROUGH[node.class_type], 1.0
    if node.class_type == "ImageUpscaleWithModel":
        return "image", _factor_of_model(drawing, node.inputs.get("upscale_model"))
    if node.class_type == "ResizeImageMaskNode":
        by_factor = node.inputs.get("resize_type") == "scale by multiplier"
        return "input", _number_in(node.inputs.get("resize_type.multiplier")) if by_factor else None
    before = node.inputs.get("image")
    if node.class_type == SCALER and isinstance(before, Link) and scaling(drawing.graph, before.node):
        return "image", 1.0  # the factor counts from the scaled source, as in `ModelOffer.result_size`
    name, by = _ENLARGING.get(node.class_type, ("", ""))
    return name, _number_in(node.inputs.get(by))


def _number_in(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _factor_of_model(drawing: Drawing, model: object) -> float | None:
    """The factor in the file name of an upscaling model: 4x-UltraSharp, RealESRGAN_x2plus."""
    name = drawing.node(model.node).inputs.get("model_name") if isinstance(model, Link) else None
    found = _FACTOR.search(name.lower()) if isinstance(name, str) else None
    return float(found[1] or found[2]) if found else None
