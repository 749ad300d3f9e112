"""From a template and the requests of several people to one graph, and where each picture will be found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modules.ai import pack
from modules.ai.graph import (
    JSON,
    Graph,
    Link,
    Node,
    Place,
    consumers,
    downstream,
    in_order,
    named,
    only,
    read_graph,
    upstream,
)
from modules.ai.samplers import REFUSED_SAMPLERS, SAMPLERS, Seed, Unfusible, fused_sampler, seed_place
from modules.ai.sources import LOADER, batch_loaded, scaling, without_source
from modules.ai.workflows import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest, SourceImage

PictureFormat = Literal["png", "webp", "jpeg"]

SAVE_NODE = "fullet_save"
SAVE_FOLDER = "fullet"

ENCODER = "CLIPTextEncode"
STRINGS = {"PrimitiveString": "value", "PrimitiveStringMultiline": "value", "StringConstant": "string"}
"""Nodes that only hold a text, and the input that it stands in."""

ROWWISE = frozenset({
    "CLIPTextEncodeBatch",
    "ConditioningSetTimestepRange",
    "ConditioningZeroOut",
    "EmptyFlux2LatentImage",
    "EmptyHunyuanImageLatent",
    "EmptyLatentImage",
    "EmptySD3LatentImage",
    "Flux2Scheduler",
    "FluxGuidance",
    "FluxKontextImageScale",
    "GetImageSize",
    "ImageInvert",
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToMaxDimension",
    "ImageScaleToTotalPixels",
    "ImageSharpen",
    "ImageUpscaleWithModel",
    "LatentUpscale",
    "LatentUpscaleBy",
    "ModelSamplingFlux",
    "ReferenceLatent",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
    "VAEEncodeTiled",
})  # fmt: skip
"""Classes that treat each row of a batch by itself, so that nobody's picture can reach another's. Whatever
else stands between the first thing that differs and the saved picture makes a template run one by one,
unless its card vouches for the class (``rowwise``)."""


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """The picture lies with the node pack, under its unguessable key."""

    key: str


@dataclass(frozen=True, slots=True)
class SavedFile:
    """The picture is the file that the node ``node`` saved, the name of which begins with ``prefix``."""

    node: str
    prefix: str


Whereabouts = KeptPicture | SavedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedGraph:
    """A graph ready to be sent. ``places[i]`` tells where the picture of request i will be; ``samplers`` are
    the nodes whose progress counts, in the order in which they run."""

    graph: Graph
    places: tuple[Whereabouts, ...]
    samplers: tuple[str, ...]

    def titles(self) -> dict[str, str]:
        """How sentences name the nodes."""
        return {node_id: named(self.graph, node_id) for node_id in self.graph}


def fuse(
    template: WorkflowTemplate,
    requests: Sequence[GenerationRequest],
    *,
    keys: Sequence[str],
    source_names: Sequence[Sequence[str]],
    picture_format: PictureFormat = "png",
    quality: int = 90,
    preview_every: int = 0,
) -> FusedGraph:
    """One graph for all ``requests`` (of one batch key), in their order. Raises `Unfusible`.

    ``keys`` are fresh 32-digit keys, one a request; ``source_names[i]`` the uploaded names of request
    i's sources. ``preview_every`` n asks for a preview of each picture at every n-th step.
    """
    graph = tailored(template, requests[0])
    varied = _encoded(graph, template, requests)
    graph = {**graph, **varied}
    loaders = [place.node for place in template.card.places("sources")[: len(requests[0].sources)]]
    for position, loader in enumerate(loaders):
        _refuse_unstackable(graph, template, loader)
        graph = batch_loaded(graph, loader, [names[position] for names in source_names])
    order = [node_id for node_id in in_order(graph) if graph[node_id].class_type in SAMPLERS]
    roomy = _batched(graph, template, len(requests), order, loaders)
    samplers = _sampled(graph, template, requests, order)
    save = Node(
        class_type=pack.SAVE,
        inputs={
            "images": _output(graph, template),
            "keys": json.dumps(list(keys)),
            "format": picture_format,
            "quality": quality,
            "preview_every": preview_every,
        },
    )
    graph = {**graph, **roomy, **samplers, SAVE_NODE: save}
    graph = only(graph, upstream(graph, [SAVE_NODE]))
    replaced = {*varied, *loaders, *roomy, *samplers, SAVE_NODE}
    _refuse_mixing(graph, template, replaced)
    _refuse_stray_seeds(graph, template, set(samplers))
    return FusedGraph(graph=graph, places=tuple(map(KeptPicture, keys)), samplers=tuple(order))


def plain(
    template: WorkflowTemplate, request: GenerationRequest, *, key: str, source_names: Sequence[str]
) -> FusedGraph:
    """The template's own graph with one request in it, of stock nodes only: the same picture as from `fuse`.

    Raises `Unfusible` for what stock nodes cannot do (a variation's mixed noise).
    """
    if request.variation is not None:
        raise Unfusible("a variation needs the node pack on the server")
    card, graph = template.card, tailored(template, request)
    values: list[tuple[Place, JSON]] = [
        *((place, request.prompt) for place in card.places("prompt")),
        *((place, request.negative) for place in card.places("negative") if card.negative != "none"),
        *((place, request.seed) for place in card.places("seed")),
        *((place, 1) for place in card.places("batch")),
        *zip(card.places("sources"), source_names, strict=False),
    ]
    graph = _with_values(graph, values)
    prefix = f"{SAVE_FOLDER}/{key}"
    save = Node(
        class_type="SaveImage", inputs={"images": _output(graph, template), "filename_prefix": prefix}
    )
    graph = {**graph, SAVE_NODE: save}
    graph = only(graph, upstream(graph, [SAVE_NODE]))
    order = [
        node_id
        for node_id in in_order(graph)
        if graph[node_id].class_type in SAMPLERS | set(REFUSED_SAMPLERS)
    ]
    return FusedGraph(graph=graph, places=(SavedFile(SAVE_NODE, key),), samplers=tuple(order))


def tailored(template: WorkflowTemplate, request: GenerationRequest) -> dict[str, Node]:
    """The template's graph in the request's size, without the sources that it does not give, and without
    what the output does not depend on."""
    card = template.card
    output = card.places("output")[0].node
    graph: dict[str, Node] = only(template.graph, upstream(template.graph, [output]))
    for place in card.places("sources")[len(request.sources) :]:
        graph = without_source(graph, place.node, output)
    values = [
        *((place, request.size.width) for place in card.places("width")),
        *((place, request.size.height) for place in card.places("height")),
    ]
    graph = _with_values(graph, values)
    return only(graph, upstream(graph, [output]))


def fusible(template: WorkflowTemplate) -> str | None:
    """Why the template cannot be fused at all (then it runs one by one), or None if it can."""
    least, most = template.card.source_count
    for count in range(least, most + 1):
        request = example(template, count)
        names = ["x.png"] * count
        try:
            fuse(template, [request] * 2, keys=["0" * 32, "1" * 32], source_names=[names, names])
        except Unfusible as reason:
            return str(reason)
    return None


def example(template: WorkflowTemplate, source_count: int | None = None) -> GenerationRequest:
    """A request that the template can serve, for trying it without anybody having asked."""
    count = template.card.source_count[1] if source_count is None else source_count
    size = template.card.default_size
    return GenerationRequest(
        user_id=0, guild_id=0, channel_id=0, locale="en", kind=template.card.kind, model=template.name,
        prompt="", size=size, seed=0, sources=(SourceImage(key="", size=size),) * count,
    )  # fmt: skip


def read_places(stored: JSON, count: int) -> FusedGraph | None:
    """Where the pictures of a graph are that a server kept since a former process sent it.

    None if it is no graph of ours for ``count`` pictures.
    """
    try:
        graph = read_graph(stored)
    except ValueError:
        return None
    save = graph.get(SAVE_NODE)
    if save is None:
        return None
    places = _read_keys(save, count)
    if places is None:
        return None
    order = tuple(node_id for node_id, node in graph.items() if node.class_type in SAMPLERS)
    return FusedGraph(graph=graph, places=places, samplers=order)


def _read_keys(save: Node, count: int) -> tuple[Whereabouts, ...] | None:
    if save.class_type == "SaveImage" and count == 1:
        folder, _, key = str(save.inputs.get("filename_prefix")).partition("/")
        return (SavedFile(SAVE_NODE, key),) if folder == SAVE_FOLDER and pack.KEY.fullmatch(key) else None
    try:
        keys = json.loads(str(save.inputs.get("keys")))
    except (ValueError, RecursionError):
        return None
    if save.class_type != pack.SAVE or not isinstance(keys, list) or len(keys) != count:
        return None
    if not all(isinstance(key, str) and pack.KEY.fullmatch(key) for key in keys):
        return None
    return tuple(map(KeptPicture, keys))


# ── the parts of fuse ───────────────────────────────────────────────────────────────────────────


def _encoded(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest]
) -> dict[str, Node]:
    """The batch encoders: one text a row, also where all rows have the same, so that shapes agree."""
    card = template.card
    texts = {place: [request.prompt for request in requests] for place in card.places("prompt")}
    if card.negative != "none":
        texts |= {place: [request.negative for request in requests] for place in card.places("negative")}
    fed = _conditioned(graph)
    encoders: dict[str, Node] = {}
    for node_id, node in graph.items():
        place = _text_place(graph, node_id)
        if node.class_type == ENCODER and place is not None and (node_id in fed or place in texts):
            rows = texts.get(place) or [str(graph[place.node].inputs[place.input])] * len(requests)
            inputs = {"clip": node.inputs.get("clip"), "prompts": json.dumps(rows)}
            encoders[node_id] = Node(class_type=pack.TEXT, inputs=inputs, title=node.title)
    for place in texts:
        if place.node in graph and not _reaches_only(graph, place, set(encoders)):
            raise Unfusible(f"{named(graph, place.node)}: its text goes elsewhere than into {ENCODER} alone")
    return encoders


def _conditioned(graph: Graph) -> set[str]:
    """What the samplers' conditionings depend on."""
    samplers = [node_id for node_id, node in graph.items() if node.class_type in SAMPLERS]
    return upstream(graph, samplers)


def _text_place(graph: Graph, node_id: str) -> Place | None:
    """Where the text of an encoder stands as a constant: in itself, or in a node that only holds a text."""
    text = graph[node_id].inputs.get("text")
    if isinstance(text, str):
        return Place(node_id, "text")
    if isinstance(text, Link) and graph[text.node].class_type in STRINGS:
        return Place(text.node, STRINGS[graph[text.node].class_type])
    return None


def _reaches_only(graph: Graph, place: Place, encoders: set[str]) -> bool:
    if place.node in encoders:
        return place.input == "text"
    taken = consumers(graph, place.node)
    return (
        STRINGS.get(graph[place.node].class_type) == place.input
        and bool(taken)
        and all(taker.node in encoders and taker.input == "text" for taker, _ in taken)
    )


def _refuse_unstackable(graph: Graph, template: WorkflowTemplate, loader: str) -> None:
    if graph[loader].class_type != LOADER:
        raise Unfusible(f"{named(graph, loader)}: only {LOADER} can load a picture for each row")
    if any(slot != 0 for _, slot in consumers(graph, loader)):
        raise Unfusible(f"{named(graph, loader)}: its mask is used")
    if template.source_megapixels is not None and scaling(graph, loader) is None:
        raise Unfusible(f"{named(graph, loader)}: it is used before it is scaled, so pictures do not stack")


def _sampled(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest], order: Sequence[str]
) -> dict[str, Node]:
    for node_id, node in graph.items():
        if node.class_type in REFUSED_SAMPLERS:
            raise Unfusible(f"{named(graph, node_id)}: {REFUSED_SAMPLERS[node.class_type]}")
    nodes: dict[str, Node] = {}
    for node_id in order:
        nodes |= fused_sampler(graph, node_id, _seeds(graph, template, requests, node_id))
    return nodes


