"""Steering a server that runs as its own process: what it counted, and its faults, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from modules.demo.discord_server.state.hub import Hub


class Control:
    """`GET /control` returns counters, violations, latencies, guilds, users and file hashes; `POST /control`
    does one thing:

    `{"do": "advance" | "refuse" | "slow" | "lose_answers" | "drop_gateway" | "reset_counters", …}`.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/control", self._tell)
        app.router.add_post("/control", self._do)

    async def _tell(self, _request: web.Request) -> web.StreamResponse:
        hub = self._hub
        return web.json_response(
            {
                "counters": dict(hub.counters),
                "gateway": dict(hub.gateway.counters),
                "violations": hub.violations,
                "acknowledge_seconds": list(hub.acknowledge_seconds),
                "guilds": [str(guild) for guild in hub.guilds],
                "users": [str(user) for user in hub.users],
                "hashes": hub.files.hashes(),
            }
        )

    async def _do(self, request: web.Request) -> web.StreamResponse:
        frame: Mapping[str, Any] = await request.json()
        hub, what = self._hub, frame.get("do")
        if what == "drop_gateway":
            await hub.gateway.drop(resumable=bool(frame.get("resumable", True)))
            return web.json_response({"done": what})
        deeds: dict[str, Callable[[], object]] = {
            "advance": lambda: hub.clock.advance(float(frame["seconds"])),
            "refuse": lambda: hub.faults.refuse(float(frame["seconds"])),
            "slow": lambda: hub.faults.slow(float(frame["delay"]), float(frame["seconds"])),
            "lose_answers": lambda: hub.faults.lose_answers(int(frame.get("times", 1))),
            "reset_counters": self._reset,
        }
        if what not in deeds:
            raise web.HTTPBadRequest(text=f"Unknown: {what}")
        deeds[what]()
        return web.json_response({"done": what})

    def _reset(self) -> None:
        self._hub.counters.clear()
        self._hub.acknowledge_seconds.clear()
