"""The faults that lie in the answers: a middleware that spoils what the routes would have said."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import struct
import zlib
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.profile import ServerProfile

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROXY_PAGE = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    "<body><h1>502 Bad Gateway</h1></body></html>"
)
WARNING_PAGE = "<!DOCTYPE html><html><body><p>You are about to visit a tunnel. Continue?</p></body></html>"
_PICTURES = ("/view", "/fullet/pictures")


def guard(profile: ServerProfile) -> Middleware:
    """Asks for the key, and shows the tunnel's warning page to those who do not skip it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/demo/"):
            return await handler(request)
        if profile.ngrok and "ngrok-skip-browser-warning" not in request.headers:
            return web.Response(text=WARNING_PAGE, content_type="text/html")
        if profile.api_key is not None and not _authorized(request, profile.api_key):
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        return await handler(request)

    return middleware


def spoil(faults: Faults) -> Middleware:
    """Turns answers into what the faults say."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/demo/") or not faults.hits(request.path):
            return await handler(request)
        instead = await _instead(faults)
        if instead is not None:
            return instead
        response = await handler(request)
        if isinstance(response, web.Response):
            return await _spoiled(request, response, faults)
        return response

    return middleware


async def _instead(faults: Faults) -> web.Response | None:
    if faults.hang:
        while faults.hang:
            await faults.changed()
    if faults.html is not None:
        return web.Response(status=faults.html, text=PROXY_PAGE, content_type="text/html")
    if faults.unauthorized:
        return web.Response(status=401)
    if faults.status is not None:
        return web.Response(status=faults.status)
    return None


async def _spoiled(request: web.Request, response: web.Response, faults: Faults) -> web.StreamResponse:
    picture = any(part in request.path for part in _PICTURES) and request.method == "GET"
    if picture and response.status == 200:
        if faults.giant_png:
            return web.Response(body=giant_png(), content_type="image/png")
        if faults.garbage:
            return web.Response(body=b"\x89PNG but no more than that", content_type="image/png")
        if faults.cut_body or faults.endless_body:
            return await _ragged(request, response, endless=faults.endless_body)
    if faults.wrong_types and response.content_type == "application/json":
        body = json.loads(response.text or "null")
        return web.json_response(
            list(body) if isinstance(body, dict) else {"0": body}, status=response.status
        )
    if faults.slow_body is not None:
        return await _trickle(request, response, faults.slow_body)
    return response


async def _ragged(request: web.Request, response: web.Response, *, endless: bool) -> web.StreamResponse:
    """A body that ends before its length, or never."""
    body = bytes(response.body) if isinstance(response.body, bytes | bytearray) else b""
    stream = web.StreamResponse(headers={"Content-Type": response.content_type})
    if not endless:
        stream.content_length = len(body)
    await stream.prepare(request)
    await stream.write(body[: len(body) // 2])
    while endless:
        await stream.write(bytes(65536))
        await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.abort()
    return stream


async def _trickle(request: web.Request, response: web.Response, seconds: float) -> web.StreamResponse:
    body = bytes(response.body) if isinstance(response.body, bytes | bytearray) else b""
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    stream.content_length = len(body)
    await stream.prepare(request)
    size = max(1, len(body) // 20)
    for start in range(0, len(body), size):
        await stream.write(body[start : start + size])
        await asyncio.sleep(seconds / 20)
    return stream


def giant_png(side: int = 30_000) -> bytes:
    """A small file that claims to be ``side`` pixels wide and high."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1024))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _authorized(request: web.Request, key: str) -> bool:
    basic = "Basic " + base64.b64encode(key.encode()).decode()
    wanted = basic if ":" in key else f"Bearer {key}"
    return hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode())
