"""What the server is and has: its node table, model files, memory and features."""

from __future__ import annotations

from aiohttp import web

from modules.demo.comfy_server.core import Route, ServerCore
from modules.demo.comfy_server.listeners import FEATURES
from modules.demo.comfy_server.routes.system_stats import system_stats


class InventoryRoutes:
    """/system_stats, /object_info, /features, /models, /embeddings."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[Route]:
        """All."""
        return [
            ("GET", "/system_stats", self.system_stats),
            ("GET", "/object_info", self.object_info),
            ("GET", "/object_info/{name}", self.object_info),
            ("GET", "/features", self.features),
            ("GET", "/models", self.folders),
            ("GET", "/models/{folder}", self.models),
            ("GET", "/embeddings", self.embeddings),
        ]

    async def system_stats(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(system_stats(self._core.profile))

    async def object_info(self, request: web.Request) -> web.StreamResponse:
        nodes = self._core.table.nodes
        if "LoadImage" in nodes:
            nodes["LoadImage"]["input"]["required"]["image"][0] = sorted(
                self._core.bench.files.names("input")
            )
        name = request.match_info.get("name")
        if name is None:
            return web.json_response(nodes)
        return web.json_response({name: nodes[name]} if name in nodes else {})

    async def features(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(FEATURES)

    async def folders(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(sorted(self._core.table.folders))

    async def models(self, request: web.Request) -> web.StreamResponse:
        files = self._core.table.folders.get(request.match_info["folder"])
        return web.Response(status=404) if files is None else web.json_response(files)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        return web.json_response([])
