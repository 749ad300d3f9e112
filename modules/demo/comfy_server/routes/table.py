"""All of ComfyUI's routes that the embedded server has, each also under /api."""

from __future__ import annotations

from aiohttp import web

from modules.demo.comfy_server.core import ServerCore
from modules.demo.comfy_server.routes.files import FileRoutes, PackRoutes
from modules.demo.comfy_server.routes.inventory import InventoryRoutes
from modules.demo.comfy_server.routes.prompts import PromptRoutes
from modules.demo.comfy_server.routes.socket import SocketRoute


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