def _seeds(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest], node_id: str
) -> list[Seed]:
    place = seed_place(graph, node_id)
    value = 0 if place is None else graph[place.node].inputs.get(place.input)
    roles = template.card.places("seed")
    linked = isinstance(value, Link) and value.node in {role.node for role in roles}
    if place in roles or linked:
        return [_seed(request) for request in requests]
    if isinstance(value, int):
        return [value] * len(requests)
    raise Unfusible(f"{named(graph, node_id)}: its seed is not the one that the card names")


def _seed(request: GenerationRequest) -> Seed:
    if request.variation is None:
        return request.seed
    return [request.seed, request.variation.seed, request.variation.strength]


def _batched(
    graph: Graph, template: WorkflowTemplate, rows: int, samplers: Sequence[str], loaders: Sequence[str]
) -> dict[str, Node]:
    """The nodes that make room for the rows, in as many rows as there are requests."""
    places = [place for place in template.card.places("batch") if place.node in graph]
    roomy = {place.node for place in places} | set(loaders)
    for node_id in samplers:
        latent = graph[node_id].inputs.get("latent_image")
        if not isinstance(latent, Link) or not roomy & upstream(graph, [latent.node]):
            raise Unfusible(
                f"{named(graph, node_id)}: the card's role batch names nothing that its latent comes from"
            )
    changed = _with_values(graph, [(place, rows) for place in places])
    return {place.node: changed[place.node] for place in places}


