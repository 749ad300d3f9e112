"""One ComfyUI server's routes: bounded in size and time, its key to it alone, its errors made ours."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from modules.ai import pack
from modules.ai.comfy_errors import ServerSilent, foreign_errors, refusal, short
from modules.ai.graph import JSON
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineUnauthorized,
    EngineUnavailable,
    NoOutput,
    WorkflowRejected,
)

logger = logging.getLogger(__name__)

State = Literal["pending", "running", "finished", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """A file on the server, as ``/view`` asks for it and node outputs name it."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptState:
    """Where a prompt stands. ``graph`` is what the server keeps of it, ``outputs`` and ``status`` what the
    history says; all of them as they came: to be mistrusted."""

    state: State
    graph: JSON = None
    outputs: JSON = None
    status: JSON = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long (seconds) and how large (bytes) an answer may be."""

    connect: float = 5.0
    answer: float = 12.0
    submit: float = 30.0
    upload: float = 60.0
    picture: float = 90.0
    json_bytes: int = 4 * 2**20
    history_bytes: int = 32 * 2**20
    picture_bytes: int = 96 * 2**20


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    def json(self) -> JSON:
        return json.loads(self.body)


_LARGE_JSON = 128 * 1024


class ComfyClient:
    """Speaks with the server at ``url`` over a shared session, which must not store cookies.

    ``api_key`` with a colon is sent as HTTP Basic, else as Bearer. Raises ValueError for a URL that is
    none. Every method raises `EngineUnavailable` (or a child) when the server is not to be had.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        url: str,
        api_key: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._session = session
        self._base, key_in_url = split_url(url)
        self._limits = limits or Limits()
        self.headers = {
            "ngrok-skip-browser-warning": "1",
            "User-Agent": "FuLLet",
            "Accept-Encoding": "identity",  # nothing is unpacked, so nothing can swell
            **authorization(api_key or key_in_url),
        }

    @property
    def name(self) -> str:
        """Host, port and path, without credentials."""
        port = "" if self._base.is_default_port() else f":{self._base.explicit_port}"
        host = f"[{self._base.host}]" if ":" in (self._base.host or "") else self._base.host
        return f"{host}{port}{self._base.path.rstrip('/')}"

    @property
    def key_in_the_open(self) -> bool:
        """Whether a key travels without TLS."""
        return "Authorization" in self.headers and self._base.scheme == "http"

    @property
    def private(self) -> bool:
        """Whether the server is on this machine or in a private network, as far as its name tells."""
        host = self._base.host or ""
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))

    def address(self, path: str) -> URL:
        """The full address of one of ComfyUI's routes."""
        return URL(str(self._base).rstrip("/") + path, encoded=True)

    # ── prompts ─────────────────────────────────────────────────────────────────────────────────

    async def submit(
        self,
        graph: Mapping[str, JSON],
        *,
        prompt_id: str,
        client_id: str,
        titles: Mapping[str, str] | None = None,
        extra: Mapping[str, JSON] | None = None,
    ) -> None:
        """Queue a graph under our own id. Raises `WorkflowRejected`, or `ServerSilent` if it may be queued.

        The same id twice is run twice: the server does not look. ComfyUI answers 200 also when one of
        several outputs is invalid; ours have one output, so any fault is a refusal.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": dict(extra or {}),
        }
        answer = await self._ask("POST", "/prompt", seconds=self._limits.submit, body=body, accept=(200, 400))
        told = await self._json(answer)
        faulty = isinstance(told, dict) and told.get("node_errors")
        if answer.status == 400 or faulty:
            error = refusal(told, titles or {})
            if answer.status == 200:
                await self.dequeue(prompt_id)
            raise error
        if not isinstance(told, dict) or told.get("prompt_id") != prompt_id:
            raise EngineUnavailable(f"{self.name} answered a prompt with something else than its id")

    async def look_up(self, prompt_id: str) -> PromptState:
        """Where a prompt stands: the history first, then the queue, then the history again, since a prompt
        may end between the two."""
        for last in (False, True):
            entry = await self._history(prompt_id)
            if entry is not None:
                return entry
            if not last:
                queued = await self._queued(prompt_id)
                if queued is not None:
                    return queued
        return PromptState(state="unknown")

    async def _history(self, prompt_id: str) -> PromptState | None:
        path, most = f"/history/{quote(prompt_id)}", self._limits.history_bytes
        told = await self._json(await self._ask("GET", path, most=most))
        if not isinstance(told, dict):
            raise EngineUnavailable(f"{self.name} answered {path[:9]} with something else than an object")
        entry = told.get(prompt_id)
        if not isinstance(entry, dict):
            return None
        return PromptState(
            state="finished",
            graph=_graph_of(entry.get("prompt")),
            outputs=entry.get("outputs"),
            status=entry.get("status"),
        )

    async def _queued(self, prompt_id: str) -> PromptState | None:
        told = await self._json(await self._ask("GET", "/queue", most=self._limits.history_bytes))
        if not isinstance(told, dict):
            raise EngineUnavailable(f"{self.name} answered /queue with something else than an object")
        names: tuple[tuple[str, State], ...] = (("queue_running", "running"), ("queue_pending", "pending"))
        for name, state in names:
            items = told.get(name)
            for item in items if isinstance(items, list) else ():
                if isinstance(item, list) and len(item) > 2 and item[1] == prompt_id:
                    return PromptState(state=state, graph=_graph_of(item))
        return None

    async def dequeue(self, prompt_id: str) -> None:
        """Take a waiting prompt out of the queue; one that runs goes on."""
        await self._ask("POST", "/queue", body={"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str) -> None:
        """Stop the prompt at its next step if it runs. Never without an id: that would stop anybody's."""
        await self._ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    # ── files ───────────────────────────────────────────────────────────────────────────────────

    async def upload(self, data: bytes, filename: str, folder: str) -> str:
        """Upload a picture and return the name under which graphs can load it (``folder/name``)."""
        form = aiohttp.FormData()
        form.add_field("image", data, filename=filename, content_type="application/octet-stream")
        form.add_field("subfolder", folder)
        form.add_field("type", "input")
        answer = await self._ask("POST", "/upload/image", seconds=self._limits.upload, form=form)
        told = await self._json(answer)
        name, sub = (told.get("name"), told.get("subfolder")) if isinstance(told, dict) else (None, None)
        if not isinstance(name, str) or not name or not isinstance(sub, str):
            raise EngineUnavailable(f"{self.name} took an upload and did not tell its name")
        return f"{sub}/{name}" if sub else name

    async def view(self, ref: ImageRef) -> bytes:
        """The bytes of a file. Raises `NoOutput` if it is not there."""
        query = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
        return await self._picture("/view", query)

    async def kept_picture(self, key: str) -> bytes:
        """The bytes of a picture that the node pack keeps. Raises `NoOutput` if it does not know the key."""
        return await self._picture(pack.PICTURE_ROUTE + quote(key), {})

    async def drop_picture(self, key: str) -> None:
        """Let the node pack forget a picture."""
        await self._ask("DELETE", pack.PICTURE_ROUTE + quote(key), accept=(200, 204, 404))

    async def _picture(self, path: str, query: Mapping[str, str]) -> bytes:
        answer = await self._ask(
            "GET", path, query=query, seconds=self._limits.picture, most=self._limits.picture_bytes,
            accept=(200, 400, 403, 404, 500, 503),
        )  # fmt: skip
        if answer.status == 503:
            raise ServerSilent(f"{self.name} is still encoding the picture")
        if answer.status != 200:
            raise NoOutput(f"the picture is not there (the server answered {answer.status})")
        return answer.body

    # ── inventory ───────────────────────────────────────────────────────────────────────────────

    async def system_stats(self) -> Mapping[str, JSON]:
        """Version, command line and devices."""
        return await self._object("/system_stats")

    async def object_info(self, class_type: str) -> Mapping[str, JSON] | None:
        """What the server says of one node class, None if it has none of this name."""
        told = await self._object(f"/object_info/{quote(class_type, safe='')}")
        entry = told.get(class_type)
        return entry if isinstance(entry, dict) else None

    async def models(self, folder: str) -> list[str]:
        """The model files in one of the server's folders (empty for a folder that it does not know)."""
        answer = await self._ask("GET", f"/models/{quote(folder, safe='')}", accept=(200, 404))
        told = await self._json(answer) if answer.status == 200 else []
        return [name for name in told if isinstance(name, str)] if isinstance(told, list) else []

    async def pack_version(self) -> str | None:
        """The version of the node pack, None if it is not there."""
        answer = await self._ask("GET", pack.VERSION_ROUTE, accept=(200, 404, 405))
        if answer.status != 200:
            return None
        told = await self._json(answer)
        version = told.get("version") if isinstance(told, dict) else None
        return short(version)[:40] if isinstance(version, str) else "unknown"

    async def _object(self, path: str) -> Mapping[str, JSON]:
        told = await self._json(await self._ask("GET", path))
        if not isinstance(told, dict):
            raise EngineUnavailable(f"{self.name} answered {path} with something else than an object")
        return told

    # ── the wire ────────────────────────────────────────────────────────────────────────────────

    async def open_socket(self, client_id: str) -> aiohttp.ClientWebSocketResponse[bool]:
        """A socket that hears of the prompts submitted under ``client_id``."""
        scheme = "wss" if self._base.scheme == "https" else "ws"
        address = self.address("/ws").with_scheme(scheme).with_query(clientId=client_id)
        with foreign_errors(self.name):
            async with timeout(self._limits.connect):
                return await self._session.ws_connect(
                    address,
                    headers=self.headers,
                    heartbeat=20.0,
                    max_msg_size=8 * 2**20,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )

    async def _ask(
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
    ) -> _Answer:
        limits = self._limits
        whole = aiohttp.ClientTimeout(total=seconds or limits.answer, sock_connect=limits.connect)
        data: Any = form if body is None else json.dumps(body).encode()
        headers = self.headers if body is None else {**self.headers, "Content-Type": "application/json"}
        address = self.address(path).with_query(query) if query else self.address(path)
        with foreign_errors(self.name):
            async with self._session.request(
                method, address, data=data, headers=headers, timeout=whole, allow_redirects=False
            ) as response:
                self._check_status(response, accept)
                return _Answer(response.status, await self._read(response, most or limits.json_bytes))

    def _check_status(self, response: aiohttp.ClientResponse, accept: tuple[int, ...]) -> None:
        status = response.status
        if status in accept:
            return
        if status in (401, 403):
            raise EngineUnauthorized(f"{self.name} wants another COMFY_API_KEY (it answered {status})")
        if 300 <= status < 400:
            target = URL(response.headers.get("Location", "")).with_query(None).with_user(None)
            raise EngineUnavailable(
                f"{self.name} sends us on to {short(str(target))}: put that in COMFY_URLS"
            )
        if status == 413:
            raise WorkflowRejected("the server takes no upload of this size")
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

    async def _json(self, answer: _Answer) -> JSON:
        try:
            if len(answer.body) > _LARGE_JSON:
                return await asyncio.to_thread(answer.json)
            return answer.json()
        except (ValueError, RecursionError) as error:
            start = answer.body[:200].lstrip().lower()
            what = "a web page" if start.startswith((b"<!doctype", b"<html")) else "something else than JSON"
            raise EngineUnavailable(
                f"{self.name} answered with {what}: is this the address of a ComfyUI?"
            ) from error


def split_url(url: str) -> tuple[URL, str | None]:
    """The base URL without slash, query and credentials, and the credentials. Raises ValueError."""
    text = url.strip().rstrip("/")
    parsed = URL(text if "://" in text else f"http://{text}")
    scheme = {"ws": "http", "wss": "https"}.get(parsed.scheme, parsed.scheme)
    if scheme not in ("http", "https") or not parsed.host:
        raise ValueError(
            f"{parsed.with_user(None).human_repr()!r} is no address such as http://127.0.0.1:8188"
        )
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


def _graph_of(item: JSON) -> JSON:
    # (number, prompt id, graph, extra data, outputs, …)
    return item[2] if isinstance(item, list) and len(item) > 2 else None
