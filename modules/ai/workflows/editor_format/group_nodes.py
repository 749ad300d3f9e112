"""Group nodes, which were there before subgraphs: each is read as a subgraph of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modules.ai.workflows.editor_format.document import EditorNode, Level, Origin, Port
from modules.ai.workflows.editor_format.widgets import WidgetReader
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table, inputs_of

_PRIMITIVE = {"input": {"required": {"value": ["INT", {"control_after_generate": True}]}}}
_Place = tuple[int, int]
"""A node of the group, by its place among the others, and one of its inputs or outputs."""


def group_name(node_type: str) -> str:
    """The name of the group that a node type stands for, empty if it stands for none."""
    return node_type[9:] if node_type.startswith(("workflow>", "workflow/")) else ""


class GroupNode:
    """What one group node stands for: its nodes, the ``links`` among them and what goes out (``external``),
    by their places."""

    def __init__(
        self, members: Sequence[EditorNode], links: list[list[JSON]], external: list[list[JSON]], table: Table
    ) -> None:
        self._members = members
        self._entries = [
            _PRIMITIVE if m.type == "PrimitiveNode" else table.get(m.type) or {} for m in members
        ]
        numbers = [
            link[:4] for link in links if all(type(n) is int and n >= 0 for n in link[:4]) and len(link) >= 4
        ]
        self._links = [((a, b), (c, d)) for a, b, c, d in numbers if a < len(members) and c < len(members)]
        self._external = {tuple(place[:2]) for place in external if all(type(n) is int for n in place[:2])}

    def level(self, values: list[JSON]) -> Level:
        """The subgraph; the nodes in it hold the group node's ``values``, as far as they go."""
        begun = {begin for begin, _ in self._links} - self._external
        outgoing = [
            (index, slot)
            for index, node in enumerate(self._members)
            for slot in range(len(node.output_types))
            if (index, slot) not in begun
        ]
        ended = {end for _, end in self._links}
        incoming = [(name, place) for name, place in self._inputs() if place not in ended]
        links: dict[str, Origin] = {}
        ends: dict[_Place, str] = {}
        for number, ((index, slot), end) in enumerate(self._links):
            ends[end] = f"link {number}"
            links[ends[end]] = Origin(self._members[index].id, slot)
        for number, (_, place) in enumerate(incoming):
            ends[place] = f"in {number}"
            links[ends[place]] = Origin(None, number)
        for number, (index, slot) in enumerate(outgoing):
            links[f"out {number}"] = Origin(self._members[index].id, slot)
        reader = WidgetReader(values)
        nodes = [
            replace(
                node,
                inputs=tuple(replace(s, link=ends.get((index, slot))) for slot, s in enumerate(node.inputs)),
                values=self._values(index, reader),
            )
            for index, node in enumerate(self._members)
        ]
        return Level(
            nodes={node.id: node for node in nodes},
            links=links,
            inputs=tuple(Port(name=name, links=(f"in {n}",)) for n, (name, _) in enumerate(incoming)),
            outputs=tuple(Port(name="", links=(f"out {n}",)) for n in range(len(outgoing))),
        )

    def _inputs(self) -> Iterator[tuple[str, _Place]]:
        """The inputs of the nodes inside, with the names that they have on the group node, in its order."""
        times: dict[str, int] = {}
        later: list[tuple[EditorNode, str, _Place]] = []

        def named(node: EditorNode, name: str) -> str:
            key = found = name
            if name in times or (node.type == "PrimitiveNode" and node.title):
                key = found = f"{node.title or node.type} {name}"
                found = f"{node.title or node.type} {times[key]} {name}" if key in times else found
            times[key] = times.get(key, 1) + 1
            return found

        for index, node in enumerate(self._members):
            sockets = {socket.name: (slot, socket) for slot, socket in enumerate(node.inputs)}
            widgets = dict(WidgetReader([]).read(self._entries[index]))
            for name in sorted(
                {**inputs_of(self._entries[index]), **sockets}, key=lambda n: n not in widgets
            ):
                slot, socket = sockets.get(name, (0, None))
                if name in widgets and socket is not None and socket.widget:
                    later.append((node, name, (index, slot)))
                elif name in widgets:
                    named(node, name)
                elif socket is not None:
                    yield named(node, name), (index, slot)
        for node, name, place in later:
            yield named(node, name), place

    def _values(self, index: int, reader: WidgetReader) -> Mapping[str, JSON]:
        node, entry = self._members[index], self._entries[index]
        linked = {socket.name for socket in node.inputs if socket.widget}
        own = dict(WidgetReader(node.values).read(entry))
        return own | (dict(reader.read(entry, linked)) if reader.left else {})
