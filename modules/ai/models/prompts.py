"""Where a person's words go in a workflow, and which of its texts stay the author's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.models.sampling import Side, conditioning_of, draws_noise
from modules.ai.workflows.graph import Link, NodeInput, downstream, upstream

_UNREAD = frozenset({"ConditioningZeroOut"})
"""Their output holds nothing of the text."""

_TEXTS = re.compile(r"(text|prompt|clip_[lg]|t5xxl)(_[lg])?|\w+_prompt|prompt_\w+|positive|negative")
"""Inputs of other packs' encoders that hold a prompt."""

_NO_PROMPT = re.compile(r"system|template|style|instruction|lyrics|tracks|name|prefix|suffix|file|path")
"""Texts in encoders that are not prompts."""

_AUTHORS = re.compile(r"system|trigger|prefix|suffix|style|template|instruction|lora|quality", re.IGNORECASE)
_PERSONS = re.compile(r"prompt|user|subject|description", re.IGNORECASE)
"""Titles of texts that stay the author's, and of texts that people's words replace."""

_AUTHORS_WORDS = re.compile(
    r"\bstyle\b|masterpiece|(best|high) quality|score_\d|\b[48]k\b|<lora|^\s*you are\b|\{\w*prompt\w*\}",
    re.IGNORECASE,
)
"""Words in texts that authors put before or after a prompt."""

_LONGEST_ADDITION = 200
"""The longest text, in characters, that may stay beside a person's: a longer one is itself a prompt."""

_FILLED = {"TextGenerate": ("prompt",), "TextGenerateLTX2Prompt": ("prompt",)}
"""For some text nodes, the only inputs that a person's words may come from."""

_CARRYING = ("STRING", "COMFY_MATCHTYPE_V3", "*", "")
"""Types of links that may carry a text."""


def prompt_places(drawing: Drawing, samplers: Sequence[str], notes: list[str]) -> list[NodeInput]:
    """Where a person's prompt goes; nothing if the graph takes no prompt.

    ``drawing`` still has its text nodes. Raises `Underivable` where several texts could be the prompt.
    """
    found = _found(drawing, samplers, "positive")
    places = list(dict.fromkeys(place for there in found.values() for place in there))
    origins = {place: _origin(drawing, place, notes) for place in places}
    chosen = list(dict.fromkeys(origins.values()))
    if len(chosen) < 2 or _one_text(drawing, chosen) or _one_picture(drawing, found):
        return chosen
    told = [place for place in chosen if _is_titled(drawing, place)]
    filled = [place for place in chosen if _text(drawing, place).strip()]
    for left in (told, filled):
        if len(left) == 1:
            for place in (place for place in filled if place not in left):
                words = _text(drawing, place)[:40]
                notes.append(f"{drawing.named(place.node)}: its text {words!r} is the author's, and stays")
            return left
    nodes = " and ".join(drawing.named(node_id) for node_id in dict.fromkeys(place.node for place in chosen))
    raise Underivable(f"{nodes} each hold a prompt: write roles.prompt")


def negative_places(
    drawing: Drawing, samplers: Sequence[str], prompt: Sequence[NodeInput]
) -> list[NodeInput]:
    """Where a person's negative prompt goes; empty if the graph has none, or several that differ."""
    found = _found(drawing, samplers, "negative")
    places = list(dict.fromkeys(place for there in found.values() for place in there))
    try:
        origins = list(dict.fromkeys(_origin(drawing, place, []) for place in places))
    except Underivable:  # it is computed, and stays so
        return []
    chosen = [place for place in origins if place not in prompt]
    return chosen if _one_text(drawing, chosen) or _one_picture(drawing, found) else []


def _found(drawing: Drawing, samplers: Sequence[str], side: Side) -> dict[str, list[NodeInput]]:
    """The texts of each sampler. Samplers that only improve faces and the like keep the author's."""
    main = [node_id for node_id in samplers if "Detailer" not in drawing.node(node_id).class_type]
    found = {sampler: _texts_of(drawing, sampler, side) for sampler in main or samplers}
    if side == "positive":  # a guider may take a second prompt, or the negative one with a picture
        for sampler, places in found.items():
            negative = _texts_of(drawing, sampler, "negative")
            places += [place for place in _texts_of(drawing, sampler, "second") if place not in negative]
    return found


