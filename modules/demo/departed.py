"""A client that leaves while it is being answered."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler


@web.middleware
async def client_may_leave(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A client that has left is no fault of the server, but aiohttp would log it as one, with a traceback."""
    try:
        return await handler(request)
    except ConnectionResetError:
        return web.Response()  # nobody hears it
