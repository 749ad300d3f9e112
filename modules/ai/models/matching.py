"""Checks that a card fits its graph, and says where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modules.ai.fusion.sources import SourceNeeded, without_source
from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.models.sampling import samplers_of, steps_of
from modules.ai.workflows.cards import ModelCard, Role
from modules.ai.workflows.graph import Graph, Link, named, upstream


def mismatches(card: ModelCard, graph: Graph) -> Iterator[str]:
    """Sentences about what does not fit, each beginning with the field."""
    yield from _missing_roles(card)
    for role, places in card.roles.items():
        for place in places:
            if place.node not in graph:
                yield f"roles.{role}: {place}: there is no node {place.node} in the graph"
            elif place.input not in graph[place.node].inputs:
                known = ", ".join(graph[place.node].inputs) or "none"
                yield f"roles.{role}: {place}: {named(graph, place.node)} has no such input (it has {known})"
    output = card.places("output")[0]
    if not isinstance(graph[output.node].inputs[output.input], Link):
        yield f"roles.output: {output}: nothing is connected there"
    used = upstream(graph, [output.node])
    for role, places in card.roles.items():
        for place in places:
            if place.node not in used:
                yield f"roles.{role}: {place}: the output does not depend on node {place.node}"
    yield from _bad_sizes(card)
    yield from _bad_steps(card, Drawing.of(graph, {}, output))
    yield from _needed_sources(card, graph)


_NEEDED: Mapping[str, tuple[Role, ...]] = {
    "imagine": ("prompt", "seed", "output"),
    "edit": ("prompt", "seed", "sources", "output"),
    "upscale": ("sources", "output"),
}


def _missing_roles(card: ModelCard) -> Iterator[str]:
    for role in _NEEDED[card.kind]:
        if not card.places(role):
            yield f"roles.{role} is missing"
    if card.negative != "none" and not card.places("negative"):
        yield f"roles.negative is missing, and negative is {card.negative!r}"
    if len(card.places("output")) > 1:
        yield "roles.output: one place only"
    if len(card.places("sources")) != (count := card.source_count[1]):
        yield f"roles.sources: {count} {'is' if count == 1 else 'are'} needed, as source_count says"
    if bool(card.places("width")) != bool(card.places("height")):
        yield "roles.width and roles.height go together"


def _bad_sizes(card: ModelCard) -> Iterator[str]:
    if card.kind == "imagine" and len(card.sizes) > 1 and not card.places("width"):
        yield "sizes: several, but there is no roles.width"
    for size in card.sizes:
        if size.width % card.size_multiple or size.height % card.size_multiple:
            yield f"sizes: {size} is not a multiple of size_multiple ({card.size_multiple})"


def _bad_steps(card: ModelCard, drawing: Drawing) -> Iterator[str]:
    found = {node_id: drawing.node(node_id).inputs.get("steps") for node_id in drawing.order}
    steps = {node_id: value for node_id, value in found.items() if isinstance(value, int)}
    if steps and card.steps not in steps.values() and card.steps != _taken(drawing):
        told = ", ".join(f"{value} (node {node_id})" for node_id, value in steps.items())
        yield f"steps: {card.steps}, but the graph says {told}"


def _taken(drawing: Drawing) -> int | None:
    """The steps of all samplers together, None if they are computed."""
    try:
        return steps_of(drawing, samplers_of(drawing))
    except Underivable:
        return None


def _needed_sources(card: ModelCard, graph: Graph) -> Iterator[str]:
    output = card.places("output")[0].node
    for place in reversed(card.places("sources")[card.source_count[0] :]):
        try:
            graph = without_source(graph, place.node, output)
        except SourceNeeded as fault:
            yield f"source_count: {fault}"
            return
