"""The embedded ComfyUI as a whole: started, stopped, killed and restarted on one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from aiohttp import web

from modules.demo.comfy_server.core import ServerCore
from modules.demo.comfy_server.failure_texts import CURED_BY_RESTART
from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.nodes.workbench import Drawing, Workbench
from modules.demo.comfy_server.profile import ServerProfile, Timing
from modules.demo.comfy_server.routes.broken_answers import guard, spoil
from modules.demo.comfy_server.routes.demo import DemoRoutes
from modules.demo.comfy_server.routes.table import routes
from modules.demo.comfy_server.run import GpuSpan
from modules.demo.departed import client_may_leave


class ComfyServer:
    """An async context manager; several may live in one process.

    ``port`` 0 takes a free one, which is kept over `stop`, `kill` and `start`. Its input and output
    folders and its faults survive a restart (except the faults that a restart cures); its temp folder, queue,
    history, sockets, cache and the pack's pictures do not.
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

    async def start(self) -> None:
        """Listen, with an empty queue and history."""
        if self.faults.fail_with in CURED_BY_RESTART:
            self.faults.set(fail_at=())
        self.bench.files.clear("temp")
        self.bench.shelf.clear()
        self._core = core = ServerCore(self.profile, self.bench)
        self._tasks = [asyncio.create_task(core.run_forever()), asyncio.create_task(core.tell_forever())]
        await self.plug_in()

    async def plug_in(self) -> None:
        """Listen again after `unplug`."""
        app = web.Application(
            middlewares=[client_may_leave, spoil(self.faults), guard(self.profile)],
            client_max_size=104857600,
        )
        app.add_routes(routes(self.core))
        app.add_routes(DemoRoutes(self).table())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Close everything cleanly."""
        if self._core is not None:
            await self._core.hub.close_all()
        await self._end()

    async def kill(self) -> None:
        """End as a killed process does: sockets are reset, running and waiting prompts are gone."""
        await self._reset()
        await self._end()

    async def unplug(self) -> None:
        """Reset all connections and refuse new ones, while the work goes on: the network is gone."""
        await self._reset()
        await self._close_runner()

    async def restart(self, after: float = 0.0) -> None:
        """Killed, and ``after`` seconds later up again on the same port."""
        await self.die(after)

    async def drop_sockets(self) -> None:
        """Close every WebSocket; new ones are welcome unless the fault ``no_socket`` is on."""
        await self.core.hub.close_all()

    async def set_faults(self, **changes: Any) -> None:
        """Turn faults by name (see `Faults`); ``no_socket`` closes the open sockets too."""
        self.faults.set(**changes)
        if self._core is not None and self.faults.no_socket:
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

    async def _reset(self) -> None:
        if self._runner is None:
            return
        for site in list(self._runner.sites):
            await site.stop()  # first, so that nobody who comes back at once is let in
        for connection in [] if self._runner.server is None else self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _end(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._core = None
        self.bench.shelf.clear()
        await self._close_runner()

    async def _close_runner(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def later(self, change: Coroutine[Any, Any, None]) -> None:
        """Run a change in the background, so that the request or run that asked for it goes on."""
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def die(self, back_after: float | None) -> None:
        """Killed, and up again after ``back_after`` seconds (None: not at all)."""
        await self.kill()
        if back_after is not None:
            await asyncio.sleep(back_after)
            await self.start()

    def _crash(self) -> None:
        """Called from within the worker, which must not wait for its own end."""
        self.later(self.die(self.faults.back_after))
        raise asyncio.CancelledError
