"""Makes one graph from a template and several people's requests, and says where each picture will be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from modules.ai import node_pack as pack
from modules.ai.fusion.output_locations import SAVE_FOLDER, SAVE_NODE, FusedGraph, KeptPicture, SavedFile
from modules.ai.fusion.row_safety import refuse_mixing
from modules.ai.fusion.rows import JointGraph
from modules.ai.fusion.samplers import (
    SAMPLERS,
    SEED_HOLDERS,
    Seed,
    Unfusible,
    draws_noise,
    fused_sampler,
    seed_place,
    varied_sampler,
)
from modules.ai.fusion.sources import without_source
from modules.ai.fusion.start_pictures import INPAINTING, WHOLE, Unstartable, started
from modules.ai.workflows.graph import (
    JSON,
    Graph,
    Link,
    Node,
    NodeInput,
    consumers,
    in_order,
    named,
    only,
    upstream,
)
from modules.ai.workflows.lora_insertion import NoPlaceForLora, with_lora
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest, MaskUse, SourceImage

PictureFormat = Literal["png", "webp", "jpeg"]


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
    i's `inputs`. ``preview_every`` n asks for a preview of each picture at every n-th step.
    """
    if len({(each.size, each.lora, each.strength, each.mask is None) for each in requests}) > 1:
        raise Unfusible("these people's sizes, LoRAs, strengths or masks do not go together")
    own = [_filled(template, *each) for each in zip(requests, source_names, strict=True)]
    _refuse_repeats(own[0])
    refuse_mixing(own[0], template)
    joint = JointGraph(own, template.card.rowwise)
    pictures = joint.joined("fullet_pictures", _output(own[0], template))
    order = [node_id for node_id in in_order(own[0]) if own[0][node_id].class_type in SAMPLERS]
    if not order and template.card.kind != "upscale":
        raise Unfusible("it has no sampler that the bot knows how to share")
    samplers = _vouched(_sampled(joint.graph, template, requests, order), template)
    save = Node(
        class_type=pack.SAVE,
        inputs={
            "images": pictures,
            "keys": json.dumps(list(keys)),
            "format": picture_format,
            "quality": quality,
            "preview_every": preview_every,
        },
    )
    graph = {**joint.graph, **samplers, SAVE_NODE: save}
    graph = only(graph, upstream(graph, [SAVE_NODE]))
    return FusedGraph(graph=graph, places=tuple(map(KeptPicture, keys)), samplers=tuple(order))


def plain(
    template: WorkflowTemplate,
    request: GenerationRequest,
    *,
    key: str,
    source_names: Sequence[str],
    mixes_noise: bool = False,
) -> FusedGraph:
    """The template's own graph with one request in it. It has stock nodes only, except for a variation, and
    makes the same picture as `fuse` does.

    ``mixes_noise``: the server has the node pack, which mixes the noise of a variation; raises `Unfusible` if
    that is needed and the server has no node pack.
    """
    if request.variation is not None and not mixes_noise:
        raise Unfusible("a variation needs the node pack on the server")
    graph = _filled(template, request, source_names)
    prefix = f"{SAVE_FOLDER}/{key}"
    save = Node(
        class_type="SaveImage", inputs={"images": _output(graph, template), "filename_prefix": prefix}
    )
    graph = {**graph, SAVE_NODE: save}
    graph = only(graph, upstream(graph, [SAVE_NODE]))
    order = [node_id for node_id in in_order(graph) if graph[node_id].class_type in SAMPLERS]
    if request.variation is not None:
        graph = {**graph, **_varied(graph, template, request, order)}
        graph = only(graph, upstream(graph, [SAVE_NODE]))
    return FusedGraph(graph=graph, places=(SavedFile(SAVE_NODE, key),), samplers=tuple(order))


def _varied(
    graph: Graph, template: WorkflowTemplate, request: GenerationRequest, samplers: Sequence[str]
) -> dict[str, Node]:
    """The samplers that would start from the request's seed, changed to start from its mixed noise."""
    nodes: dict[str, Node] = {}
    for node_id in samplers:
        if draws_noise(graph, node_id):
            (seed,) = _seeds(graph, template, [request], node_id)
            nodes |= varied_sampler(graph, node_id, seed)
    return nodes


def _filled(
    template: WorkflowTemplate, request: GenerationRequest, source_names: Sequence[str]
) -> dict[str, Node]:
    """The template's own graph with one request in it."""
    card = template.card
    values: list[tuple[NodeInput, JSON]] = [
        *((place, request.full_prompt) for place in card.places("prompt")),
        *((place, request.full_negative) for place in _written_negative(template, request)),
        *((place, request.seed) for place in card.places("seed")),
        *((place, 1) for place in card.places("batch")),
        *zip(card.places("sources"), source_names[: len(request.sources)], strict=False),
    ]
    graph = _with_values(tailored(template, request), values)
    if not request.starts:
        return graph
    mask = source_names[-1] if request.mask is not None else None
    try:
        return started(graph, card, picture=source_names[0], strength=request.strength, mask=mask)
    except Unstartable as reason:
        raise Unfusible(str(reason)) from reason


