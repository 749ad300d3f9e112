"""Group nodes, which were there before subgraphs: a file that has some is read as if it had subgraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modules.ai.workflows.editor_format.widgets import WidgetReader
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table, inputs_of

_TYPE = re.compile(r"workflow[>/](.+)", re.DOTALL)
_PRIMITIVE = {"input": {"required": {"value": ["INT", {"control_after_generate": True}]}}}
_Place = tuple[int, int]
"""A node of the group, by its place in the list, and one of its inputs or outputs."""


def without_group_nodes(data: dict[str, Any], table: Table) -> dict[str, Any]:
    """The parsed file with a subgraph for each group node; its nodes are numbered on from the last one."""
    extra = data.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    if not isinstance(groups, dict) or not groups:
        return data
    used = (data.get("last_node_id"), *(node["id"] for node in data["nodes"] if _is_node(node)))
    last = max((n for n in used if isinstance(n, int)), default=0)
    numbers: dict[JSON, int] = {}
    nodes, subgraphs = [], []
    for node in data["nodes"]:
        named = _TYPE.fullmatch(str(node.get("type"))) if _is_node(node) else None
        group = groups.get(named[1]) if named is not None else None
        if isinstance(group, dict) and isinstance(group.get("nodes"), list):
            subgraphs.append(_definition(group, node, table, last))
            last += len(group["nodes"]) + 1
            numbers[node["id"]] = last
            node = {**node, "id": last, "type": subgraphs[-1]["id"], "widgets_values": []}  # noqa: PLW2901
        nodes.append(node)
    links = [_renumbered(link, numbers) for link in data.get("links") or ()]
    return {**data, "nodes": nodes, "links": links, "definitions": {"subgraphs": subgraphs}}


def _is_node(node: JSON) -> bool:
    return isinstance(node, dict) and isinstance(node.get("id"), int | str)


def _renumbered(link: JSON, numbers: Mapping[JSON, int]) -> JSON:
    if isinstance(link, list) and len(link) >= 5:
        return [link[0], numbers.get(link[1], link[1]), link[2], numbers.get(link[3], link[3]), *link[4:]]
    return link


def _definition(group: dict[str, Any], host: dict[str, Any], table: Table, last: int) -> dict[str, Any]:
    """The subgraph of one group node; the values of the group node stand in the nodes inside."""
    members = [node if isinstance(node, dict) else {} for node in group["nodes"]]
    # from outside come links without a beginning
    pairs = [((a, b), (c, d)) for a, b, c, d, *_ in group.get("links") or () if a is not None]
    external = {(node, slot) for node, slot, *_ in group.get("external") or ()}
    begun, ended = {begin for begin, _ in pairs}, {end for _, end in pairs}
    inputs = [(name, place) for name, place in _inputs(group, members, table) if place not in ended]
    outputs = [
        (index, slot)
        for index, node in enumerate(members)
        for slot, _ in enumerate(node.get("outputs") or ())
        if ((index, slot) in external or (index, slot) not in begun)
        and _visible(group, index, "output", str(slot))
    ]
    first = last + 1
    links = [
        *((begin[0] + first, begin[1], end[0] + first, end[1]) for begin, end in pairs),
        *((-10, port, index + first, slot) for port, (_, (index, slot)) in enumerate(inputs)),
        *((index + first, slot, -20, port) for port, (index, slot) in enumerate(outputs)),
    ]
    own, reader = host.get("widgets_values"), WidgetReader([])
    if isinstance(own, list):
        reader = WidgetReader(own)
    return {
        "id": f"{host['type']} {host['id']}",
        "nodes": [
            {**node, "id": first + index, **_values(node, reader, table)}
            for index, node in enumerate(members)
        ],
        "links": [[key, *link] for key, link in enumerate(links)],
        "inputs": [
            {"name": name, "type": "*", "linkIds": [len(pairs) + port]}
            for port, (name, _) in enumerate(inputs)
        ],
        "outputs": [
            {"name": "", "type": "*", "linkIds": [len(pairs) + len(inputs) + port]}
            for port in range(len(outputs))
        ],
    }


def _inputs(
    group: dict[str, Any], members: list[dict[str, Any]], table: Table
) -> Iterator[tuple[str, _Place]]:
    """The inputs of the nodes inside, with the names that they have on the group node, in its order."""
    times: dict[str, int] = {}
    later: list[tuple[dict[str, Any], str, _Place]] = []

    def named(node: dict[str, Any], name: str, shown: str) -> str:
        found = key = shown
        if found in times or (node.get("type") == "PrimitiveNode" and node.get("title")):
            prefix = node.get("title") or node.get("type")
            found = key = f"{prefix} {name}"
            found = f"{prefix} {times[key]} {name}" if key in times else found
        times[key] = times.get(key, 1) + 1
        return found

    for index, node in enumerate(members):
        sockets = {s["name"]: (slot, s) for slot, s in enumerate(node.get("inputs") or ()) if "name" in s}
        entry = _entry(node, table)
        widgets = dict(WidgetReader([]).read(entry))
        for name in sorted({**inputs_of(entry), **sockets}, key=lambda name: name not in widgets):
            slot, socket = sockets.get(name, (0, {}))
            if name in widgets and socket.get("widget"):
                later.append((node, name, (index, slot)))
            elif name in widgets:
                named(node, name, name)
            elif socket and _visible(group, index, "input", name):
                yield named(node, name, socket.get("label") or name), (index, slot)
    for node, name, place in later:
        yield named(node, name, name), place


def _visible(group: dict[str, Any], index: int, side: str, name: str) -> bool:
    try:
        return bool(group["config"][str(index)][side][name].get("visible", True))
    except (KeyError, TypeError, AttributeError):
        return True


def _entry(node: dict[str, Any], table: Table) -> Mapping[str, JSON]:
    return _PRIMITIVE if node.get("type") == "PrimitiveNode" else table.get(str(node.get("type"))) or {}


def _values(node: dict[str, Any], reader: WidgetReader, table: Table) -> dict[str, Any]:
    """The values of a node inside: the group node's, as far as they go, else its own."""
    saved = node.get("widgets_values")
    own = dict(WidgetReader(saved if isinstance(saved, list | dict) else []).read(_entry(node, table)))
    linked = {s.get("name") for s in node.get("inputs") or () if s.get("widget")}
    given = dict(reader.read(_entry(node, table), linked)) if reader.left else {}
    return {"widgets_values": own | given}
