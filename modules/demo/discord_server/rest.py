"""The REST door: finds the route, checks token, limits and body, and puts answers into Discord's shape."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aiohttp import web
from aiohttp.multipart import parse_content_disposition

from modules.demo.discord_server.bodies.base import Body, read_body
from modules.demo.discord_server.buckets import OTHER, Limit
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.state.faults import Block
from modules.demo.discord_server.state.files import LARGEST_REQUEST, Upload
from modules.demo.discord_server.state.hub import Hub

log = logging.getLogger(__name__)

PREFIX = "/api/v10"
INVALID = (401, 403, 429)
"""10,000 such answers in ten minutes bring a ban of the address (Rate Limits, Invalid Request Limit)."""
_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>{about} | discord.com used Cloudflare to restrict access</title>"
    "</head><body><h1>Error {code}</h1><p>error code: {code}</p></body></html>\n"
)
BodyType = TypeVar("BodyType", bound=Body)


class BodyCheck(Protocol):
    """A second opinion on bodies: the fault in words, or None."""

    def fault(self, method: str, template: str, body: Any) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, already parsed."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    data: Any = None
    uploads: tuple[Upload, ...] = ()

    def id(self, name: str) -> int:
        """A path parameter as a snowflake, else 50035."""
        text = self.params[name]
        if not (text.isascii() and text.isdigit()):
            raise invalid_field(name, "NUMBER_TYPE_COERCE", f'Value "{text[:40]}" is not snowflake.')
        return int(text)

    def number(self, name: str, default: int) -> int:
        """A number of the query, else 50035."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise invalid_field(name, "NUMBER_TYPE_COERCE", f'Value "{text[:40]}" is not int.')
        return int(text)

    def body(self, model: type[BodyType]) -> BodyType:
        return read_body(model, self.data)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Status and JSON of an answer; `data` None is an empty 204."""

    data: Any = None
    status: int = 200


Handler = Callable[[Hub, Call], Reply]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method and path with its bucket. `is_interaction`: no token asked for, outside the global limit."""

    method: str
    template: str
    handler: Handler
    limit: Limit = OTHER
    is_interaction: bool = False

    def major(self, params: Mapping[str, str]) -> str:
        """The parameters that give each channel, guild or webhook a bucket of its own (Rate Limits, Header
        Format)."""
        names = ("channel_id", "guild_id", "webhook_id", "token")
        return ":".join(params[name] for name in names if name in params)


class RestDoor:
    """Answers everything under /api/v10. A route that is not known is a violation, never a silent 200."""

    def __init__(self, hub: Hub, routes: list[Route], body_check: BodyCheck | None) -> None:
        self._hub = hub
        self._check = body_check
        self._routes: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            segments = tuple(route.template.strip("/").split("/"))
            self._routes.setdefault((route.method, len(segments)), []).append((segments, route))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request.method, request.path.removeprefix(PREFIX))
        counters = self._hub.counters
        counters["rest"] += 1
        if found is None:
            self._violated(f"unknown route: {request.method} {request.path}")
            await request.read()
            return _respond(404, {"message": "404: Not Found", "code": 0}, {})
        route, params = found
        counters[f"rest {route.method} {route.template}"] += 1
        headers: dict[str, str] = {}
        try:
            status, data = await self._serve(request, route, params, headers)
        except Refusal as refusal:
            status, data = refusal.status, refusal.body()
            headers.update(refusal.headers)
            counters[f"code {refusal.code}"] += 1
            if refusal.retry_after is not None:
                headers["Retry-After"] = f"{refusal.retry_after:.3f}"
        except Exception as error:
            self._violated(f"{route.method} {route.template}: failed with {error!r}")
            raise
        if status == 429:
            counters["429"] += 1
        if status in INVALID:
            counters["invalid requests"] += 1
        return _respond(status, data, headers)

    async def _serve(
        self, request: web.Request, route: Route, params: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, Any]:
        hub = self._hub
        if hub.faults.delay:
            await asyncio.sleep(hub.faults.delay)
        if hub.faults.hanging_up and request.transport is not None:
            request.transport.close()
        if hub.faults.refusing or hub.faults.hanging_up:
            await request.read()
            return 503, {"message": "Service Unavailable", "code": 0}
        if hub.faults.blocked is not None:
            await request.read()
            return _blocked(*hub.faults.blocked, headers)
        if not route.is_interaction and request.headers.get("Authorization") != f"Bot {hub.bot_spec.token}":
            raise Refusal(0)
        body, uploads = await _read(request)
        verdict = hub.limits.ask(
            f"{route.method} {route.template}",
            route.major(params),
            route.limit,
            counts_globally=not route.is_interaction,
        )
        headers.update(verdict.headers)
        if verdict.retry_after is not None:
            return 429, _too_fast(verdict.retry_after, verdict.is_global, headers)
        self._second_opinion(route, body)
        reply = route.handler(
            hub, Call(params=params, query=request.query, data=body, uploads=tuple(uploads))
        )
        if hub.faults.take_lost_answer(route.method, route.template):
            if hub.faults.cuts and request.transport is not None:
                request.transport.close()
            return 502, {"message": "Bad Gateway", "code": 0}
        return reply.status if reply.data is not None else 204, reply.data

    def _violated(self, what: str) -> None:
        self._hub.violations.append(what)
        log.warning("The real Discord would not accept this: %s", what)

    def _second_opinion(self, route: Route, body: Any) -> None:
        fault = None
        if self._check is not None and body is not None:
            fault = self._check.fault(route.method, route.template, body)
        if fault is not None:
            self._violated(f"{route.method} {route.template}: {fault}")
            raise invalid_field("_openapi", "OPENAPI", fault)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        parts = path.strip("/").split("/")
        for segments, route in self._routes.get((method, len(parts)), ()):
            params: dict[str, str] = {}
            for segment, part in zip(segments, parts, strict=True):
                if segment.startswith("{"):
                    params[segment[1:-1]] = part
                elif segment != part:
                    break
            else:
                return route, params
        return None


