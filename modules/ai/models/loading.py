"""The models of ``flujos/``: a card and a graph each, checked against one another when they are read."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modules.ai.fusion.fuse import fusible
from modules.ai.fusion.sources import SourceNeeded, scaling, without_source
from modules.ai.workflows.cards import BadCard, ModelCard, Role, read_card
from modules.ai.workflows.graph import BadGraph, Graph, Link, in_order, named, read_graph, upstream
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.jobs import ModelOffer

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}")
_LARGEST_FILE = 4 * 1024 * 1024


def offers(templates: Iterable[WorkflowTemplate]) -> tuple[ModelOffer, ...]:
    """What the models offer, in their order."""
    return tuple(template.offer() for template in templates)


def load_templates(folder: Path) -> dict[str, WorkflowTemplate]:
    """Every model in ``folder``, by name. Raises `BadWorkflow` with one line for each fault.

    A graph without a card is left out with a warning: it is no model yet.
    """
    templates: dict[str, WorkflowTemplate] = {}
    faults: list[str] = []
    for card_file in sorted(folder.glob("*.toml")):
        try:
            templates[card_file.stem] = load_template(card_file)
        except BadWorkflow as fault:
            faults.append(fault.reason)
    if faults:
        raise BadWorkflow("\n".join(faults))
    for name, template in templates.items():
        if (why := fusible(template)) is not None:
            logger.warning("%s makes pictures one by one: %s", name, why)
    for name in cardless(folder):
        logger.warning("%s.json has no card: python bot.py check suggests one", name)
    if not templates:
        raise BadWorkflow(f"{folder}: no model there (a model is NAME.toml and NAME.json)")
    return templates


def cardless(folder: Path) -> list[str]:
    """The names of the graphs in ``folder`` that have no card."""
    return sorted(file.stem for file in folder.glob("*.json") if not file.with_suffix(".toml").exists())


def load_template(card_file: Path) -> WorkflowTemplate:
    """One model. Raises `BadWorkflow`, which names file and field."""
    if not _NAME.fullmatch(card_file.stem):
        raise BadWorkflow(f"{card_file.name}: a model's name is made of a-z, 0-9, _ . and - (at most 48)")
    try:
        card = read_card(_text(card_file))
    except BadCard as fault:
        raise BadWorkflow(f"{card_file.name}: {fault}") from fault
    graph_file = card_file.with_suffix(".json")
    graph = load_graph(graph_file)
    mismatch = next(_mismatches(card, graph), None)
    if mismatch is not None:
        raise BadWorkflow(f"{card_file.name}: {mismatch}")
    scales = {scaling(graph, place.node) for place in card.places("sources")}
    scale = scales.pop() if len(scales) == 1 else None
    return WorkflowTemplate(
        name=card_file.stem, card=card, graph=graph, source_megapixels=scale.megapixels if scale else None
    )


def load_graph(file: Path) -> Graph:
    """The graph in a file. Raises `BadWorkflow`."""
    try:
        graph = read_graph(json.loads(_text(file)))
        in_order(graph)
    except (BadGraph, ValueError, RecursionError) as fault:
        raise BadWorkflow(f"{file.name}: {fault}") from fault
    return graph


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise BadWorkflow(f"{file.name}: larger than {_LARGEST_FILE} bytes")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadWorkflow(f"{file.name}: not UTF-8") from fault
    except OSError as fault:
        raise BadWorkflow(f"{file.name}: cannot be read ({fault.strerror})") from fault


# ── card against graph ──────────────────────────────────────────────────────────────────────────


def _mismatches(card: ModelCard, graph: Graph) -> Iterator[str]:
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
    yield from _bad_steps(card, {node_id: graph[node_id].inputs.get("steps") for node_id in used})
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
    if len(card.places("sources")) != card.source_count[1]:
        yield f"roles.sources: {card.source_count[1]} are needed, as source_count says"
    if bool(card.places("width")) != bool(card.places("height")):
        yield "roles.width and roles.height go together"


def _bad_sizes(card: ModelCard) -> Iterator[str]:
    if card.kind == "imagine" and len(card.sizes) > 1 and not card.places("width"):
        yield "sizes: several, but there is no roles.width"
    for size in card.sizes:
        if size.width % card.size_multiple or size.height % card.size_multiple:
            yield f"sizes: {size} is not a multiple of size_multiple ({card.size_multiple})"


def _bad_steps(card: ModelCard, found: Mapping[str, object]) -> Iterator[str]:
    steps = {node_id: value for node_id, value in found.items() if isinstance(value, int)}
    if steps and card.steps not in steps.values():
        told = ", ".join(f"{value} (node {node_id})" for node_id, value in steps.items())
        yield f"steps: {card.steps}, but the graph says {told}"


def _needed_sources(card: ModelCard, graph: Graph) -> Iterator[str]:
    output = card.places("output")[0].node
    for place in reversed(card.places("sources")[card.source_count[0] :]):
        try:
            graph = without_source(graph, place.node, output)
        except SourceNeeded as fault:
            yield f"source_count: {fault}"
            return
