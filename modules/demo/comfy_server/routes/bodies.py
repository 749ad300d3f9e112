"""Reading JSON bodies as the real server does: what it cannot read gets the plain 500 of every error."""

from __future__ import annotations

from typing import Any

from aiohttp import web


async def json_body(request: web.Request) -> Any:
    """The body. Raises the answer to what is not JSON."""
    try:
        return await request.json()
    except ValueError as error:
        raise broken() from error


async def object_body(request: web.Request) -> dict[str, Any]:
    """The body, which must be a JSON object."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise broken()
    return body


def broken() -> web.HTTPInternalServerError:
    """What a client hears when a route has raised."""
    return web.HTTPInternalServerError(text="500 Internal Server Error\n\nServer got itself in trouble")
