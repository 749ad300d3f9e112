"""The WebSocket's route: who connects, what they hear first, what they may say."""

from __future__ import annotations

import json
import uuid

from aiohttp import WSMsgType, web

from modules.demo.comfy_server.core import Route, ServerCore


class SocketRoute:
    """/ws."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[Route]:
        """The one."""
        return [
            ("GET", "/ws", self.socket),
        ]

    async def socket(self, request: web.Request) -> web.StreamResponse:
        hub, core = self._core.hub, self._core
        if core.bench.faults.no_socket:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        hub.add(sid, socket)
        try:
            await hub.send("status", {**core.status(), "sid": sid}, sid)
            if core.run is not None and core.run.prompt.client_id == sid and core.run.current is not None:
                await hub.send("executing", {"node": core.run.current}, sid)
            first = True
            async for message in socket:
                if message.type is WSMsgType.TEXT and first:
                    await self._first_message(sid, message.data)
                first = False
        finally:
            hub.remove(sid, socket)
        return socket

    async def _first_message(self, sid: str, text: str) -> None:
        try:
            data = json.loads(text)
        except ValueError:
            return
        if isinstance(data, dict) and data.get("type") == "feature_flags":
            await self._core.hub.negotiate(sid, data.get("data", {}))
