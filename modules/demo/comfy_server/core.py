"""One life of the server's process: its queue, sockets and worker. A restart makes a new one."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from modules.demo.comfy_server.listeners import SocketHub
from modules.demo.comfy_server.nodes.execution import Executor
from modules.demo.comfy_server.nodes.node_table import NodeTable
from modules.demo.comfy_server.nodes.picture_nodes import check_inputs
from modules.demo.comfy_server.nodes.validation import Problem, problem, validate
from modules.demo.comfy_server.nodes.workbench import Workbench
from modules.demo.comfy_server.profile import ServerProfile
from modules.demo.comfy_server.prompt_queue import Prompt, PromptQueue
from modules.demo.comfy_server.run import Run

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]
"""Method, path and what answers."""


class Refused(Exception):
    """A prompt that is not taken: ``error`` and ``node_errors`` as the answer's body has them."""

    def __init__(self, error: Problem, node_errors: dict[str, Any] | None = None) -> None:
        super().__init__(error["message"])
        self.body = {"error": error, "node_errors": node_errors or {}}


class ServerCore:
    """Takes prompts and runs them, one at a time. `run_forever` is its worker."""

    def __init__(self, profile: ServerProfile, bench: Workbench) -> None:
        self.profile = profile
        self.bench = bench
        self.hub = SocketHub(bench.faults)
        self.queue = PromptQueue(self._queue_changed)
        self.run: Run | None = None
        self._executor = Executor(bench, profile.cache_lru)
        self._numbers = itertools.count()
        self._table: tuple[object, NodeTable] | None = None
        self._statuses: asyncio.Queue[int] = asyncio.Queue()

    @property
    def table(self) -> NodeTable:
        """The node table as it is now, with the faults applied."""
        faults = self.bench.faults
        key = (faults.missing_models, faults.missing_nodes)
        if self._table is None or self._table[0] != key:
            self._table = (key, NodeTable(self.profile, faults.missing_models, faults.missing_nodes))
        return self._table[1]

    def submit(self, body: Any) -> dict[str, Any]:
        """POST /prompt. Raises `Refused`; for a malformed body, whichever exception it causes first."""
        number = self._number(body)
        if "prompt" not in body:
            raise Refused(problem("no_prompt", "No prompt provided", "No prompt provided"))
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        if not _canonical(prompt_id):
            details = (
                "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
                "omit it to let the server generate one"
            )
            raise Refused(problem("invalid_prompt_id", "prompt_id must be a valid UUID", details))
        graph = body["prompt"]
        verdict = validate(graph, self.table, lambda name, inputs: check_inputs(self.bench, name, inputs))
        if verdict.error is not None:
            raise Refused(verdict.error, verdict.node_errors)
        extra = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        extra["create_time"] = int(time.time() * 1000)
        self.queue.put(Prompt(number=number, id=prompt_id, graph=graph, extra=extra, outputs=verdict.outputs))
        return {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}

    def interrupt(self, prompt_id: str | None) -> bool:
        """End the running prompt at its next step; with an id only if it is that one."""
        if self.run is None or (prompt_id and self.run.prompt.id != prompt_id):
            return False
        self.run.interrupted = True
        return True

    def free(self) -> None:
        """Unload everything before the next prompt."""
        self._executor.forget()

    async def run_forever(self) -> None:
        """The worker: one prompt after another."""
        while True:
            prompt = await self.queue.get()
            await self._tell_statuses()
            self.run = Run(prompt, self.hub, silent=self.bench.faults.silent)
            await self._executor.run(self.run)
            await self._finish(self.run)

    async def tell_forever(self) -> None:
        """Tells every socket how many prompts remain, whenever that may have changed."""
        while True:
            remaining = await self._statuses.get()
            await self.hub.send("status", self._status(remaining))

    def status(self) -> dict[str, Any]:
        """What a ``status`` event carries."""
        return self._status(self.queue.remaining)

    async def _finish(self, run: Run) -> None:
        """The history is written after ``execution_success`` was sent, and before the last event."""
        if run.span is not None:
            self.bench.log.append(run.span)
        self.run = None
        self.queue.done(run.record, keep=not self.bench.faults.forget_history)
        await self._tell_statuses()
        await run.send("executing", {"node": None, "prompt_id": run.prompt.id})
        await asyncio.sleep(self.bench.timing.between)

    async def _tell_statuses(self) -> None:
        while not self._statuses.empty():
            await self.hub.send("status", self._status(self._statuses.get_nowait()))

    def _queue_changed(self) -> None:
        self._statuses.put_nowait(self.queue.remaining)

    def _number(self, body: Any) -> float:
        if "number" in body:
            return float(body["number"])
        number = next(self._numbers)
        return -number if body.get("front") else number

    @staticmethod
    def _status(remaining: int) -> dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": remaining}}}


def _canonical(prompt_id: str) -> bool:
    try:
        return str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False
