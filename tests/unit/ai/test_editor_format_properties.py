"""Whatever graph is drawn in the editor, in whatever way, is the graph that the converter gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modules.ai.workflows.editor_format.conversion import convert
from modules.ai.workflows.editor_format.reading import read_document
from modules.ai.workflows.graph import Link
from modules.ai.workflows.node_table import bundled_table, choices, inputs_of

TABLE: dict[str, Any] = dict(bundled_table())
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SEEDS = ("seed", "noise_seed")


def kind(spec: Any) -> str:
    return "COMBO" if isinstance(spec[0], list) else str(spec[0])


def config(spec: Any) -> dict[str, Any]:
    return spec[1] if len(spec) > 1 else {}


def plain(name: str) -> bool:
    """Whether a class has only inputs whose drawing is told here: widgets of five kinds, and sockets."""
    specs = inputs_of(TABLE[name])
    return all(
        kind(spec).isupper()
        and not kind(spec).startswith("COMFY_")
        and ("_" not in kind(spec) or kind(spec) == "CLIP_VISION")
        and kind(spec) not in ("IMAGECOMPARE", "COLORS", "COLOR", "CURVE", "WEBCAM", "COMPOSITOR")
        and not {"widgetType", "image_upload", "audio_upload", "video_upload", "file_upload", "forceInput"}
        & set(config(spec))
        and kind(spec) != "*"
        for spec in specs.values()
    ) and name not in ("CustomCombo", "Load3D")


CLASSES = sorted(name for name in TABLE if plain(name) and (TABLE[name]["output"] or inputs_of(TABLE[name])))
TEXTS = st.text("ab (:1.2),\n\"'é漢%", max_size=12)
CONTROLS = st.sampled_from(["fixed", "increment", "decrement", "randomize"])


@dataclass
class Drawing:
    """A graph, and one way to draw it: the nodes and links of an editor's file."""

    graph: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    subgraphs: list[dict[str, Any]] = field(default_factory=list)
    last: int = 0

    def new_id(self) -> int:
        self.last += 1
        return self.last

    def link(self, origin: int, slot: int, target: int, socket: dict[str, Any]) -> None:
        key = self.new_id()
        socket["link"] = key
        place = next(n for n in self.nodes if n["id"] == target)["inputs"].index(socket)
        self.links.append([key, origin, slot, target, place, socket["type"]])

    def file(self) -> dict[str, Any]:
        return {
            "last_node_id": self.last,
            "nodes": self.nodes,
            "links": self.links,
            "definitions": {"subgraphs": self.subgraphs},
            "version": 0.4,
        }


def value(draw: Callable[[Any], Any], spec: Any) -> Any:
    limits = config(spec)
    if kind(spec) == "COMBO":
        options = [option for option in choices(spec) or [] if isinstance(option, str)]
        return draw(st.sampled_from(options or ["some.safetensors"]))
    if kind(spec) == "INT":
        return draw(st.integers(int(limits.get("min", 0)), int(min(limits.get("max", 100), 2**53))))
    if kind(spec) == "FLOAT":
        return draw(st.floats(-4, 4, allow_nan=False))
    return draw(st.booleans() if kind(spec) == "BOOLEAN" else TEXTS)


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    drawing = Drawing()
    for name in draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=8)):
        node_id = drawing.new_id()
        inputs: dict[str, Any] = {}
        node: dict[str, Any] = {"id": node_id, "type": name, "inputs": [], "widgets_values": []}
        node["outputs"] = [{"name": str(n), "type": t} for n, t in enumerate(TABLE[name]["output"])]
        earlier = [(n["id"], s, o["type"]) for n in drawing.nodes for s, o in enumerate(n["outputs"])]
        drawing.nodes.append(node)
        for key, spec in inputs_of(TABLE[name]).items():
            socket: dict[str, Any] = {"name": key, "type": kind(spec), "link": None}
            if kind(spec) in WIDGETS:
                socket["widget"] = {"name": key}
                inputs[key] = value(draw, spec)
                node["widgets_values"].append(inputs[key])
                if kind(spec) in ("INT", "COMBO") and (
                    config(spec).get("control_after_generate") or key in SEEDS
                ):
                    node["widgets_values"].append(draw(CONTROLS))
            node["inputs"].append(socket)
            fitting = [(n, s) for n, s, t in earlier if t == kind(spec)]
            if fitting and draw(st.booleans()):
                origin, slot = draw(st.sampled_from(fitting))
                drawing.link(origin, slot, node_id, socket)
                inputs[key] = Link(str(origin), slot)
            elif kind(spec) in WIDGETS and draw(st.booleans()):
                node["inputs"].remove(socket)  # older files do not list what is not connected
        drawing.graph[str(node_id)] = (name, inputs)
    return drawing


def converted(drawing: Drawing) -> dict[str, tuple[str, dict[str, Any]]]:
    graph, unknown = convert(read_document(drawing.file(), TABLE), TABLE)
    assert not unknown
    return {node_id: (node.class_type, dict(node.inputs)) for node_id, node in graph.items()}


@settings(deadline=None)
@given(drawings())
def test_a_graph_that_is_drawn_comes_back(drawing: Drawing) -> None:
    assert converted(drawing) == drawing.graph


