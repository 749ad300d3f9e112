"""Where the pictures of a graph will be, and how to read that from a graph that a server kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from modules.ai import node_pack as pack
from modules.ai.fusion.samplers import SAMPLERS
from modules.ai.workflows.graph import JSON, Graph, Node, in_order, named, read_graph

SAVE_NODE = "fullet_save"
SAVE_FOLDER = "fullet"


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """The node pack has the picture, under its unguessable key."""

    key: str


@dataclass(frozen=True, slots=True)
class SavedFile:
    """The picture is the file that the node ``node`` saved; its name begins with ``prefix``."""

    node: str
    prefix: str


OutputLocation = KeptPicture | SavedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedGraph:
    """A graph ready to be sent. ``places[i]`` tells where the picture of request i will be; ``samplers`` are
    the nodes whose progress counts, in the order in which they run."""

    graph: Graph
    places: tuple[OutputLocation, ...]
    samplers: tuple[str, ...]

    def titles(self) -> dict[str, str]:
        """The nodes' names in sentences."""
        return {node_id: named(self.graph, node_id) for node_id in self.graph}


def read_locations(stored: JSON, rows: Sequence[int]) -> FusedGraph | None:
    """Where the pictures in ``rows`` of a graph are, in order. The graph is one that a server has kept since
    an earlier process sent it.

    None if it is not our graph, or has no such rows.
    """
    try:
        graph = read_graph(stored)
        ordered = in_order(graph)
    except ValueError:
        return None
    save = graph.get(SAVE_NODE)
    if save is None:
        return None
    every = _read_keys(save)
    if every is None or not all(row < len(every) for row in rows):
        return None
    places = tuple(every[row] for row in rows)
    samplers = tuple(node_id for node_id in ordered if graph[node_id].class_type in SAMPLERS)
    return FusedGraph(graph=graph, places=places, samplers=samplers)


def _read_keys(save: Node) -> tuple[OutputLocation, ...] | None:
    if save.class_type == "SaveImage":
        folder, _, key = str(save.inputs.get("filename_prefix")).partition("/")
        return (SavedFile(SAVE_NODE, key),) if folder == SAVE_FOLDER and pack.KEY.fullmatch(key) else None
    try:
        keys = json.loads(str(save.inputs.get("keys")))
    except (ValueError, RecursionError):
        return None
    if save.class_type != pack.SAVE or not isinstance(keys, list):
        return None
    if not all(isinstance(key, str) and pack.KEY.fullmatch(key) for key in keys):
        return None
    return tuple(map(KeptPicture, keys))
