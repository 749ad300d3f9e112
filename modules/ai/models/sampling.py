"""The samplers of a workflow: their seeds, their steps, their guidance and what conditions them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.workflows.graph import Link, Node, NodeInput, consumers

Side = Literal["positive", "negative", "second"]

_SEEDS = ("seed", "noise_seed")
_SIDES: Mapping[Side, tuple[str, ...]] = {
    "positive": ("positive", "conditioning", "cond1"),
    "negative": ("negative", "neg_conditioning"),
    "second": ("cond2",),
}
_GUIDANCE = ("cfg", "cfg_conds", "cfg_cond2_negative", "video_cfg")


def samplers_of(drawing: Drawing) -> list[str]:
    """The nodes that sample, in the order in which they run."""
    return [node_id for node_id in drawing.order if _samples(drawing.node(node_id))]


def _samples(node: Node) -> bool:
    conditioned = any(isinstance(node.inputs.get(name), Link) for name in ("guider", *_SIDES["positive"]))
    return conditioned and any(name in node.inputs for name in (*_SEEDS, "noise"))


def conditioning_of(drawing: Drawing, sampler: str, side: Side) -> list[Link]:
    """The conditionings of one side of a sampler, which may be inputs of its guider."""
    inputs = _guider(drawing, sampler).inputs
    return [link for name in _SIDES[side] if isinstance(link := inputs.get(name), Link)]


def _guider(drawing: Drawing, sampler: str) -> Node:
    guider = drawing.node(sampler).inputs.get("guider")
    return drawing.node(guider.node) if isinstance(guider, Link) else drawing.node(sampler)


def guided(drawing: Drawing, samplers: Sequence[str]) -> bool:
    """Whether a negative prompt changes anything: a guidance is above 1, or not known."""
    strengths = [
        value
        for sampler in samplers
        for name in _GUIDANCE
        if (value := _guider(drawing, sampler).inputs.get(name)) is not None
    ]
    return any(not isinstance(value, int | float) or value > 1 for value in strengths)


# ── seeds ───────────────────────────────────────────────────────────────────────────────────────


def draws_noise(drawing: Drawing, sampler: str) -> bool:
    """Whether a sampler adds its own noise."""
    node = drawing.node(sampler)
    noise = node.inputs.get("noise")
    if isinstance(noise, Link):
        return drawing.node(noise.node).class_type != "DisableNoise"
    return node.inputs.get("add_noise", True) not in ("disable", False)


def seed_places(drawing: Drawing, samplers: Sequence[str]) -> list[NodeInput]:
    """Where the seeds of the samplers are. Raises `Underivable` if there is none."""
    drawing_noise = [sampler for sampler in samplers if draws_noise(drawing, sampler)]
    places = list(dict.fromkeys(place for node in drawing_noise for place in _seeds(drawing, node)))
    if places:
        return places
    if drawing_noise:
        raise Underivable(f"{drawing.named(drawing_noise[0])}: its seed cannot be set: write roles.seed")
    raise Underivable("no sampler in it takes a seed: write roles.seed")


def _seeds(drawing: Drawing, node_id: str) -> Iterator[NodeInput]:
    inputs = drawing.node(node_id).inputs
    for name in (*_SEEDS, "noise"):
        value = inputs.get(name)
        if isinstance(value, Link) and name == "noise":
            yield from _seeds(drawing, value.node)
        elif (place := drawing.held(NodeInput(node_id, name))) is not None and (
            place.node == node_id or _seeds_only(drawing, place)
        ):
            yield place


def _seeds_only(drawing: Drawing, place: NodeInput) -> bool:
    """Whether the number there is only a seed, and not, for example, also the number of steps."""
    return all(taken.input in _SEEDS for taken, _ in consumers(drawing.graph, place.node))


def denoise_of(drawing: Drawing, sampler: str) -> float:
    """The denoise of a sampler; 1 if nothing says otherwise."""
    sigmas = drawing.node(sampler).inputs.get("sigmas")
    node = drawing.node(sigmas.node) if isinstance(sigmas, Link) else drawing.node(sampler)
    part = node.inputs.get("denoise", 1.0)
    return float(part) if isinstance(part, int | float) else 1.0


# ── steps ───────────────────────────────────────────────────────────────────────────────────────


def steps_of(drawing: Drawing, samplers: Sequence[str]) -> int:
    """How many steps the samplers take together. Raises `Underivable` where that is computed."""
    return sum(_steps(drawing, sampler) for sampler in samplers)


def _steps(drawing: Drawing, sampler: str) -> int:
    sigmas = drawing.node(sampler).inputs.get("sigmas")
    if isinstance(sigmas, Link):
        return _levels(drawing, sigmas)
    steps = _number_of_steps(drawing, sampler)
    first = drawing.whole(NodeInput(sampler, "start_at_step")) or 0
    last = drawing.whole(NodeInput(sampler, "end_at_step"))
    return max(0, min(steps if last is None else last, steps) - first)


def _number_of_steps(drawing: Drawing, node_id: str) -> int:
    place = drawing.held(NodeInput(node_id, "steps"))
    steps = None if place is None else drawing.whole(place)
    if steps is None:
        raise Underivable(f"{drawing.named(node_id)}: the number of its steps is computed: write steps")
    return steps


def _levels(drawing: Drawing, link: Link) -> int:
    """The number of steps in a list of noise levels: one less than it has levels."""
    node = drawing.node(link.node)
    before = node.inputs.get("sigmas")
    if node.class_type == "ManualSigmas":
        return max(0, len(re.findall(r"\d*\.?\d+", str(before))) - 1)
    if not isinstance(before, Link):
        return _number_of_steps(drawing, link.node)
    steps = _levels(drawing, before)
    if node.class_type == "SplitSigmas":
        cut = min(drawing.whole(NodeInput(link.node, "step")) or 0, steps)
        return cut if link.slot == 0 else steps - cut
    if node.class_type == "SplitSigmasDenoise":
        denoise = node.inputs.get("denoise", 1.0)
        late = round(steps * denoise) if isinstance(denoise, int | float) else steps
        return steps - late if link.slot == 0 else late
    if node.class_type in ("SetFirstSigma", "FlipSigmas"):
        return steps
    raise Underivable(f"{drawing.named(link.node)}: how many steps it leaves is not known: write steps")