def _texts_of(drawing: Drawing, sampler: str, side: Side) -> list[NodeInput]:
    links = conditioning_of(drawing, sampler, side)
    if side == "second":
        links = [link for link in links if _part_of(drawing, link, "positive") == "positive"]
        side = "positive"
    return list(_encoded(drawing, links, side))


def _encoded(drawing: Drawing, links: list[Link], side: Side) -> Iterator[NodeInput]:
    """The texts that become the conditionings ``links`` of one side of a sampler."""
    seen: set[Link] = set()
    while links:
        link = links.pop(0)
        if link in seen or drawing.node(link.node).class_type in _UNREAD:
            continue
        seen.add(link)
        through = _part_of(drawing, link, side)
        yield from (NodeInput(link.node, name) for name in _texts(drawing, link.node, through))
        inputs = dict(drawing.conditionings(link.node))
        same = {name: value for name, value in inputs.items() if name == through}
        links += (same if same and "negative" in inputs else inputs).values()


def _part_of(drawing: Drawing, link: Link, side: Side) -> Side:
    """Which side a link takes from a node that outputs both."""
    given = [slot for slot, kind in enumerate(drawing.outputs(link.node)) if kind == "CONDITIONING"]
    if len(given) < 2 or link.slot not in given[:2]:
        return side
    return "positive" if link.slot == given[0] else "negative"


def _texts(drawing: Drawing, node_id: str, side: Side) -> list[str]:
    """The inputs of a text encoder that hold a prompt."""
    specs, inputs = drawing.specs(node_id), drawing.node(node_id).inputs
    names = [name for name, spec in specs.items() if isinstance(spec, list) and spec[:1] == ["STRING"]]
    if not specs:
        names = [name for name in inputs if _TEXTS.fullmatch(name) and _may_be_text(drawing, inputs[name])]
    prompts = [name for name in names if name in inputs and not _NO_PROMPT.search(name)]
    negative = [name for name in prompts if "negative" in name]
    return negative if negative and side == "negative" else [name for name in prompts if name not in negative]


def _may_be_text(drawing: Drawing, value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, Link) and drawing.type_of(value) in _CARRYING)


# ── the person's part of a text ─────────────────────────────────────────────────────────────────


def _origin(drawing: Drawing, place: NodeInput, notes: list[str]) -> NodeInput:
    """Where a person's words go in the text that reaches ``place``: there, or in a node before it."""
    value = drawing.node(place.node).inputs[place.input]
    if not isinstance(value, Link):
        return place
    parts, where = list(dict.fromkeys(_parts(drawing, value.node, set()))), drawing.named(place.node)
    if not parts:
        holder = drawing.named(value.node)
        raise Underivable(
            f"{where}: its text comes from {holder}, which contains no prompt: write roles.prompt"
        )
    told: list[str] = []
    chosen = _part(drawing, where, parts, told)
    if chosen is not None and not _may_get_lost(drawing, chosen, value.node):
        notes += told
        return chosen
    notes.append(f"{where}: a person's words replace its whole text; to keep some of it, write roles.prompt")
    return place


def _part(drawing: Drawing, where: str, parts: Sequence[NodeInput], notes: list[str]) -> NodeInput | None:
    """Which of the constants in a text a person's words replace; None if that is not certain."""
    if len(parts) == 1:
        return parts[0]
    others = [part for part in parts if not _AUTHORS.search(_called(drawing, part))]
    told = [part for part in others if _PERSONS.search(_called(drawing, part))]
    unlike = [part for part in others if not _AUTHORS_WORDS.search(_text(drawing, part))] or others
    held = [part for part in unlike if _is_held_alone(drawing, part)]
    for left in (told, held, [part for part in held if _is_long(drawing, part)], unlike):
        staying = [part for part in unlike if part not in left]
        if len(left) == 1 and all(len(_text(drawing, part)) <= _LONGEST_ADDITION for part in staying):
            if left is not told:
                words = _text(drawing, left[0])[:40]
                notes.append(f"{where}: a person's words replace {words!r} in it, and the rest stays")
            return left[0]
    return None


