"""Guesses the card of a graph that has none, as a text to be saved beside it and corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator

from modules.ai.fusion.encoders import ENCODER, STRINGS
from modules.ai.fusion.samplers import SAMPLERS, Unfusible, seed_place
from modules.ai.fusion.sources import LOADER
from modules.ai.workflows.graph import BadGraph, Graph, Link, NodeInput, in_order, upstream

_SAVERS = ("SaveImage", "SaveImageWebsocket", "PreviewImage")
_LATENT_PREFIX = "Empty"
_SIZED = ("Flux2Scheduler", "ModelSamplingFlux")


_MEMORY = (
    "",
    "# The bot finds out how many pictures fit at once, starting from one. To set it instead, write (in GB):",
    "# [memory]",
    "# base_gb = 8.0        # what the model takes",
    "# per_image_gb = 2.0   # what each picture takes on top",
)


class NoProposal(ValueError):
    """The graph is not of a kind that a card can describe; the message says what was looked for."""


def propose_card(graph: Graph, name: str) -> str:
    """The TOML text of a card for the graph of ``flujos/name.json``. Raises `NoProposal`."""
    try:
        order = in_order(graph)
    except BadGraph as fault:
        raise NoProposal(str(fault)) from fault
    output = _output(graph, order)
    used = upstream(graph, [output.node])
    order = [node_id for node_id in order if node_id in used]
    roles = {"output": [output], **_roles(graph, order)}
    kind = "imagine" if "sources" not in roles else "edit" if "prompt" in roles else "upscale"
    if kind != "upscale" and ("prompt" not in roles or "seed" not in roles):
        raise NoProposal(f"no {ENCODER} that leads to a sampler with a seed was found")
    return "\n".join([*_head(graph, order, name, kind, roles), *_role_lines(roles), *_MEMORY, ""])


def _output(graph: Graph, order: list[str]) -> NodeInput:
    for saver in _SAVERS:
        for node_id in reversed(order):
            if graph[node_id].class_type == saver and isinstance(graph[node_id].inputs.get("images"), Link):
                return NodeInput(node_id, "images")
    raise NoProposal(f"no {', '.join(_SAVERS)} was found")


def _roles(graph: Graph, order: list[str]) -> dict[str, list[NodeInput]]:
    samplers = [node_id for node_id in order if graph[node_id].class_type in SAMPLERS]
    positive = dict.fromkeys(place for node_id in samplers for place in _texts(graph, node_id, "positive"))
    negative = [place for node_id in samplers for place in _texts(graph, node_id, "negative")]
    roles = {
        "prompt": list(positive),
        "negative": [place for place in negative if place not in positive],
        "seed": [place for node_id in samplers for place in _seeds(graph, node_id)],
        "width": _sized(graph, order, "width"),
        "height": _sized(graph, order, "height"),
        "batch": [
            NodeInput(n, "batch_size") for n in order if isinstance(graph[n].inputs.get("batch_size"), int)
        ],
        "sources": [NodeInput(n, "image") for n in _as_numbered(order) if graph[n].class_type == LOADER],
    }
    return {role: list(dict.fromkeys(places)) for role, places in roles.items() if places}


def _texts(graph: Graph, sampler: str, side: str) -> Iterator[NodeInput]:
    """The texts of the encoders on one side of a sampler: the constants, wherever they stand."""
    for start in _side(graph, sampler, side):
        for node_id in _conditioning(graph, start.node):
            text = graph[node_id].inputs.get("text")
            if graph[node_id].class_type == ENCODER and isinstance(text, str):
                yield NodeInput(node_id, "text")
            elif graph[node_id].class_type == ENCODER and isinstance(text, Link):
                holder = graph[text.node].class_type
                if holder in STRINGS:
                    yield NodeInput(text.node, STRINGS[holder])


def _side(graph: Graph, sampler: str, side: str) -> Iterator[Link]:
    node = graph[sampler]
    guider = node.inputs.get("guider")
    if isinstance(guider, Link):
        node = graph[guider.node]
    names = (side, "conditioning") if side == "positive" else (side,)
    for name in names:
        link = node.inputs.get(name)
        if isinstance(link, Link):
            yield link


def _conditioning(graph: Graph, start: str) -> list[str]:
    """``start`` and what it is made of, by inputs that carry conditionings."""
    found = [start]
    for node_id in found:
        for name, link in graph[node_id].links():
            if name.startswith(("conditioning", "positive", "negative")) and link.node not in found:
                found.append(link.node)
    return found


def _seeds(graph: Graph, sampler: str) -> Iterator[NodeInput]:
    try:
        place = seed_place(graph, sampler)
    except Unfusible:
        return
    value = graph[place.node].inputs.get(place.input) if place is not None else None
    if isinstance(value, int) and place is not None:
        yield place
    elif isinstance(value, Link):
        for name in ("value", "seed", "int"):
            if isinstance(graph[value.node].inputs.get(name), int):
                yield NodeInput(value.node, name)
                return


def _sized(graph: Graph, order: list[str], side: str) -> list[NodeInput]:
    classes = {node_id: graph[node_id].class_type for node_id in order}
    sized = [node for node, kind in classes.items() if kind.startswith(_LATENT_PREFIX) or kind in _SIZED]
    return _having(graph, sized, side)


def _having(graph: Graph, node_ids: list[str], name: str) -> list[NodeInput]:
    return [NodeInput(node, name) for node in node_ids if isinstance(graph[node].inputs.get(name), int)]


def _as_numbered(order: list[str]) -> list[str]:
    numbered = [node_id for node_id in order if node_id.isdecimal()]
    return sorted(numbered, key=int) + [node_id for node_id in order if node_id not in numbered]


def _head(
    graph: Graph, order: list[str], name: str, kind: str, roles: dict[str, list[NodeInput]]
) -> Iterator[str]:
    steps = [value for n in order if isinstance(value := graph[n].inputs.get("steps"), int)]
    guidance = [value for n in order if isinstance(value := graph[n].inputs.get("cfg"), int | float)]
    yield f"# A proposal for {name}.json: correct what was guessed wrong."
    yield f"label = {json.dumps(name.replace('_', ' ').title(), ensure_ascii=False)}"
    yield f'kind = "{kind}"'
    if kind != "upscale":
        yield f"steps = {steps[-1] if steps else 20}"
        own = "negative" in roles and any(value > 1 for value in guidance)
        yield f'negative = "{"own" if own else "none"}"'
    if kind == "imagine":
        width, height = (_constant(graph, roles.get(side), 1024) for side in ("width", "height"))
        yield f'sizes = ["{width}x{height}"]'
    if "sources" in roles:
        yield f"source_count = [{len(roles['sources'])}, {len(roles['sources'])}]"
    if kind == "upscale":
        yield "upscale = 4"
    yield from ("", "[description]", 'en = "…"', 'es = "…"', "", "[roles]")


def _constant(graph: Graph, places: list[NodeInput] | None, default: int) -> int:
    value = graph[places[0].node].inputs.get(places[0].input) if places else None
    return value if isinstance(value, int) else default


def _role_lines(roles: dict[str, list[NodeInput]]) -> Iterator[str]:
    for role in ("prompt", "negative", "seed", "width", "height", "batch", "sources", "output"):
        texts = [str(place) for place in roles.get(role, ())]
        if texts:
            yield f"{role} = {json.dumps(texts if len(texts) > 1 else texts[0])}"
