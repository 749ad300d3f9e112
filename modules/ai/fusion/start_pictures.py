"""Starts a graph's sampler from a person's picture instead of an empty latent, and with a mask paints a part
of it.

Stock nodes do it, separately for each person, so the result is the same fused and alone. After decoding, the
start picture's own pixels are put back outside the mask and its seam.
"""

from __future__ import annotations

from modules.ai.fusion.samplers import (
    ADVANCED,
    CUSTOM,
    KSAMPLER,
    RANGED,
    SAMPLERS,
    Unfusible,
    draws_noise,
)
from modules.ai.fusion.sources import LOADER
from modules.ai.workflows.cards import ModelCard
from modules.ai.workflows.graph import Graph, Link, Node, NodeInput, downstream, in_order, named, upstream

EMPTY = frozenset({"EmptyFlux2LatentImage", "EmptyLatentImage", "EmptySD3LatentImage"})
"""Nodes that make an empty latent of the kind that VAEEncode makes from a picture."""

WHOLE = 16
"""Sides that are a multiple of this lose nothing when a VAE encodes them: most take 8 pixels at once, that of
FLUX.2 takes 16."""

INPAINTING = "InpaintModelConditioning"
_INPAINTERS = {INPAINTING: 2, "VAEEncodeForInpaint": 0}
"""What takes a picture with its mask, and which of its outputs is the latent."""

_DECODERS = ("VAEDecode", "VAEDecodeTiled")
_ENCODERS = ("VAEEncode", "VAEEncodeTiled")
_BY_STEPS = frozenset({"ExponentialScheduler", "Flux2Scheduler", "KarrasScheduler"})
"""Schedulers without a denoise whose levels follow one curve, however many steps there are."""


class Unstartable(ValueError):
    """The graph cannot start from a picture, or paint a part of it; the message names the node that is the
    reason."""


def started(
    graph: Graph, card: ModelCard, *, picture: str, strength: float | None = None, mask: str | None = None
) -> dict[str, Node]:
    """The graph whose first sampler starts from the uploaded ``picture``, of the result's size; ``strength``
    and ``mask`` (an upload's name) as in `GenerationRequest`. Raises `Unstartable`."""
    sampler, output = _first_sampler(graph), card.places("output")[0]
    loaders = {place.node for place in card.places("sources")}
    start, vae = Link("fullet_start", 0), _vae(graph, sampler)
    result: dict[str, Node] = {
        **graph,
        start.node: Node(class_type=LOADER, inputs={"image": picture}),
    }
    latent = graph[sampler].inputs.get("latent_image")
    if not isinstance(latent, Link):
        raise Unstartable(f"{named(graph, sampler)}: its latent_image is not connected")
    node = graph[latent.node]
    below = node.inputs.get("samples")
    if node.class_type == "SetLatentNoiseMask" and mask is not None and isinstance(below, Link):
        latent, node = below, graph[below.node]  # the person's mask takes the place of the graph's
    if _INPAINTERS.get(node.class_type) == latent.slot and loaders and mask is not None:
        result[latent.node] = node.having(pixels=start, mask=Link("fullet_mask_whole", 0))
    elif node.class_type in EMPTY or (node.class_type in _ENCODERS and _sees(graph, latent.node, loaders)):
        result["fullet_start_latent"] = Node(class_type="VAEEncode", inputs={"pixels": start, "vae": vae})
        result[sampler] = graph[sampler].having(latent_image=Link("fullet_start_latent", 0))
        if mask is not None:
            masked = {"samples": Link("fullet_start_latent", 0), "mask": Link("fullet_mask_whole", 0)}
            result["fullet_start_masked"] = Node(class_type="SetLatentNoiseMask", inputs=masked)
            result[sampler] = graph[sampler].having(latent_image=Link("fullet_start_masked", 0))
    else:
        raise Unstartable(f"{named(graph, latent.node)}: it is not an empty latent of a known kind")
    if strength is not None:
        result |= _weakened(result, sampler, strength)
    if mask is not None:
        _refuse_detours(graph, sampler, output)
        result |= _kept(graph, output, start, mask)
    return result


def _first_sampler(graph: Graph) -> str:
    samplers = [node_id for node_id in in_order(graph) if graph[node_id].class_type in SAMPLERS]
    if not samplers:
        raise Unstartable("it has no sampler that the bot knows")
    first = samplers[0]
    other = next(iter(set(samplers) - downstream(graph, [first])), None)
    if other is not None:
        raise Unstartable(f"{named(graph, other)}: it paints a picture of its own")
    try:
        if draws_noise(graph, first):
            return first
    except Unfusible as reason:
        raise Unstartable(str(reason)) from reason
    raise Unstartable(f"{named(graph, first)}: it adds no noise")


