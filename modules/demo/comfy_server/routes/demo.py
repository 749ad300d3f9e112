"""Routes that no real ComfyUI has, for benchmarks and tests in other processes: what the GPU did, and
what is to go wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from aiohttp import web

from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.run import GpuSpan


class Steered(Protocol):
    """The server as these routes see it; `ComfyServer` says what each method does."""

    faults: Faults

    @property
    def sampler_log(self) -> Sequence[GpuSpan]: ...

    async def set_faults(self, **changes: Any) -> None: ...

    async def die(self, back_after: float | None) -> None: ...

    async def unplug(self) -> None: ...

    async def plug_in(self) -> None: ...

    async def drop_sockets(self) -> None: ...

    def later(self, change: Coroutine[Any, Any, None]) -> None: ...


class DemoRoutes:
    """They answer no matter which faults are on, but not while the server is dead or unplugged."""

    def __init__(self, server: Steered) -> None:
        self._server = server

    def table(self) -> list[web.RouteDef]:
        """All under /demo."""
        return [
            web.get("/demo/log", self.log),
            web.get("/demo/faults", self.faults),
            web.post("/demo/faults", self.set_faults),
            web.post("/demo/kill", self.kill),
            web.post("/demo/unplug", self.unplug),
            web.post("/demo/drop_sockets", self.drop_sockets),
        ]

    async def log(self, request: web.Request) -> web.Response:
        """Every run's `GpuSpan`, their sums, and what the monotonic clock shows now."""
        spans = [dataclasses.asdict(span) for span in self._server.sampler_log]
        busy = sum(span["end"] - span["start"] for span in spans)
        sampling = sum(span["sampling_end"] - span["sampling_start"] for span in spans)
        sums = {"busy_seconds": busy, "sampling_seconds": sampling}
        return web.json_response({"now": time.monotonic(), "spans": spans, **sums})

    async def faults(self, request: web.Request) -> web.Response:
        """The switches as they stand."""
        return web.json_response(self._server.faults.as_dict())

    async def set_faults(self, request: web.Request) -> web.Response:
        """A JSON object of switches (see `Faults`); ``{"clear": true}`` turns all off first."""
        body = await request.json()
        if body.pop("clear", False):
            self._server.faults.clear()
        try:
            await self._server.set_faults(**body)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self.faults(request)

    async def kill(self, request: web.Request) -> web.Response:
        """``{"back_after": seconds}``: killed now, refusing connections until then (null: forever)."""
        self._server.later(self._server.die(await self._seconds(request)))
        return web.Response()

    async def unplug(self, request: web.Request) -> web.Response:
        """``{"back_after": seconds}``: unreachable until then, while the work goes on (null: forever)."""
        self._server.later(self._unplugged(await self._seconds(request)))
        return web.Response()

    async def drop_sockets(self, request: web.Request) -> web.Response:
        """Close every WebSocket."""
        await self._server.drop_sockets()
        return web.Response()

    async def _unplugged(self, back_after: float | None) -> None:
        await self._server.unplug()
        if back_after is not None:
            await asyncio.sleep(back_after)
            await self._server.plug_in()

    @staticmethod
    async def _seconds(request: web.Request) -> float | None:
        value = (await request.json()).get("back_after")
        return None if value is None else float(value)