_CUTTING = frozenset({"JsonExtractString", "RegexExtract", "StringSubstring"})
"""Text nodes that leave out a part of their text, depending on what it says."""

_CHOOSING = re.compile(r"switch|select|choose|choice|index|if_?else|random|pick", re.IGNORECASE)
"""In the name of a node, or of its input, that takes one of several texts."""


def _may_get_lost(drawing: Drawing, part: NodeInput, end: str) -> bool:
    """Whether something between a text and the node ``end`` may leave it out, or some of it."""
    between = upstream(drawing.graph, [end]) & downstream(drawing.graph, [part.node])
    return any(_leaves_out(drawing, node_id) for node_id in between)


def _leaves_out(drawing: Drawing, node_id: str) -> bool:
    node = drawing.node(node_id)
    if node.class_type in _CUTTING:
        return True
    texts = [link for _, link in node.links() if drawing.type_of(link) in _CARRYING]
    return len(texts) > 1 and any(map(_CHOOSING.search, (node.class_type, *node.inputs)))


def _parts(drawing: Drawing, node_id: str, seen: set[str]) -> Iterator[NodeInput]:
    """The constants that a text is made of."""
    if node_id in seen:
        return
    seen.add(node_id)
    node, specs = drawing.node(node_id), drawing.specs(node_id)
    names = _FILLED.get(node.class_type, tuple(node.inputs))
    if isinstance(node.inputs.get("string"), str) and "find" in node.inputs:
        names = ("replace",)  # the other text is a template, into which this one is put
    joins = any(isinstance(node.inputs.get(name), Link) for name in names)
    for name in names:
        value = node.inputs.get(name)
        if isinstance(value, Link) and drawing.type_of(value) in _CARRYING:
            yield from _parts(drawing, value.node, seen)
        elif isinstance(value, str) and _holds_text(name, specs.get(name)) and (value.strip() or not joins):
            yield NodeInput(node_id, name)


def _holds_text(name: str, spec: object) -> bool:
    if name in ("delimiter", "find", "regex_pattern", "f_string", "key"):
        return False
    if spec is None:
        return bool(_TEXTS.fullmatch(name)) or name.startswith(("text", "string", "value"))
    return isinstance(spec, list) and spec[:1] == ["STRING"]


def _called(drawing: Drawing, place: NodeInput) -> str:
    """What the author calls a text: the title of its node, if the text has its own node."""
    return drawing.title(place.node) if _is_held_alone(drawing, place) else ""


def _text(drawing: Drawing, place: NodeInput) -> str:
    return str(drawing.node(place.node).inputs.get(place.input))


def _is_long(drawing: Drawing, place: NodeInput) -> bool:
    """Whether a text is in a field with several lines."""
    return drawing.node(place.node).class_type.endswith("Multiline")


def _is_held_alone(drawing: Drawing, place: NodeInput) -> bool:
    """Whether a text has its own node, and is not in one that joins it to others."""
    return not any(True for _ in drawing.node(place.node).links())


def _one_text(drawing: Drawing, places: Sequence[NodeInput]) -> bool:
    """Whether the places hold the same text, or are the inputs of one encoder."""
    texts = {_text(drawing, place).strip() for place in places}
    return len(texts) < 2 or len({place.node for place in places}) == 1


def _one_picture(drawing: Drawing, found: dict[str, list[NodeInput]]) -> bool:
    """Whether each sampler reads one text and those after the first continue the picture of the one before,
    as a refiner does."""
    encoders = [{place.node for place in there} for there in found.values() if there]
    going_on = [not draws_noise(drawing, sampler) for sampler, there in found.items() if there]
    return all(len(nodes) == 1 for nodes in encoders) and all(going_on[1:])


def _is_titled(drawing: Drawing, place: NodeInput) -> bool:
    title = drawing.title(place.node)
    return bool(_PERSONS.search(title)) and not _AUTHORS.search(title)