def _too_fast(retry_after: float, is_global: bool, headers: dict[str, str]) -> dict[str, Any]:
    headers["Retry-After"] = f"{retry_after:.3f}"
    return {"message": "You are being rate limited.", "retry_after": retry_after, "global": is_global}


def _blocked(how: Block, seconds: float, headers: dict[str, str]) -> tuple[int, Any]:
    """The answer to a blocked address: from Discord in JSON, from Cloudflare in front of it as a page.

    Discord docs, Rate Limits, Global Rate Limit and Invalid Request Limit; the pages as bots report them
    (Rapptz/discord.py #6027, discord/discord-api-docs #1771).
    """
    if how == "global":
        headers.update({"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"})
        return 429, _too_fast(seconds, True, headers)
    if how == "denied":
        return 403, _PAGE.format(code="1020", about="Access denied")
    headers["Retry-After"] = str(math.ceil(seconds))
    return 429, _PAGE.format(code="1015", about="You are being rate limited")


def _respond(status: int, data: Any, headers: Mapping[str, str]) -> web.Response:
    """discord.py reads JSON only under exactly `application/json`, and a 429 only with `Via`, which
    Cloudflare's pages do not have."""
    if isinstance(data, str):
        return web.Response(status=status, text=data, content_type="text/html", headers=headers)
    common = {"Via": "1.1 embedded-discord", **headers}
    if data is None:
        return web.Response(status=status, headers=common)
    text = json.dumps(data).encode()
    return web.Response(status=status, body=text, content_type="application/json", headers=common)


async def _read(request: web.Request) -> tuple[Any, list[Upload]]:
    """The JSON body and the files; 40005 for more than 25 MiB, 50109 for broken JSON."""
    if (request.content_length or 0) > LARGEST_REQUEST:
        await _drain(request)
        raise Refusal(40005)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(40005) from None
    if not raw:
        return None, []
    kind = request.headers.get("Content-Type", "")
    try:
        if kind.startswith("multipart/form-data"):
            return _read_multipart(raw, kind)
        return json.loads(raw), []
    except ValueError:
        raise Refusal(50109) from None


async def _drain(request: web.Request) -> None:
    """Read a body that is refused, so that the client can read the answer."""
    async for _ in request.content.iter_any():
        pass


def _read_multipart(raw: bytes, content_type: str) -> tuple[Any, list[Upload]]:
    """`payload_json` and `files[n]` (Discord docs, Reference, Uploading Files), cut at the boundary."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if found is None:
        raise ValueError("no boundary")
    data: Any = None
    uploads: list[Upload] = []
    for part in (b"\r\n" + raw).split(b"\r\n--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        disposition = {key.lower(): value for key, value in headers.items()}.get("content-disposition", "")
        _, fields = parse_content_disposition(disposition)
        name = fields.get("name", "")
        if name == "payload_json":
            data = json.loads(content)
        elif re.fullmatch(r"files\[\d+\]", name):
            filename = fields.get("filename") or fields.get("filename*") or "unknown"
            uploads.append(Upload(index=int(name[6:-1]), filename=filename, data=content))
        else:
            raise ValueError(f"unknown part {name}")
    return data, uploads
