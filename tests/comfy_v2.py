"""What speaks Comfy API v2 here: the official proxy before an embedded ComfyUI, and a stand-in that differs
from it as Comfy Cloud and managed deployments do."""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from comfy_api_proxy.app import make_app
from comfy_api_proxy.auth import make_bearer_auth_middleware

from modules.demo.comfy_server import ComfyServer

SOON = "2099-01-01T00:00:00+00:00"


@asynccontextmanager
async def served(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """The address of an application."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        assert site._server is not None
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxy(
    server: ComfyServer, *, token: str | None = None, state: Path | None = None, port: int = 0
) -> AsyncIterator[str]:
    """The address of comfy-api-proxy, which nobody here wrote, before a server."""
    middlewares = [] if token is None else [make_bearer_auth_middleware(token)]
    async with served(make_app(server.url, state_dir=state, middlewares=middlewares), port) as url:
        yield url


@dataclass(kw_only=True, slots=True)
class _Job:
    id: str
    gpu: ComfyServer
    graph: dict[str, Any]
    metadata: dict[str, str]
    becomes: str | None = None


@dataclass(kw_only=True, eq=False)
class Platform:
    """Comfy Cloud; with ``keeps_labels``, a managed deployment. ``answers``: (status, code, headers) for the
    next requests for a run. ``lost``: how many of the next ones are accepted and never answered."""

    gpus: Sequence[ComfyServer]
    key: str = "cloud-key"
    keeps_labels: bool = False
    answers: deque[tuple[int, str, dict[str, str]]] = field(default_factory=deque)
    lost: int = 0
    jobs: dict[str, _Job] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    _keys: set[str] = field(default_factory=set)
    _assets: dict[str, str] = field(default_factory=dict)
    _storage: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Platform]:
        app, storage = web.Application(middlewares=[self._guard], client_max_size=2**26), web.Application()
        app.add_routes(
            [
                web.post("/api/v2/jobs", self._submit),
                web.get("/api/v2/jobs", self._list),
                web.get("/api/v2/jobs/{id}", self._get),
                web.get("/api/v2/jobs/{id}/events", self._events),
                web.post("/api/v2/jobs/{id}/cancel", self._cancel),
                web.post("/api/v2/assets", self._upload),
                web.get("/api/v2/assets/{id}/content", self._content),
            ]
        )
        storage.add_routes([web.get("/{gpu}/{folder}/{name}", self._stored)])
        async with aiohttp.ClientSession() as self._http, served(storage) as self._storage:  # noqa: SIM117
            async with served(app) as self.url:
                yield self

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "unauthorized")
        return await handler(request)  # type: ignore[no-any-return]

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        body, key = await request.json(), request.headers.get("Idempotency-Key", "")
        if self.answers:
            status, code, headers = self.answers.popleft()
            return _error(status, code, headers=headers)
        if "metadata" in body and not self.keeps_labels:
            return _error(422, "metadata_not_supported")
        if key in self._keys:
            return _error(422, "idempotency_key_reuse")
        graph = self._resolved(body["workflow"])
        gpu = min(self.gpus, key=lambda gpu: gpu.core.queue.remaining)
        job = _Job(id=str(uuid.uuid4()), gpu=gpu, graph=graph, metadata=body.get("metadata", {}))
        async with self._http.post(
            f"{gpu.url}/prompt", json={"prompt": graph, "prompt_id": job.id, "client_id": job.id}
        ) as answer:
            if answer.status != 200:
                faults = (await answer.json()).get("node_errors", {})
                reasons = {node: [{"field": "?", "reason": "invalid"}] for node in faults}
                return _error(422, "invalid_workflow", details={"node_errors": reasons})
        self._keys.add(key)
        self.jobs[job.id] = job
        if self.lost:
            self.lost -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(await self._told(job), status=201)

    def _resolved(self, part: Any) -> Any:
        if isinstance(part, dict) and part.get("__type") == "core/ASSET":
            return self._assets[part["info"]["id"]]
        if isinstance(part, dict):
            return {name: self._resolved(value) for name, value in part.items()}
        return [self._resolved(each) for each in part] if isinstance(part, list) else part

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if not self.keeps_labels:
            return _error(501, "not_implemented")
        wanted = {k[9:-1]: v for k, v in request.query.items() if k.startswith("metadata[")}
        found = [job for job in self.jobs.values() if wanted.items() <= job.metadata.items()]
        items = [{"id": job.id, "status": "running", "metadata": job.metadata} for job in reversed(found)]
        return web.json_response({"jobs": items, "next_cursor": None})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs.get(request.match_info["id"])
        return _error(404, "not_found") if job is None else web.json_response(await self._told(job))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs[request.match_info["id"]]
        async with self._http.post(f"{job.gpu.url}/api/jobs/{job.id}/cancel"):
            pass
        told = await self._told(job)
        if told["status"] == "expired":  # it left the queue
            job.becomes = told["status"] = "canceled"
        return web.json_response(told)

    async def _told(self, job: _Job) -> dict[str, Any]:
        queue = job.gpu.core.queue
        record = queue.history.get(job.id)
        outputs: list[dict[str, Any]] = []
        error = None
        if job.becomes is not None:
            status = job.becomes
        elif record is not None:
            entry = json.loads(json.dumps(record.as_dict()))
            status, outputs, error = self._ended(job, entry)
        elif queue.running is not None and queue.running.id == job.id:
            status = "running"
        else:
            status = "queued" if any(p.id == job.id for p in queue.pending()) else "expired"
        return {
            "id": job.id, "status": status, "created_at": SOON, "started_at": None, "completed_at": None,
            "expires_at": SOON, "queue_position": None, "progress": None, "outputs": outputs, "error": error,
            "metadata": job.metadata,
            "urls": {"self": f"/api/v2/jobs/{job.id}", "events": "/e", "cancel": "/c"},
        }  # fmt: skip

    def _ended(self, job: _Job, entry: dict[str, Any]) -> tuple[str, list[dict[str, Any]], Any]:
        said = dict(entry["status"]["messages"])
        if "execution_interrupted" in said:
            return "canceled", [], None
        if "execution_error" in said:
            data = said["execution_error"]
            error = {"code": "node_execution_error", "message": data["exception_message"],
                     "node_id": data["node_id"], "class_type": data["node_type"]}  # fmt: skip
            return "failed", [], error
        number = self.gpus.index(job.gpu)
        outputs = [
            {
                "node_id": node, "name": image["filename"], "type": "image", "content_type": "image/png",
                "size_bytes": 0, "id": f"{number}~{image['subfolder']}~{image['filename']}", "hash": None,
                "url": f"{self.url}/x", "url_expires_at": SOON,
            }
            for node, output in entry["outputs"].items()
            for image in output["images"]
        ]  # fmt: skip
        return "succeeded", outputs, None

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return _error(501, "not_implemented")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        data = file.file.read()
        for gpu in self.gpus:
            body = aiohttp.FormData()
            body.add_field("image", data, filename=str(form["file_path"]))
            async with self._http.post(f"{gpu.url}/upload/image", data=body) as answer:
                name = (await answer.json())["name"]
        asset = str(uuid.uuid4())
        self._assets[asset] = name
        told = {"id": asset, "hash": None, "size_bytes": len(data), "content_type": "image/png",
                "created_at": SOON, "url": f"{self.url}/x", "url_expires_at": SOON}  # fmt: skip
        return web.json_response(told, status=201)

    async def _content(self, request: web.Request) -> web.StreamResponse:
        gpu, folder, name = request.match_info["id"].split("~")
        raise web.HTTPFound(f"{self._storage}/{gpu}/{folder}/{name}?X-Goog-Expires=60")

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.Response(status=400, text="a key came to the storage")
        info = request.match_info
        query = {"filename": info["name"], "subfolder": info["folder"], "type": "output"}
        async with self._http.get(f"{self.gpus[int(info['gpu'])].url}/view", params=query) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="image/png")


def _error(
    status: int, code: str, *, headers: dict[str, str] | None = None, details: Any = None
) -> web.Response:
    error = {"code": code, "message": f"said by the server: {code}", "details": details}
    return web.json_response({"error": error}, status=status, headers=headers)