def _vae(graph: Graph, sampler: str) -> Link:
    """The VAE that decodes what the sampler makes."""
    after = downstream(graph, [sampler])
    found = {graph[node_id].inputs.get("vae") for node_id in after if graph[node_id].class_type in _DECODERS}
    vae = found.pop() if len(found) == 1 else None
    if not isinstance(vae, Link):
        raise Unstartable(f"{named(graph, sampler)}: it is not clear which VAE decodes what it makes")
    return vae


def _sees(graph: Graph, node_id: str, loaders: set[str]) -> bool:
    return bool(upstream(graph, [node_id]) & loaders)


def _refuse_detours(graph: Graph, sampler: str, output: NodeInput) -> None:
    """Only a picture that is decoded right after the one sampler certainly has every pixel in its old
    place."""
    link = graph[output.node].inputs.get(output.input)
    while isinstance(link, Link) and graph[link.node].class_type in _DECODERS:
        link = graph[link.node].inputs.get("samples")
    if not isinstance(link, Link) or link.node != sampler:
        node_id = link.node if isinstance(link, Link) else output.node
        raise Unstartable(f"{named(graph, node_id)}: it changes the picture after its first sampler")


def _kept(graph: Graph, output: NodeInput, start: Link, mask: str) -> dict[str, Node]:
    """The picture's own pixels wherever the mask is black, before the picture is saved."""
    inputs = {
        "destination": start,
        "source": graph[output.node].inputs[output.input],
        "x": 0,
        "y": 0,
        "resize_source": False,
        "mask": Link("fullet_mask", 0),
    }
    return {
        "fullet_mask": Node(class_type="LoadImageMask", inputs={"image": mask, "channel": "red"}),
        "fullet_mask_whole": Node(
            class_type="ThresholdMask", inputs={"mask": Link("fullet_mask", 0), "value": 0.0}
        ),
        "fullet_kept": Node(class_type="ImageCompositeMasked", inputs=inputs),
        output.node: graph[output.node].having(**{output.input: Link("fullet_kept", 0)}),
    }


# ── strength ────────────────────────────────────────────────────────────────────────────────────


def _weakened(graph: Graph, sampler: str, strength: float) -> dict[str, Node]:
    """The nodes by which the sampler takes as many steps as before, over the last part of the noise levels,
    as KSampler's denoise does."""
    node = graph[sampler]
    if node.class_type == KSAMPLER:
        _whole_denoise(graph, sampler)
        return {sampler: node.having(denoise=strength)}
    if node.class_type == RANGED:
        steps = _steps(graph, sampler)
        end = node.inputs.get("end_at_step", 10_000)
        if node.inputs.get("start_at_step", 0) != 0 or not isinstance(end, int) or end < steps:
            raise Unstartable(f"{named(graph, sampler)}: it takes only a part of its steps")
        total = int(steps / strength)
        return {sampler: node.having(steps=total, start_at_step=total - steps, end_at_step=10_000)}
    assert node.class_type in (CUSTOM, ADVANCED)
    sigmas = node.inputs.get("sigmas")
    if not isinstance(sigmas, Link):
        raise Unstartable(f"{named(graph, sampler)}: its sigmas are not connected")
    scheduler, own = graph[sigmas.node], "fullet_start_schedule"
    if scheduler.class_type == "BasicScheduler":
        _whole_denoise(graph, sigmas.node)
        return {own: scheduler.having(denoise=strength), sampler: node.having(sigmas=Link(own, 0))}
    if scheduler.class_type not in _BY_STEPS:
        why = "the bot does not know how to change its noise levels for a strength"
        raise Unstartable(f"{named(graph, sigmas.node)}: {why}")
    steps = _steps(graph, sigmas.node)
    total = int(steps / strength)
    late = {"sigmas": Link(own, 0), "step": total - steps}
    return {
        own: scheduler.having(steps=total),
        "fullet_start_levels": Node(class_type="SplitSigmas", inputs=late),
        sampler: node.having(sigmas=Link("fullet_start_levels", 1)),
    }


def _whole_denoise(graph: Graph, node_id: str) -> None:
    if graph[node_id].inputs.get("denoise", 1.0) != 1.0:
        raise Unstartable(f"{named(graph, node_id)}: it has a denoise of its own")


def _steps(graph: Graph, node_id: str) -> int:
    steps = graph[node_id].inputs.get("steps")
    if not isinstance(steps, int):
        raise Unstartable(f"{named(graph, node_id)}: the number of its steps is computed")
    return steps
