"""One prompt's run: the events its client hears, and what is written down about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from modules.demo.comfy_server.listeners import SocketHub
from modules.demo.comfy_server.prompt_queue import Prompt, RunRecord

# a sampler's progress is told at most every 0.1 s and 0.5 %, the first and the last step always
_THROTTLE_SECONDS, _THROTTLE_SHARE = 0.1, 0.005


class Interrupted(Exception):
    """Somebody asked for the end of this run."""


@dataclass(kw_only=True, slots=True)
class GpuSpan:
    """What one run took of the GPU, by the monotonic clock: from its first work (loading, sampling) to its
    last (decoding), and the sampler's share of that."""

    prompt_id: str
    start: float
    end: float
    sampling_start: float = 0.0
    sampling_end: float = 0.0
    rows: int = 0
    steps: int = 0
    model: str = ""
    loaded: bool = False


class Run:
    """Sends to the submitting client alone, in ComfyUI's shapes; without a client id to nobody, or to all if
    the event is for everybody."""

    def __init__(self, prompt: Prompt, hub: SocketHub, *, silent: bool) -> None:
        self.prompt = prompt
        self.record = RunRecord(prompt=prompt)
        self.interrupted = False
        self.current: str | None = None
        self.executed: list[str] = []
        self.span: GpuSpan | None = None
        self._hub = hub
        self._silent = silent
        self._states: dict[str, dict[str, Any]] = {}
        self._told: dict[str, tuple[float, int]] = {}

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """One event to the client."""
        if self.prompt.client_id is not None and not self._silent:
            await self._hub.send(event, data, self.prompt.client_id)

    async def note(self, event: str, data: dict[str, Any], *, everybody: bool = False) -> None:
        """One event to the client; the history keeps it too."""
        stamped = {**data, "prompt_id": self.prompt.id, "timestamp": int(time.time() * 1000)}
        self.record.messages.append((event, stamped))
        if everybody and self.prompt.client_id is None:
            await self._hub.send(event, stamped)
        else:
            await self.send(event, stamped)

    async def start_node(self, node_id: str) -> None:
        """The node begins."""
        self.current = node_id
        self._states[node_id] = self._state(node_id, 0.0, 1.0, "running")
        await self._send_states()
        await self.send("executing", {"node": node_id, "display_node": node_id, "prompt_id": self.prompt.id})

    async def finish_node(self, node_id: str, *, cached: bool = False) -> None:
        """The node has ended, or an output node was found in the cache."""
        most = self._states[node_id]["max"] if node_id in self._states else 1
        self._states[node_id] = self._state(node_id, most, most, "finished")
        await self._send_states()
        if not cached:
            self.executed.append(node_id)

    async def progress(
        self, node_id: str, value: int, most: int, image: tuple[bytes, str] | None = None
    ) -> None:
        """The node has done ``value`` of ``most``; ``image`` is a preview and its media type.

        Steps that follow one another fast are left out, as the real server does, unless they have a preview.
        """
        if image is None and self._too_soon(node_id, value, most):
            return
        self._told[node_id] = (time.monotonic(), value)
        self._states[node_id] = self._state(node_id, value, most, "running")
        await self._send_states()
        sid = None if self._silent else self.prompt.client_id
        # a preview with metadata goes before the step's progress, a plain one after it
        first = image is not None and sid is not None and self._hub.takes_metadata(sid)
        if image is not None and sid is not None and first:
            await self._hub.send_preview(*image, self._place(node_id), sid)
        data = {"value": value, "max": most, "prompt_id": self.prompt.id, "node": node_id}
        await self.send("progress", data)
        if image is not None and sid is not None and not first:
            await self._hub.send_image(*image, sid)

    async def output(self, node_id: str, ui: dict[str, Any]) -> None:
        """The node has something to show."""
        self.record.outputs[node_id] = ui
        self.record.meta[node_id] = {
            "node_id": node_id,
            "display_node": node_id,
            "parent_node": None,
            "real_node_id": node_id,
        }
        data = {"node": node_id, "display_node": node_id, "output": ui, "prompt_id": self.prompt.id}
        await self.send("executed", data)

    def gpu(self, start: float) -> GpuSpan:
        """The GPU worked from ``start`` until now."""
        now = time.monotonic()
        if self.span is None:
            self.span = GpuSpan(prompt_id=self.prompt.id, start=start, end=now)
        self.span.end = now
        return self.span

    def _place(self, node_id: str) -> dict[str, Any]:
        names = ("node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id")
        return {name: self._states[node_id][name] for name in names}

    def _too_soon(self, node_id: str, value: int, most: int) -> bool:
        if node_id not in self._told or value >= most:
            return False
        at, last = self._told[node_id]
        return time.monotonic() - at < _THROTTLE_SECONDS or (value - last) / most < _THROTTLE_SHARE

    async def _send_states(self) -> None:
        await self.send("progress_state", {"prompt_id": self.prompt.id, "nodes": dict(self._states)})

    def _state(self, node_id: str, value: float, most: float, state: str) -> dict[str, Any]:
        return {
            "value": value,
            "max": most,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.prompt.id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
