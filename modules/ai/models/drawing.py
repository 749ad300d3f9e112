"""A workflow as its author drew it: the graph, the node table that explains it, and its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from modules.ai.workflows.graph import JSON, Graph, Link, Node, NodeInput, in_order, named, only, upstream
from modules.ai.workflows.node_table import Table, inputs_of


class Underivable(ValueError):
    """The graph does not show something that a card needs; the message names the node that is the reason and
    the field to write."""


@dataclass(frozen=True)
class Drawing:
    """Everything that a picture depends on, and the table of node classes. ``output`` is where it ends up."""

    graph: Graph
    table: Table
    output: NodeInput

    @classmethod
    def of(cls, graph: Graph, table: Table, output: NodeInput) -> Drawing:
        """The part of a graph that its output depends on."""
        return cls(only(graph, upstream(graph, [output.node])), table, output)

    @cached_property
    def order(self) -> list[str]:
        """The nodes, each after those that it depends on."""
        return in_order(self.graph)

    @cached_property
    def known(self) -> set[str]:
        """The nodes of classes that the table has."""
        return {node_id for node_id, node in self.graph.items() if self.table.get(node.class_type)}

    def node(self, node_id: str) -> Node:
        """A node by its id."""
        return self.graph[node_id]

    def named(self, node_id: str) -> str:
        """The node's name in a sentence."""
        return named(self.graph, node_id)

    def title(self, node_id: str) -> str:
        """The title that the author gave a node; empty if it is only the class's title."""
        node = self.graph[node_id]
        usual = (self.table.get(node.class_type) or {}).get("display_name")
        return "" if node.title in (usual, node.class_type) else node.title

    def whole(self, place: NodeInput) -> int | None:
        """The whole number in an input, or None."""
        value = self.graph[place.node].inputs.get(place.input)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def held(self, place: NodeInput) -> NodeInput | None:
        """Where the whole number of an input is: in the input, or in another pack's node before it that has
        no links and holds just one whole number."""
        value = self.graph[place.node].inputs.get(place.input)
        if not isinstance(value, Link):
            return place if self.whole(place) is not None else None
        if value.node in self.known or any(True for _ in self.graph[value.node].links()):
            return None
        places = [NodeInput(value.node, name) for name in self.graph[value.node].inputs]
        numbers = [place for place in places if self.whole(place) is not None]
        return numbers[0] if len(numbers) == 1 else None

    def specs(self, node_id: str) -> Mapping[str, JSON]:
        """The inputs of a node's class by name, as the table has them."""
        return inputs_of(self.table.get(self.graph[node_id].class_type) or {})

    def outputs(self, node_id: str) -> list[JSON]:
        """The types of a node's outputs; empty for an unknown class."""
        outputs = (self.table.get(self.graph[node_id].class_type) or {}).get("output")
        return outputs if isinstance(outputs, list) else []

    def type_of(self, link: Link) -> str:
        """The type of a link; empty if it is not known."""
        outputs = self.outputs(link.node)
        kind = outputs[link.slot] if 0 <= link.slot < len(outputs) else ""
        return kind if isinstance(kind, str) else ""

    def conditionings(self, node_id: str) -> Iterator[tuple[str, Link]]:
        """The inputs of a node that take a conditioning."""
        for name, link in self.graph[node_id].links():
            kind = self.type_of(link)
            if kind == "CONDITIONING" or (
                not kind and name.startswith(("conditioning", "positive", "negative"))
            ):
                yield name, link
