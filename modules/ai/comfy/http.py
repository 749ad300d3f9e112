"""HTTP requests to one server: limited in size and time, with its key, raising our own errors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from modules.ai.comfy.errors import foreign_errors, short
from modules.ai.comfy.reachability import Reachability
from modules.ai.workflows.graph import JSON
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import EngineUnauthorized, EngineUnavailable, WorkflowRejected
from modules.utils.private_hosts import is_private


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long (seconds) and how large (bytes) an answer may be."""

    connect: float = 5.0
    answer: float = 12.0
    submit: float = 30.0
    upload: float = 60.0
    picture: float = 90.0
    json_bytes: int = 4 * 2**20
    history_bytes: int = 8 * 2**20
    picture_bytes: int = 96 * 2**20
    table: float = 60.0
    table_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """A status that was expected, and the whole body."""

    status: int
    body: bytes

    def parsed(self) -> JSON:
        """The body as JSON. Raises ValueError or RecursionError."""
        return json.loads(self.body)


_LARGE_JSON = 128 * 1024


class ComfyHttp:
    """See `ComfyClient` for the parameters."""

    def __init__(
        self, *, session: aiohttp.ClientSession, url: str, api_key: str | None, limits: Limits
    ) -> None:
        self._session = session
        self._base, key_in_url = split_url(url)
        host = self._base.host or ""
        port = "" if self._base.is_default_port() else f":{self._base.explicit_port}"
        self.name = f"{f'[{host}]' if ':' in host else host}{port}{self._base.path.rstrip('/')}"
        """Host, port and path, without credentials."""
        self.encrypted = self._base.scheme == "https"
        self.private = is_private(host)
        """Whether the server is on this machine or in a private network, as far as its name tells."""
        self.limits = limits
        self.reachability = Reachability(
            name=self.name, host=host, port=self._base.port or 80, limit=limits.connect
        )
        self.headers = {
            "ngrok-skip-browser-warning": "1",
            "User-Agent": "FuLLet",
            "Accept-Encoding": "identity",  # nothing to unpack, so no answer can grow
            **authorization(api_key or key_in_url),
        }
        self.has_key = "Authorization" in self.headers

    def address(self, path: str) -> URL:
        return URL(str(self._base).rstrip("/") + path, encoded=True)

    async def open_socket(self, client_id: str) -> aiohttp.ClientWebSocketResponse[bool]:
        """A socket that gets the events of the prompts submitted under ``client_id``."""
        scheme = "wss" if self.encrypted else "ws"
        address = self.address("/ws").with_scheme(scheme).with_query(clientId=client_id)
        with foreign_errors(self.name):
            async with timeout(self.limits.connect):
                return await self._session.ws_connect(
                    address,
                    headers=self.headers,
                    heartbeat=20.0,
                    max_msg_size=8 * 2**20,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JSON = None,
        form: aiohttp.FormData | None = None,
        seconds: float | None = None,
        most: int | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> Answer:
        """One request. Raises `WorkflowRejected` for 413, and `EngineUnavailable` for any other status not in
        ``accept``, for an answer that takes longer than ``seconds`` or is larger than ``most`` bytes, and as
        soon as no connection to the server can be made any more."""
        limits = self.limits
        whole = aiohttp.ClientTimeout(total=seconds or limits.answer, sock_connect=limits.connect)
        data: Any = form if body is None else json.dumps(body).encode()
        headers = self.headers if body is None else {**self.headers, "Content-Type": "application/json"}
        address = self.address(path).with_query(query) if query else self.address(path)

        async def answer() -> Answer:
            with foreign_errors(self.name):
                async with self._session.request(
                    method, address, data=data, headers=headers, timeout=whole, allow_redirects=False
                ) as response:
                    self._check_status(response, path, accept)
                    return Answer(response.status, await self._read(response, most or limits.json_bytes))

        return await self._while_reachable(answer())

    async def _while_reachable(self, request: Coroutine[None, None, Answer]) -> Answer:
        asking = asyncio.ensure_future(request)
        watching = asyncio.ensure_future(self.reachability.watch())
        try:
            await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else await watching
        finally:
            for task in (asking, watching):
                task.cancel()
            await asyncio.gather(asking, watching, return_exceptions=True)

    def _check_status(self, response: aiohttp.ClientResponse, path: str, accept: tuple[int, ...]) -> None:
        status, location = response.status, response.headers.get("Location", "")
        if status in accept:
            return
        if status in (401, 403):
            raise EngineUnauthorized(f"{self.name} needs the right COMFY_API_KEY (it answered {status})")
        if 300 <= status < 400 and location:
            target = short(str(response.url.join(URL(location)).with_query(None)).removesuffix(path))
            raise EngineUnavailable(
                f"{self.name} redirects to {target}: if ComfyUI is there, put its address in COMFY_URLS"
            )
        if status == 413:
            raise WorkflowRejected("the server does not accept an upload of this size")
        raise EngineUnavailable(f"{self.name} answered {status}")

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        if (response.content_length or 0) > most:
            raise EngineUnavailable(f"{self.name} answered with more than {most} bytes")
        parts, size = [], 0
        async for part in response.content.iter_chunked(65536):
            size += len(part)
            if size > most:
                response.close()
                raise EngineUnavailable(f"{self.name} answered with more than {most} bytes")
            parts.append(part)
        return b"".join(parts)

    async def json(self, answer: Answer) -> JSON:
        """The answer's body. Raises `EngineUnavailable` if it is not JSON."""
        try:
            if len(answer.body) > _LARGE_JSON:
                return await asyncio.to_thread(answer.parsed)
            return answer.parsed()
        except (ValueError, RecursionError) as error:
            start = answer.body[:200].lstrip().lower()
            what = "a web page" if start.startswith((b"<!doctype", b"<html")) else "something other than JSON"
            raise EngineUnavailable(
                f"{self.name} answered with {what}: is this the address of a ComfyUI?"
            ) from error


def split_url(url: str) -> tuple[URL, str | None]:
    """The base URL without slash, query and credentials, and the credentials. Raises ValueError."""
    text = url.strip()
    shown = text.rpartition("@")[2][:100]
    try:
        parsed = URL(text if "://" in text else f"http://{text}")
        scheme = {"ws": "http", "wss": "https"}.get(parsed.scheme, parsed.scheme)
    except ValueError as error:
        raise ValueError(f"{shown!r} is not an address such as http://127.0.0.1:8188") from error
    if scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{shown!r} is not an address such as http://127.0.0.1:8188")
    key = None if parsed.user is None else f"{parsed.user}:{parsed.password or ''}"
    bare = parsed.with_user(None).with_query(None).with_fragment(None)
    return URL(str(bare.with_scheme(scheme)).rstrip("/"), encoded=True), key


def authorization(key: str | None) -> dict[str, str]:
    """The header that carries a key: HTTP Basic if it has a colon, else Bearer; none without a key."""
    if not key:
        return {}
    if ":" in key:
        return {"Authorization": "Basic " + base64.b64encode(key.encode()).decode("ascii")}
    return {"Authorization": f"Bearer {key}"}
