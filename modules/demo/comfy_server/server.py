"""The embedded ComfyUI as a whole: started, stopped, killed and restarted on one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from types import TracebackType
from typing import Any

from aiohttp import web

from modules.demo.comfy_server.broken_answers import guard, spoil
from modules.demo.comfy_server.core import ServerCore
from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.profile import ServerProfile, Timing
from modules.demo.comfy_server.routes import Routes
from modules.demo.comfy_server.run import GpuSpan
from modules.demo.comfy_server.values import Painting
from modules.demo.comfy_server.workbench import Drawing, Workbench

log = logging.getLogger(__name__)


class ComfyServer:
    """An async context manager; several may live in one process.

    ``port`` 0 takes a free one, which is kept over `stop`, `kill` and `start`. Its folders and faults
    survive a restart; its queue, history, sockets, cache and the pack's pictures do not.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        profile: ServerProfile | None = None,
        timing: Timing | None = None,
        drawing: Drawing = "full",
        seed: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self.profile = profile or ServerProfile()
        self.faults = Faults()
        self.bench = Workbench(
            timing=timing or Timing(), faults=self.faults, seed=seed, drawing=drawing, crash=self._crash
        )
        self._core: ServerCore | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    @property
    def core(self) -> ServerCore:
        """Queue, history and sockets of the present life."""
        if self._core is None:
            raise RuntimeError("the server is not running")
        return self._core

    @property
    def sampler_log(self) -> list[GpuSpan]:
        """What each run took of the GPU, by the monotonic clock; kept over restarts."""
        return self.bench.log

    async def predraw(
        self, prompt: str, seed: int, size: tuple[int, int], kind: str = "png", quality: int = 90
    ) -> None:
        """Draw now what a run will be asked for, so that drawing costs nothing then."""
        await self.bench.predraw(Painting(prompt=prompt, seed=seed, size=size), kind, quality)

    async def start(self) -> None:
        """Listen, with an empty queue and history."""
        self.bench.files.clear("temp")
        self.bench.shelf.clear()
        core = ServerCore(self.profile, self.bench)
        app = web.Application(
            middlewares=[spoil(self.faults), guard(self.profile)], client_max_size=104857600
        )
        app.add_routes(Routes(core).table())
        app.add_routes(self._own_routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        self._core, self._runner = core, runner
        self._tasks = [asyncio.create_task(core.run_forever()), asyncio.create_task(core.tell_forever())]

    async def stop(self) -> None:
        """Close everything in good order."""
        if self._core is not None:
            await self._core.hub.close_all()
        await self._end()

    async def kill(self) -> None:
        """End as a killed process does: sockets are reset, running and waiting prompts are gone."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()  # first, so that nobody who comes back at once is let in
            for connection in [] if self._runner.server is None else self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        await self._end()

    async def restart(self, after: float = 0.0) -> None:
        """Killed, and ``after`` seconds later up again on the same port."""
        await self.kill()
        await asyncio.sleep(after)
        await self.start()

    async def drop_sockets(self) -> None:
        """Close every WebSocket; new ones are welcome unless the fault ``no_socket`` is on."""
        await self.core.hub.close_all()

    async def set_faults(self, **changes: Any) -> None:
        """Turn faults by name (see `Faults`); ``no_socket`` closes the open sockets too."""
        self.faults.set(**changes)
        if self._core is not None:
            self._core.hub.wrong_types = self.faults.wrong_types
            if self.faults.no_socket:
                await self._core.hub.close_all()

    async def __aenter__(self) -> ComfyServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for change in list(self._changes):
            change.cancel()
        await self.stop()

    async def _end(self) -> None:
        runner, self._runner, self._core = self._runner, None, None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.bench.shelf.clear()
        if runner is not None:
            await runner.cleanup()

    def _crash(self) -> None:
        """Called from within the worker, which must not wait for its own end."""
        self._later(self._die(self.faults.back_after))
        raise asyncio.CancelledError

    async def _die(self, back_after: float | None) -> None:
        await self.kill()
        if back_after is not None:
            await asyncio.sleep(back_after)
            await self.start()

    def _later(self, change: Any) -> None:
        task = asyncio.ensure_future(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    # ── routes of its own, for other processes ──────────────────────────────────────────────────

    def _own_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/demo/log", self._get_log),
            web.get("/demo/faults", self._get_faults),
            web.post("/demo/faults", self._post_faults),
            web.post("/demo/kill", self._post_kill),
            web.post("/demo/drop_sockets", self._post_drop_sockets),
            web.post("/demo/predraw", self._post_predraw),
        ]

    async def _get_log(self, request: web.Request) -> web.Response:
        spans = [dataclasses.asdict(span) for span in self.sampler_log]
        busy = sum(span["end"] - span["start"] for span in spans)
        sampling = sum(span["sampling_end"] - span["sampling_start"] for span in spans)
        sums = {"busy_seconds": busy, "sampling_seconds": sampling}
        return web.json_response({"now": time.monotonic(), "spans": spans, **sums})

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self.faults.as_dict())

    async def _post_faults(self, request: web.Request) -> web.Response:
        """A JSON object of switches; ``{"clear": true}`` turns all off first."""
        body = await request.json()
        if body.pop("clear", False):
            self.faults.clear()
        try:
            await self.set_faults(**body)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.as_dict())

    async def _post_kill(self, request: web.Request) -> web.Response:
        """``{"back_after": seconds}``: killed now, refusing connections until then (null: for good)."""
        body = await request.json()
        self._later(self._die(body.get("back_after")))
        return web.Response()

    async def _post_drop_sockets(self, request: web.Request) -> web.Response:
        await self.drop_sockets()
        return web.Response()

    async def _post_predraw(self, request: web.Request) -> web.Response:
        """``{"pictures": [[prompt, seed, width, height, kind, quality], …]}``."""
        body = await request.json()
        for prompt, seed, width, height, kind, quality in body["pictures"]:
            await self.predraw(prompt, seed, (width, height), kind, quality)
        return web.Response()
