"""Runs one prompt: its nodes in order, each from the cache or by its function, with every event."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from modules.demo.comfy_server.failure_texts import OUT_OF_MEMORY
from modules.demo.comfy_server.nodes.instant_nodes import INSTANT_NODES
from modules.demo.comfy_server.nodes.mishaps import check_node
from modules.demo.comfy_server.nodes.node_cache import NodeCache, Result, signatures
from modules.demo.comfy_server.nodes.node_table import declared_inputs
from modules.demo.comfy_server.nodes.pack_inputs import NodeFailure
from modules.demo.comfy_server.nodes.picture_nodes import LOADERS, PICTURE_NODES, annotated
from modules.demo.comfy_server.nodes.sampling import GPU_NODES
from modules.demo.comfy_server.nodes.workbench import Workbench
from modules.demo.comfy_server.prompt_queue import Graph
from modules.demo.comfy_server.run import Interrupted, Run

log = logging.getLogger(__name__)

_TIMED_NODES = {**GPU_NODES, **PICTURE_NODES}
_TIPS = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might "
    "have accidentally set the batch_size to a large number."
)
# these keep the GPU busy too, for a moment that does not count
_ON_THE_GPU = (
    "CLIPTextEncode",
    "TextEncodeQwenImageEdit",
    "TextEncodeQwenImageEditPlus",
    "VAEEncode",
    "VAEEncodeTiled",
)
# these see their own id, so that the cache tells two of them apart
_SEE_THEIR_ID = ("GetImageSize",)
# always run: what they made may be gone
_NEVER_CACHED = ("SaveImageBatch",)


class Executor:
    """Runs prompts one after another, with a cache between them."""

    def __init__(self, bench: Workbench, cache_size: int) -> None:
        self._bench = bench
        self._cache = NodeCache(cache_size)
        self._former_ui: dict[str, dict[str, Any]] = {}

    def forget(self) -> None:
        """Drop all results, as /free does."""
        self._cache.clear()

    async def run(self, run: Run) -> None:
        """Run to success, error or interruption, all of which are told and written into ``run.record``."""
        graph = run.prompt.graph
        await run.note("execution_start", {})
        signs = signatures(graph, self._fingerprint)
        self._cache.enter(signs)
        cached = [node_id for node_id in graph if self._cache.get(signs[node_id]) is not None]
        await run.note("execution_cached", {"nodes": cached})
        results: dict[str, Result] = {}
        for node_id in order(graph, run.prompt.outputs, set(cached)):
            run.current = node_id
            try:
                await self._node(run, node_id, signs[node_id], results)
            except Interrupted:
                await self._interrupted(run, node_id)
                return
            except NodeFailure as failure:
                await self._failed(run, node_id, failure)
                return
            except Exception as error:
                log.exception("node %s of %s raised", node_id, run.prompt.id)
                await self._failed(run, node_id, NodeFailure(str(error), type(error).__name__))
                return
        run.current = None
        await run.note("execution_success", {})

    async def _node(self, run: Run, node_id: str, sign: str, results: dict[str, Result]) -> None:
        node = run.prompt.graph[node_id]
        former = self._cache.get(sign)
        if former is not None:
            results[node_id] = former
            if node_id in run.prompt.outputs:
                if former.ui is not None:
                    await run.output(node_id, former.ui)
                await run.finish_node(node_id, cached=True)
            return
        if run.interrupted:
            raise Interrupted
        await run.start_node(node_id)
        declared = declared_inputs(node["class_type"])  # ComfyUI hands on no others
        inputs = {n: _resolve(value, results) for n, value in node["inputs"].items() if n in declared}
        check_node(self._bench.faults, run.prompt.graph, node_id, inputs, first=not run.executed)
        result = await self._call(run, node_id, node["class_type"], inputs)
        results[node_id] = result
        if node["class_type"] not in _NEVER_CACHED:
            self._cache.put(sign, result)
        if result.ui is not None:
            await run.output(node_id, self._shown(node["class_type"], result.ui))
        await run.finish_node(node_id)

    async def _call(self, run: Run, node_id: str, class_type: str, inputs: dict[str, Any]) -> Result:
        timed = _TIMED_NODES.get(class_type)
        if timed is not None:
            return await timed(self._bench, run, node_id, inputs)
        instant = INSTANT_NODES.get(class_type)
        if instant is None:
            raise NodeFailure(f"the embedded server does not run {class_type}", "NotImplementedError")
        start = time.monotonic()
        outputs = instant(inputs)
        if class_type in _ON_THE_GPU:
            run.gpu(start)
        return Result(outputs=outputs)

    async def _failed(self, run: Run, node_id: str, failure: NodeFailure) -> None:
        run.record.success = False
        node = run.prompt.graph[node_id]
        tips = _TIPS if failure.kind == OUT_OF_MEMORY else ""
        data = {
            "prompt_id": run.prompt.id,
            "node_id": node_id,
            "node_type": node["class_type"],
            "executed": list(run.executed),
            "exception_message": f"{failure}\n{tips}",
            "exception_type": failure.kind,
            "traceback": [f'  File "execution.py", in execute\n    {node["class_type"]}\n'],
            "current_inputs": _shown_inputs(run, node),
            "current_outputs": list(run.prompt.graph),
        }
        await run.note("execution_error", data)

    async def _interrupted(self, run: Run, node_id: str) -> None:
        run.record.success = False
        node_type = run.prompt.graph[node_id]["class_type"]
        data = {"node_id": node_id, "node_type": node_type, "executed": list(run.executed)}
        await run.note("execution_interrupted", {"prompt_id": run.prompt.id, **data}, everybody=True)

    def _shown(self, class_type: str, ui: dict[str, Any]) -> dict[str, Any]:
        """What the node shows, or, as a fault, what such a node showed before."""
        former = self._former_ui.get(class_type)
        self._former_ui[class_type] = ui
        return former if self._bench.faults.foreign_outputs and former is not None else ui

    def _fingerprint(self, node_id: str, node: Mapping[str, Any]) -> Any:
        if node["class_type"] in _SEE_THEIR_ID:
            return node_id
        name = node.get("inputs", {}).get("image")
        if node["class_type"] in LOADERS and isinstance(name, str):
            return _digest(self._bench.files.read(*annotated(name)))
        return None


def order(graph: Graph, outputs: tuple[str, ...], cached: set[str]) -> Iterator[str]:
    """The nodes that ``outputs`` need, sources first; nothing above a cached one."""
    waits: dict[str, set[str]] = {}
    open_nodes = list(outputs)
    while open_nodes:
        node_id = open_nodes.pop()
        if node_id not in waits:
            links = [] if node_id in cached else graph[node_id]["inputs"].values()
            waits[node_id] = {link[0] for link in links if isinstance(link, list)}
            open_nodes += waits[node_id]
    while waits:
        ready = [node_id for node_id, before in waits.items() if not before & waits.keys()]
        for node_id in ready:
            del waits[node_id]
        yield from ready


def _shown_inputs(run: Run, node: Mapping[str, Any]) -> dict[str, list[str]]:
    """A failed node's inputs as text; for nodes that write files they include the whole prompt."""
    shown = {name: [str(value)] for name, value in node["inputs"].items()}
    if node["class_type"] in ("SaveImage", "PreviewImage"):
        shown["prompt"] = [str(run.prompt.graph)]
    return shown


def _resolve(value: Any, results: Mapping[str, Result]) -> Any:
    return results[value[0]].outputs[value[1]] if isinstance(value, list) else value


def _digest(data: bytes | None) -> str:
    return hashlib.blake2b(data or b"", digest_size=16).hexdigest()
