"""A client that leaves while it is answered."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler


@web.middleware
async def client_may_leave(request: web.Request, handler: Handler) -> web.StreamResponse:
    """That is no fault of the server: aiohttp would log it as one, with its traceback."""
    try:
        return await handler(request)
    except ConnectionResetError:
        return web.Response()  # nobody hears it
