"""Group nodes, the predecessors of subgraphs: each is read as a subgraph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modules.ai.workflows.editor_format.document import EditorNode, Level, Origin, Port
from modules.ai.workflows.editor_format.widgets import WidgetReader
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table

_PRIMITIVE = {"input": {"required": {"value": ["INT", {"control_after_generate": True}]}}}
_Place = tuple[int, int]
"""A node of the group, by its place among the others, and one of its inputs or outputs."""


def group_name(node_type: str) -> str:
    """The name of the group that a node type stands for, empty if it stands for none."""
    return node_type[9:] if node_type.startswith(("workflow>", "workflow/")) else ""


class GroupNode:
    """What a group node, ``host``, stands for: its nodes, the ``links`` among them and what goes out
    (``external``), by their places, and the inputs that have other names on the host."""

    def __init__(
        self,
        host: EditorNode,
        *,
        members: Sequence[EditorNode],
        links: list[list[JSON]],
        external: list[list[JSON]],
        renamed: Mapping[tuple[str, str], str],
        table: Table,
    ) -> None:
        self._members, self._renamed = members, renamed
        self._entries = [
            _PRIMITIVE if m.type == "PrimitiveNode" else table.get(m.type) or {} for m in members
        ]
        numbers = [link[:4] for link in links if len(link) >= 4 and all(map(_is_place, link[:4]))]
        self._links = [((a, b), (c, d)) for a, b, c, d in numbers if a < len(members) and c < len(members)]
        self._types = {link[2]: link[5] for link in links if len(link) >= 6 and _is_place(link[2])}
        self._external = {tuple(place[:2]) for place in external if all(map(_is_place, place[:2]))}
        self._values = host.values if isinstance(host.values, list) else []
        self._fed = {end for _, end in self._links}
        self._converted: set[str] = set()
        trial = WidgetReader(self._values)
        for index, entry in enumerate(self._entries):
            dict(trial.read(entry, self._without_value(index)))
        if trial.short:  # a widget that had been made an input has no value either
            self._converted = {socket.name for socket in host.inputs}

    def _without_value(self, index: int) -> set[str]:
        sockets = [(slot, s.name) for slot, s in enumerate(self._members[index].inputs) if s.widget]
        return {name for slot, name in sockets if (index, slot) in self._fed or name in self._converted}

    def level(self) -> Level:
        """The subgraph; the nodes in it hold the host's values, as far as they go."""
        begun = {begin for begin, _ in self._links} - self._external
        outgoing = [
            (index, slot)
            for index, node in enumerate(self._members)
            for slot in range(len(node.output_types))
            if (index, slot) not in begun
        ]
        incoming = [(name, place) for name, place in self._inputs() if place not in self._fed]
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
        reader = WidgetReader(self._values)
        nodes = [
            replace(
                node,
                inputs=tuple(replace(s, link=ends.get((index, slot))) for slot, s in enumerate(node.inputs)),
                values=self._own_values(index, reader),
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
        later: list[tuple[str, _Place]] = []

        def named(index: int, name: str) -> str:
            node = self._members[index]
            key = found = self._renamed.get((str(index), name), name)
            if found in times or (node.type == "PrimitiveNode" and node.title):
                key = found = f"{node.title or node.type} {name}"
                found = f"{node.title or node.type} {times[key]} {name}" if key in times else found
            times[key] = times.get(key, 1) + 1
            return found

        for index, node in enumerate(self._members):
            sockets = {socket.name: slot for slot, socket in enumerate(node.inputs)}
            widgets = dict(WidgetReader([]).read(self._entries[index]))
            for name in widgets:
                if name in sockets and name in self._converted:
                    later.append((name, (index, sockets[name])))
                else:
                    named(index, name)
            for name, slot in sockets.items():
                if name not in widgets:
                    shown = str(self._types.get(index, name)) if node.type == "Reroute" else name
                    yield named(index, shown), (index, slot)
        for name, place in later:
            yield named(place[0], name), place

    def _own_values(self, index: int, reader: WidgetReader) -> Mapping[str, JSON]:
        own = dict(WidgetReader(self._members[index].values).read(self._entries[index]))
        given = reader.read(self._entries[index], self._without_value(index))
        return own | (dict(given) if reader.left else {})


def _is_place(value: JSON) -> bool:
    return type(value) is int and value >= 0
