"""What goes wrong inside a run on demand: which of its nodes fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modules.demo.comfy_server.failure_texts import LACKS_OF_MEMORY, TROUBLES
from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.nodes.pack_inputs import NodeFailure, refusal
from modules.demo.comfy_server.prompt_queue import Graph

# the pack's nodes that look at what is before them, and the input by which they see it
_WATCHFUL = {"FusedModel": "model", "SamplerBatch": "sampler"}


def check_node(faults: Faults, graph: Graph, node_id: str, inputs: Mapping[str, Any], *, first: bool) -> None:
    """Raise `NodeFailure` if this node is to fail; ``first``: it is the run's first."""
    class_type = graph[node_id]["class_type"]
    if class_type in faults.fail_at or (first and "*" in faults.fail_at):
        kind, message = TROUBLES[faults.fail_with]
        raise NodeFailure(message, kind)
    for text in _texts(inputs):
        if faults.poison and faults.poison in text:
            # As real nodes do, it repeats what it was given.
            raise NodeFailure(f"the text encoder raised on a token of {text!r}", "RuntimeError")
    if class_type in _WATCHFUL and faults.refused:
        _check_refused(faults, graph, node_id, _WATCHFUL[class_type])


def check_rows(faults: Faults, model: str, prompts: Iterable[str], rows: int) -> None:
    """Raise `NodeFailure` if a sampler run of ``rows`` with the model of this file is to fail."""
    poison = faults.poison_in_sampler
    if poison and any(poison in prompt for prompt in prompts):
        raise NodeFailure("probability tensor contains either `inf`, `nan` or element < 0", "RuntimeError")
    if rows > 1 and any(part in model for part in faults.lone_only):
        message = f"The size of tensor a ({rows}) must match the size of tensor b (1) at dimension 0"
        raise NodeFailure(message, "RuntimeError")
    if faults.oom_above is None or rows <= faults.oom_above:
        return
    if not faults.oom_models or any(part in model for part in faults.oom_models):
        kind, message = LACKS_OF_MEMORY[faults.oom_words]
        raise NodeFailure(message, kind)


def _check_refused(faults: Faults, graph: Graph, node_id: str, name: str) -> None:
    waiting, seen = [node_id], {node_id}
    while waiting:
        node = graph[waiting.pop()]
        found = {node["class_type"], node["inputs"].get("sampler_name")} & set(faults.refused)
        if found:
            why = f"{found.pop()} has not been shown to work on each picture by itself."
            raise refusal(graph[node_id]["class_type"], name, why)
        links = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
        waiting += [link for link in links if link not in seen]
        seen.update(links)


def _texts(inputs: Mapping[str, Any]) -> Iterator[str]:
    """The texts among a node's inputs, those of a batch one by one, without JSON's escapes."""
    for value in inputs.values():
        if not isinstance(value, str):
            continue
        yield value
        try:
            items = json.loads(value)
        except ValueError:
            continue
        if isinstance(items, list):
            yield from (item for item in items if isinstance(item, str))
