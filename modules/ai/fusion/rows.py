"""Joins several people's graphs: samplers run once for all, everything else runs separately for each person.

If a node and all that it depends on are the same for everyone, there is one copy of it. There is also one
copy of what steers a sampler (the model with its patches, the guider, the choice of the sampler). What a
sampler takes from each person is joined into a batch before it, and each person's row is taken out after it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from modules.ai import node_pack as pack
from modules.ai.fusion.samplers import GUIDERS, OWN_NOISE, SAMPLERS, Unfusible
from modules.ai.workflows.graph import JSON, Graph, Link, Node, in_order, named, write_graph

_STEERS = frozenset({"model", "model1", "model2", "model_negative", "guider", "sampler"})
"""The inputs through which ComfyUI's nodes steer a sampler."""

_OF_EACH = frozenset({"positive", "negative", "latent_image"})
_NUMBERS = frozenset({"width", "height"})
"""Inputs of steering nodes that may come from each person's picture: they must turn out equal."""


def steering(graph: Graph) -> set[str]:
    """The nodes that do the same work for all rows of a sampler's run."""
    found: set[str] = set()
    todo = [node_id for node_id, node in graph.items() if node.class_type in SAMPLERS]
    while todo:
        for name, link in graph[todo.pop()].links():
            if name in _STEERS and link.node not in found and graph[link.node].class_type not in SAMPLERS:
                found.add(link.node)
                todo.append(link.node)
    return found


class JointGraph:
    """The graph of all ``rows``, which have the same nodes with different constants.

    Raises `Unfusible` if something that differs between people would steer a sampler; ``vouched`` are the
    classes of steering nodes that take a batch.
    """

    def __init__(self, rows: Sequence[Graph], vouched: Collection[str] = ()) -> None:
        self.graph: dict[str, Node] = {}
        self._rows = rows
        self._places: list[dict[str, str]] = [{} for _ in rows]
        self._same: dict[str, str] = {}
        steers = steering(rows[0])
        for node_id in in_order(rows[0]):
            class_type = rows[0][node_id].class_type
            if class_type in SAMPLERS:
                self._add_one(node_id, all_may_differ=True)
            elif node_id in steers:
                self._add_one(node_id, all_may_differ=class_type in GUIDERS or class_type in vouched)
            else:
                self._add_each(node_id)

    def joined(self, name: str, link: Link) -> Link:
        """A batch of everyone's value of ``link``, joined by a node with this ``name``."""
        rows = {f"row{row}": self._link(row, link) for row in range(len(self._rows))}
        self.graph[name] = Node(class_type=pack.JOIN, inputs=rows)
        return Link(name, 0)

    def _add_each(self, node_id: str) -> None:
        for row, graph in enumerate(self._rows):
            node = graph[node_id]
            moved = {name: self._moved(row, value) for name, value in node.inputs.items()}
            node = Node(class_type=node.class_type, inputs=moved, title=node.title)
            text = json.dumps(write_graph({node_id: node}), sort_keys=True)
            place = self._same.setdefault(text, self._fresh(node_id, row))
            self.graph[place] = node
            self._places[row][node_id] = place

    def _add_one(self, node_id: str, *, all_may_differ: bool) -> None:
        node = self._rows[0][node_id]
        joins = node.class_type in SAMPLERS or node.class_type in GUIDERS
        of_each = _OF_EACH | set(GUIDERS.get(node.class_type, ())) if joins else frozenset()
        noise = OWN_NOISE if node.class_type in SAMPLERS else frozenset()
        inputs: dict[str, JSON] = {}
        for name, value in node.inputs.items():
            own = [self._moved(row, graph[node_id].inputs[name]) for row, graph in enumerate(self._rows)]
            may_differ = isinstance(value, Link) and (all_may_differ or name in _NUMBERS)
            if name in of_each and isinstance(value, Link):
                inputs[name] = self.joined(f"fullet_{node_id}_{name}", value)
            elif name in noise or all(each == own[0] for each in own):
                inputs[name] = own[0]
            elif may_differ:
                inputs[name] = self.joined(f"fullet_{node_id}_{name}", value)
            else:
                raise Unfusible(
                    f"{named(self._rows[0], node_id)}: {name} differs from person to person there"
                )
        self.graph[node_id] = Node(class_type=node.class_type, inputs=inputs, title=node.title)

    def _moved(self, row: int, value: JSON | Link) -> JSON | Link:
        return self._link(row, value) if isinstance(value, Link) else value

    def _link(self, row: int, link: Link) -> Link:
        if self._rows[0][link.node].class_type not in SAMPLERS:
            return Link(self._places[row].get(link.node, link.node), link.slot)
        place = f"fullet_{link.node}_{link.slot}#{row}"
        self.graph[place] = Node(class_type=pack.TAKE, inputs={"samples": link, "row": row})
        return Link(place, 0)

    def _fresh(self, node_id: str, row: int) -> str:
        """An id for one person's copy of a node: for the first person the node's own, for others one that is
        not taken."""
        place = f"{node_id}#{row}" if row else node_id
        while row and place in self._rows[0]:
            place += "#"
        return place