def _refuse_mixing(graph: Graph, template: WorkflowTemplate, replaced: set[str]) -> None:
    known = ROWWISE | template.card.rowwise
    varied = downstream(graph, replaced & set(graph)) - replaced
    for node_id in in_order(graph):
        if node_id in varied and graph[node_id].class_type not in known:
            raise Unfusible(
                f"{named(graph, node_id)}: it is not known to keep the pictures of a batch apart; "
                f"if it does, add it to rowwise in {template.name}.toml"
            )


def _refuse_stray_seeds(graph: Graph, template: WorkflowTemplate, replaced: set[str]) -> None:
    for place in template.card.places("seed"):
        if place.node in graph and place.node not in replaced:
            raise Unfusible(f"{named(graph, place.node)}: the seed goes elsewhere than into the noise alone")


def _with_values(graph: Graph, values: Sequence[tuple[Place, JSON]]) -> dict[str, Node]:
    result = dict(graph)
    for place, value in values:
        if place.node in result:
            result[place.node] = result[place.node].having(**{place.input: value})
    return result


def _output(graph: Graph, template: WorkflowTemplate) -> Link:
    place = template.card.places("output")[0]
    link = graph[place.node].inputs[place.input]
    if not isinstance(link, Link):
        raise Unfusible(f"{named(graph, place.node)}: nothing is connected to {place.input}")
    return link
