"""The text encoders of a graph, and their batched equivalents: one text a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from modules.ai import node_pack as pack
from modules.ai.fusion.samplers import SAMPLERS, Unfusible
from modules.ai.workflows.graph import Graph, Link, Node, NodeInput, consumers, named, upstream
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest

ENCODER = "CLIPTextEncode"
STRINGS = {"PrimitiveString": "value", "PrimitiveStringMultiline": "value", "StringConstant": "string"}
"""Nodes that only hold a text, and the input that it stands in."""


def batch_encoded(
    graph: Graph, template: WorkflowTemplate, requests: Sequence[GenerationRequest]
) -> dict[str, Node]:
    """The batch encoders: one text a row, also where all rows have the same, so that shapes agree.

    Who writes no negative prompt has the graph's own.
    """
    card = template.card
    texts = {place: [request.prompt for request in requests] for place in card.places("prompt")}
    if card.negative != "none":
        for role in card.places("negative"):
            texts[role] = [request.negative or _own_text(graph, role) for request in requests]
    fed = _conditioned(graph)
    encoders: dict[str, Node] = {}
    for node_id, node in graph.items():
        place = _text_place(graph, node_id, texts)
        if node.class_type == ENCODER and place is not None and (node_id in fed or place in texts):
            rows = texts.get(place) or [str(graph[place.node].inputs[place.input])] * len(requests)
            inputs = {"clip": node.inputs.get("clip"), "prompts": json.dumps(rows)}
            encoders[node_id] = Node(class_type=pack.TEXT, inputs=inputs, title=node.title)
    for place in texts:
        if place.node in graph and not _reaches_only(graph, place, set(encoders)):
            raise Unfusible(f"{named(graph, place.node)}: its text is also used outside {ENCODER}")
    return encoders


def _conditioned(graph: Graph) -> set[str]:
    """What the samplers' conditionings depend on."""
    samplers = [node_id for node_id, node in graph.items() if node.class_type in SAMPLERS]
    return upstream(graph, samplers)


def _own_text(graph: Graph, place: NodeInput) -> str:
    """The text that the graph's author left there."""
    if place.node not in graph:
        return ""
    held = place if place.input != "text" else _text_place(graph, place.node, {})
    text = None if held is None else graph[held.node].inputs.get(held.input)
    if not isinstance(text, str):
        raise Unfusible(f"{named(graph, place.node)}: its input {place.input} is computed in the graph")
    return text


def _text_place(graph: Graph, node_id: str, texts: Mapping[NodeInput, object]) -> NodeInput | None:
    """Where the text of an encoder stands: in itself, where it is a constant or is among ``texts``, or in a
    node that only holds a text."""
    text, own = graph[node_id].inputs.get("text"), NodeInput(node_id, "text")
    if isinstance(text, str) or own in texts:
        return own
    if isinstance(text, Link) and graph[text.node].class_type in STRINGS:
        return NodeInput(text.node, STRINGS[graph[text.node].class_type])
    return None


def _reaches_only(graph: Graph, place: NodeInput, encoders: set[str]) -> bool:
    if place.node in encoders:
        return place.input == "text"
    taken = consumers(graph, place.node)
    return (
        STRINGS.get(graph[place.node].class_type) == place.input
        and bool(taken)
        and all(reader.node in encoders and reader.input == "text" for reader, _ in taken)
    )
