"""Derives from the graph what the card of a workflow does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.ai.models.drawing import Drawing, Underivable
from modules.ai.models.pictures import is_upscaler, output_of, refuse_videos, sources_of, upscale_of
from modules.ai.models.prompts import negative_places, prompt_places
from modules.ai.models.sampling import guided, samplers_of, seed_places, steps_of
from modules.ai.models.sizes import batch_places, sizes_of
from modules.ai.workflows.cards import MOST_SOURCES, BadCard, Role, written_kind, written_places
from modules.ai.workflows.folding import SHOWING, folded
from modules.ai.workflows.graph import Graph, Node, NodeInput
from modules.ai.workflows.node_table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """``fields`` are those of a card file, written ones included; ``graph`` is the graph that they refer to,
    folded; ``notes`` are sentences about what could not be found out."""

    fields: Mapping[str, Any]
    graph: dict[str, Node]
    notes: tuple[str, ...]


def derive(graph: Graph, table: Table, written: Mapping[str, Any], *, label: str) -> Derived:
    """The card of ``graph``; ``written`` are the fields of its card file.

    Raises `Underivable` if the graph does not show something that is needed, `BadCard` if a written role is
    wrong, `BadGraph` if there is a cycle.
    """
    places = written_places(written)
    named = {place.node for there in places.values() for place in there}
    enhance = written.get("enhance_prompt") is True
    unread = folded(graph, table, named | _texts(graph, table), enhance=enhance)
    notes: list[str] = []
    output = places["output"][0] if "output" in places else output_of(unread, table, notes)
    if output.node not in unread:
        raise BadCard(f"roles.output: {output}: there is no node {output.node} in the graph")
    card = _Card(graph, Drawing.of(unread, table, output), written, places, notes)
    card.read_texts()
    final = folded(graph, table, named | card.text_nodes, enhance=enhance)
    card.drawing = Drawing.of(final, table, output)
    card.read_pictures()
    card.read_samplers()
    roles = {role: [str(place) for place in there] for role, there in card.roles.items() if there}
    fields = {"label": label, **card.fields, **written, "roles": roles | written.get("roles", {})}
    return Derived(fields=fields, graph=final, notes=tuple(dict.fromkeys(card.notes)))


def _texts(graph: Graph, table: Table) -> set[str]:
    """The nodes that hold, join or change a text. They stay until it is known which text is a person's."""
    return {
        node_id
        for node_id, node in graph.items()
        if (table.get(node.class_type) or {}).get("output") == ["STRING"] and node.class_type not in SHOWING
    }


class _Card:
    """A card that is being read from a drawing; written fields are not read again."""

    def __init__(
        self,
        drawn: Graph,
        drawing: Drawing,
        written: Mapping[str, Any],
        places: Mapping[Role, tuple[NodeInput, ...]],
        notes: list[str],
    ) -> None:
        self.drawing = drawing
        self._drawn = drawn
        self.fields: dict[str, Any] = {}
        self.roles: dict[Role, list[NodeInput]] = {role: list(there) for role, there in places.items()}
        self.roles["output"] = [drawing.output]
        self.notes = notes
        self._written = written
        self._kind = written_kind(written)

    @property
    def text_nodes(self) -> set[str]:
        """The nodes that people's texts are put into."""
        return {place.node for role in ("prompt", "negative") for place in self.roles.get(role, ())}

    def read_texts(self) -> None:
        """Where prompt and negative prompt go, while the drawing still has all its texts."""
        samplers = samplers_of(self.drawing)
        if self._kind == "upscale" or (self._kind is None and is_upscaler(self.drawing, samplers)):
            return
        if "prompt" not in self.roles:
            self.roles["prompt"] = prompt_places(self.drawing, samplers, self.notes)
        if "negative" not in self.roles and self.roles["prompt"] and guided(self.drawing, samplers):
            self.roles["negative"] = negative_places(self.drawing, samplers, self.roles["prompt"])

    def read_pictures(self) -> None:
        """The kind, the pictures that people give, the sizes that they may choose."""
        refuse_videos(self.drawing, self.notes)
        given, least = sources_of(self.drawing, self.notes)
        sources = self.roles.get("sources", given)
        if len(sources) > MOST_SOURCES:
            raise Underivable(
                f"it starts from {len(sources)} pictures, and at most {MOST_SOURCES} can be given: "
                f"write roles.sources"
            )
        kind = self.fields["kind"] = self._kind or self._told_kind(given=bool(sources))
        if kind == "imagine" and "sizes" not in self._written:
            sizes = sizes_of(self.drawing, self._drawn, self.notes)
            self.fields |= sizes.fields
            self.roles = {**sizes.roles, **self.roles}
        if kind != "imagine" and sources:
            self.roles["sources"] = sources
            self.fields["source_count"] = [min(least, len(sources)), len(sources)]
        if kind == "upscale" and "upscale" not in self._written:
            self.fields["upscale"] = upscale_of(self.drawing)

    def read_samplers(self) -> None:
        """Seeds, steps, and how many pictures are made."""
        samplers, upscales = samplers_of(self.drawing), self.fields["kind"] == "upscale"
        if "seed" not in self.roles and (samplers or not upscales):
            self.roles["seed"] = seed_places(self.drawing, samplers)
        if "steps" not in self._written:
            self.fields["steps"] = steps_of(self.drawing, samplers) if samplers or not upscales else 1
        self.roles.setdefault("batch", batch_places(self.drawing))
        if self.roles.get("negative"):
            self.fields["negative"] = "own"

    def _told_kind(self, *, given: bool) -> str:
        if self.roles.get("prompt"):
            return "edit" if given else "imagine"
        if given:
            return "upscale"
        raise Underivable("it takes no prompt and starts from no picture: write kind and roles")


def label_of(stem: str) -> str:
    """The label of a model whose card has none: the name of its file."""
    words = " ".join(stem.replace("_", " ").split())
    return (words if words != words.lower() else words.title())[:60].strip() or "?"
