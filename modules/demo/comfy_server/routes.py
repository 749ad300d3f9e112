"""All of ComfyUI's routes that the embedded server has, each also under /api."""

from __future__ import annotations

from aiohttp import web

from modules.demo.comfy_server.core import ServerCore
from modules.demo.comfy_server.file_routes import FileRoutes, PackRoutes
from modules.demo.comfy_server.inventory_routes import InventoryRoutes
from modules.demo.comfy_server.prompt_routes import PromptRoutes
from modules.demo.comfy_server.socket_route import SocketRoute


def routes(core: ServerCore) -> list[web.RouteDef]:
    """The routes for one life of the server."""
    prompts = PromptRoutes(core)
    both = [
        *SocketRoute(core).table(),
        *prompts.table(),
        *FileRoutes(core).table(),
        *PackRoutes(core).table(),
        *InventoryRoutes(core).table(),
    ]
    under_api = [(method, f"/api{path}", handler) for method, path, handler in both]
    return [web.route(*route) for route in (*both, *under_api, *prompts.jobs_table())]
