"""Puts a LoRA into a graph: behind the one node that loads the model, for all that uses the model.

If that cannot be done exactly, it is refused: half a LoRA would make a wrong picture that nobody notices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from modules.ai.workflows.graph import Graph, Link, Node, named, redirected
from modules.queue_manager.jobs import LoraUse

LORA_NODE = "fullet_lora"

MODEL_ONLY, WITH_CLIP = "LoraLoaderModelOnly", "LoraLoader"

CHECKPOINT_LOADERS = frozenset({
    "CheckpointLoader",
    "CheckpointLoaderSimple",
    "DiffusersLoader",
    "unCLIPCheckpointLoader",
})  # fmt: skip

MODEL_LOADERS = CHECKPOINT_LOADERS | {
    "ImageOnlyCheckpointLoader",
    "UNETLoader",
    "UnetLoaderGGUF",
    "UnetLoaderGGUFAdvanced",
}
"""The nodes that load a model that makes pictures: their first output."""

CLIP_LOADERS = frozenset({
    "CLIPLoader",
    "CLIPLoaderGGUF",
    "DualCLIPLoader",
    "DualCLIPLoaderGGUF",
    "QuadrupleCLIPLoader",
    "QuadrupleCLIPLoaderGGUF",
    "TripleCLIPLoader",
    "TripleCLIPLoaderGGUF",
})  # fmt: skip

_MODEL_INPUTS = frozenset({"model", "model1", "model2", "model_negative"})
_CLIP_INPUTS = frozenset({"clip", "clip1", "clip2"})
_MODEL_SLOTS = dict.fromkeys(MODEL_LOADERS, 0)
_CLIP_SLOTS = {**dict.fromkeys(CHECKPOINT_LOADERS, 1), **dict.fromkeys(CLIP_LOADERS, 0)}


class NoPlaceForLora(Exception):
    """A LoRA cannot be put into the graph exactly; the message says which node is the reason."""


def with_lora(graph: Graph, lora: LoraUse) -> dict[str, Node]:
    """The graph with the LoRA. The workflow's own LoRAs stay, and their changes add up. Raises
    `NoPlaceForLora`."""
    model = _loaded(graph, "model", _MODEL_INPUTS, _MODEL_SLOTS)
    node = Node(
        class_type=MODEL_ONLY,
        inputs={"model": model, "lora_name": lora.file, "strength_model": lora.strength},
        title="LoRA",
    )
    changed = redirected(graph, model, Link(LORA_NODE, 0))
    if lora.clip:
        clip = _loaded(graph, "text encoder", _CLIP_INPUTS, _CLIP_SLOTS)
        changed = redirected(changed, clip, Link(LORA_NODE, 1))
        node = Node(
            class_type=WITH_CLIP,
            inputs={**node.inputs, "clip": clip, "strength_clip": lora.strength},
            title=node.title,
        )
    return {**changed, LORA_NODE: node}


def _loaded(graph: Graph, what: str, inputs: Collection[str], loaders: Mapping[str, int]) -> Link:
    """The one output of a loader from which all ``inputs`` of the graph come, through patches or not;
    ``loaders``: which of its outputs it is. Other packs' nodes may have other names for such an input. Raises
    `NoPlaceForLora`."""
    links = {
        link
        for node in graph.values()
        for name, link in node.links()
        if name in inputs or loaders.get(graph[link.node].class_type) == link.slot
    }
    ends = {link for link in links if not any(name in inputs for name, _ in graph[link.node].links())}
    for link in sorted(ends, key=str):
        if loaders.get(graph[link.node].class_type) != link.slot:
            raise NoPlaceForLora(f"it is not known how {named(graph, link.node)} loads the {what}")
    if len(ends) > 1:
        loading = " and ".join(named(graph, link.node) for link in sorted(ends, key=str))
        raise NoPlaceForLora(f"{loading} each load a {what}, and a LoRA fits only one of them")
    if not ends:
        raise NoPlaceForLora(f"no node of the workflow loads a {what}")
    return ends.pop()