@settings(deadline=None)
@given(drawings(), st.data())
def test_what_only_the_editor_has_changes_nothing(drawing: Drawing, data: st.DataObject) -> None:
    """Reroutes, Set/Get pairs and bypassed nodes in the way of a link, and notes."""
    for link in list(drawing.links):
        _, origin, slot, target, place, sort = link
        target_node = next(n for n in drawing.nodes if n["id"] == target)
        way = data.draw(st.sampled_from(["straight", "reroute", "set", "bypass"]))
        if way == "straight":
            continue
        drawing.links.remove(link)
        first: dict[str, Any] = {"id": drawing.new_id(), "type": "Reroute", "outputs": [{"type": sort}]}
        first["inputs"] = [{"name": "", "type": sort if way == "bypass" else "*", "link": None}]
        last = first
        if way == "bypass":
            first |= {"type": "AnyClassAtAll", "mode": 4}
        elif way == "set":
            first |= {"type": "SetNode", "widgets_values": [str(first["id"])]}
            last = {"id": drawing.new_id(), "type": "GetNode", "outputs": [{"type": sort}]}
            last |= {"widgets_values": [str(first["id"])]}
            drawing.nodes.append(last)
        drawing.nodes.append(first)
        drawing.link(origin, slot, first["id"], first["inputs"][0])
        drawing.link(last["id"], 0, target, target_node["inputs"][place])
    drawing.nodes.append({"id": drawing.new_id(), "type": "MarkdownNote", "widgets_values": ["# Read me"]})
    assert converted(drawing) == drawing.graph


@settings(deadline=None)
@given(drawings(), st.data())
def test_a_subgraph_around_any_nodes_changes_nothing_but_numbers(
    drawing: Drawing, data: st.DataObject
) -> None:
    names = {node_id: node_id for node_id in drawing.graph}
    for _ in range(data.draw(st.integers(1, 3))):
        inside = data.draw(st.sets(st.sampled_from([node["id"] for node in drawing.nodes]), min_size=1))
        host = wrap(drawing, inside, data)
        names = {
            old: f"{host}:{new}" if int(new.partition(":")[0]) in inside else new
            for old, new in names.items()
        }
    expected = {
        names[node_id]: (
            class_type,
            {k: Link(names[v.node], v.slot) if isinstance(v, Link) else v for k, v in inputs.items()},
        )
        for node_id, (class_type, inputs) in drawing.graph.items()
    }
    assert converted(drawing) == expected


def wrap(drawing: Drawing, inside: set[int], data: st.DataObject) -> int:
    """Put some nodes into a subgraph, with some of their widgets shown on its host; gives the host's id."""
    host_id, name = drawing.new_id(), f"subgraph {drawing.last}"
    members = [node for node in drawing.nodes if node["id"] in inside]
    host: dict[str, Any] = {"id": host_id, "type": name, "inputs": [], "outputs": [], "widgets_values": []}
    inner: list[dict[str, Any]] = []
    ports: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
    drawing.nodes = [node for node in drawing.nodes if node["id"] not in inside] + [host]
    links, drawing.links = drawing.links, []
    given_out: dict[tuple[int, int], int] = {}

    def within(origin: int, slot: int, target: int, place: int, sort: str) -> int:
        key = drawing.new_id()
        inner.append(
            {
                "id": key,
                "origin_id": origin,
                "origin_slot": slot,
                "target_id": target,
                "target_slot": place,
                "type": sort,
            }
        )
        return key

    for key, origin, slot, target, place, sort in links:
        member = next((node for node in members if node["id"] == target), None)
        if member is None and origin not in inside:
            drawing.links.append([key, origin, slot, target, place, sort])
        elif member is None:
            if (origin, slot) not in given_out:
                given_out[origin, slot] = len(ports["outputs"])
                link = within(origin, slot, -20, given_out[origin, slot], sort)
                ports["outputs"].append({"name": f"out {link}", "type": sort, "linkIds": [link]})
                host["outputs"].append({"name": f"out {link}", "type": sort})
            drawing.links.append([key, host_id, given_out[origin, slot], target, place, sort])
        elif origin in inside:
            member["inputs"][place]["link"] = within(origin, slot, target, place, sort)
        else:
            port = len(ports["inputs"])
            member["inputs"][place]["link"] = link = within(-10, port, target, place, sort)
            ports["inputs"].append({"name": f"in {link}", "type": sort, "linkIds": [link]})
            host["inputs"].append({"name": f"in {link}", "type": sort, "link": key})
            drawing.links.append([key, origin, slot, host_id, len(host["inputs"]) - 1, sort])
            if "widget" in member["inputs"][place]:
                host["inputs"][-1]["widget"] = {"name": f"in {link}"}
                host["widgets_values"].append(None)
    for member in members:
        for place, socket in enumerate(member["inputs"]):
            if (
                member["type"] in TABLE
                and "widget" in socket
                and socket["link"] is None
                and data.draw(st.booleans())
            ):
                port = len(ports["inputs"])
                socket["link"] = link = within(-10, port, member["id"], place, socket["type"])
                ports["inputs"].append({"name": f"in {link}", "type": socket["type"], "linkIds": [link]})
                own = None
                if data.draw(st.booleans()):  # the host's own value goes before that inside
                    own = value(data.draw, inputs_of(TABLE[member["type"]])[socket["name"]])
                    drawing.graph[str(member["id"])][1][socket["name"]] = own
                host["widgets_values"].append(own)
                host["inputs"].append(
                    {
                        "name": f"in {link}",
                        "type": socket["type"],
                        "link": None,
                        "widget": {"name": f"in {link}"},
                    }
                )
    drawing.subgraphs.append({"id": name, "nodes": members, "links": inner, **ports})
    return host_id
