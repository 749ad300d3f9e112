"""Steering a server that runs as its own process: what it counted, and its faults, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from modules.demo.discord_server.server import DiscordServer


class Control:
    """`GET /control` tells counters, violations and latencies; `POST /control` does one thing:

    `{"do": "advance" | "refuse" | "slow" | "lose_answers" | "drop_gateway" | "reset_counters", …}`.
    """

    def __init__(self, server: DiscordServer) -> None:
        self._server = server

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/control", self._tell)
        app.router.add_post("/control", self._do)

    async def _tell(self, _request: web.Request) -> web.StreamResponse:
        server = self._server
        return web.json_response(
            {
                "counters": dict(server.counters),
                "gateway": dict(server.gateway.counters),
                "violations": server.violations,
                "acknowledge_seconds": server.acknowledge_seconds,
                "guilds": [str(guild) for guild in server.hub.guilds],
                "users": [str(user) for user in server.hub.users],
                "hashes": server.hub.files.hashes(),
            }
        )

    async def _do(self, request: web.Request) -> web.StreamResponse:
        frame: Mapping[str, Any] = await request.json()
        server, what = self._server, frame.get("do")
        if what == "drop_gateway":
            await server.gateway.drop(resumable=bool(frame.get("resumable", True)))
            return web.json_response({"done": what})
        deeds: dict[str, Callable[[], object]] = {
            "advance": lambda: server.advance(float(frame["seconds"])),
            "refuse": lambda: server.faults.refuse(float(frame["seconds"])),
            "slow": lambda: server.faults.slow(float(frame["delay"]), float(frame["seconds"])),
            "lose_answers": lambda: server.faults.lose_answers(int(frame.get("times", 1))),
            "reset_counters": self._reset,
        }
        if what not in deeds:
            raise web.HTTPBadRequest(text=f"Unknown: {what}")
        deeds[what]()
        return web.json_response({"done": what})

    def _reset(self) -> None:
        self._server.counters.clear()
        self._server.hub.acknowledge_seconds.clear()