def _written_negative(template: WorkflowTemplate, request: GenerationRequest) -> tuple[NodeInput, ...]:
    """Where the person's negative prompt goes; without one, the graph keeps its author's."""
    written = request.full_negative and template.card.negative != "none"
    return template.card.places("negative") if written else ()


def tailored(template: WorkflowTemplate, request: GenerationRequest) -> dict[str, Node]:
    """The template's graph in the request's size and with its LoRA, without sources that the request does not
    give and nodes that the output does not depend on."""
    card = template.card
    output = card.places("output")[0].node
    graph: dict[str, Node] = only(template.graph, upstream(template.graph, [output]))
    if request.lora is not None:
        try:
            graph = with_lora(graph, request.lora)
        except NoPlaceForLora as reason:
            raise Unfusible(str(reason)) from reason
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
        first = example(template, count)
        second = replace(first, prompt="x", seed=1, negative="x" if template.card.negative == "own" else "")
        names = [[f"{name}.png"] * count for name in "ab"]
        try:
            fuse(template, [first, second], keys=["0" * 32, "1" * 32], source_names=names)
        except Unfusible as reason:
            return str(reason)
    return None


def why_no_start(template: WorkflowTemplate) -> str | None:
    """Why the workflow cannot start from a person's picture with a strength; None if it can."""
    if template.card.kind != "imagine":
        return f"its kind is {template.card.kind}"
    return _why_not(template, strength=0.5)


def why_no_mask(template: WorkflowTemplate) -> str | None:
    """Why the workflow cannot paint only a part of a picture; None if it can."""
    card = template.card
    if card.kind == "upscale":
        return f"its kind is {card.kind}"
    sides = [side for size in card.sizes for side in (size.width, size.height)]
    if any(side % WHOLE for side in sides or [card.size_multiple]):
        return f"its sizes are not all multiples of {WHOLE}, so encoding could shift the picture"
    return _why_not(template, mask="x.png")


def mask_use(template: WorkflowTemplate) -> MaskUse:
    """How well the template can paint only a part of a picture. It does nothing else ("must") if its graph
    takes the mask from the picture's own transparency; it was made for it ("best") if it has the node
    `INPAINTING`."""
    if why_no_mask(template) is not None:
        return "none"
    graph = tailored(template, example(template))
    loaders = [place.node for place in template.card.places("sources")]
    if any(slot == 1 for node in loaders for _, slot in consumers(graph, node)):
        return "must"
    return "best" if any(node.class_type == INPAINTING for node in graph.values()) else "may"


def _why_not(
    template: WorkflowTemplate, *, strength: float | None = None, mask: str | None = None
) -> str | None:
    graph = tailored(template, example(template))
    try:
        started(graph, template.card, picture="x.png", strength=strength, mask=mask)
    except Unstartable as reason:
        return str(reason)
    return None


def example(template: WorkflowTemplate, source_count: int | None = None) -> GenerationRequest:
    """A request that the template can serve, to try it before anyone asks."""
    count = template.card.source_count[1] if source_count is None else source_count
    size = template.card.default_size
    return GenerationRequest(
        user_id=0, guild_id=0, channel_id=0, locale="en", kind=template.card.kind, model=template.name,
        prompt="", size=size, seed=0, sources=(SourceImage(key="", size=size),) * count,
    )  # fmt: skip


# ── the parts of fuse ───────────────────────────────────────────────────────────────────────────


def _refuse_repeats(graph: Graph) -> None:
    for node_id, node in graph.items():
        amount = node.inputs.get("amount", 1) if node.class_type == "RepeatLatentBatch" else 1
        amount = "several" if node.class_type == "LatentCutToBatch" else amount
        if amount != 1:
            raise Unfusible(
                f"{named(graph, node_id)}: of the {amount} pictures that it makes, one is delivered"
            )


def _sampled(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest], order: Sequence[str]
) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for node_id in order:
        nodes |= fused_sampler(graph, node_id, _seeds(graph, template, requests, node_id))
    return nodes


def _vouched(nodes: dict[str, Node], template: WorkflowTemplate) -> dict[str, Node]:
    """The nodes; the pack's nodes that check the model's patches get the list that the card vouches for."""
    if not template.card.rowwise:  # older packs do not know the input
        return nodes
    names = json.dumps(sorted(template.card.rowwise))
    return {
        node_id: node.having(vouched=names) if node.class_type == pack.MODEL else node
        for node_id, node in nodes.items()
    }


def _seeds(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest], node_id: str
) -> list[Seed]:
    place = seed_place(graph, node_id)
    value = 0 if place is None else graph[place.node].inputs.get(place.input)
    roles = template.card.places("seed")
    holders = {role.node for role in roles if role.node in graph} & {
        node_id for node_id, node in graph.items() if node.class_type in SEED_HOLDERS
    }
    if place in roles or (isinstance(value, Link) and value.node in holders):
        return [_seed(request) for request in requests]
    if isinstance(value, int):
        return [value] * len(requests)
    raise Unfusible(f"{named(graph, node_id)}: its seed is not the one that the card names")


def _seed(request: GenerationRequest) -> Seed:
    if request.variation is None:
        return request.seed
    return [request.seed, request.variation.seed, request.variation.strength]


def _with_values(graph: Graph, values: Sequence[tuple[NodeInput, JSON]]) -> dict[str, Node]:
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
