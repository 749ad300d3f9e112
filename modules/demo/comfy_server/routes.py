"""ComfyUI's routes, each also under /api."""

from __future__ import annotations

import asyncio
import io
import json
import mimetypes
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web
from PIL import Image

from modules.demo.comfy_server import job_views
from modules.demo.comfy_server.core import Refused, ServerCore
from modules.demo.comfy_server.files import FOLDERS, OutsideFolder, inside
from modules.demo.comfy_server.sockets import FEATURES
from modules.demo.comfy_server.system_stats import system_stats

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """Answers requests for one life of the server."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[web.RouteDef]:
        """All routes, those of the jobs under /api alone."""
        both: list[tuple[str, str, Handler]] = [
            ("GET", "/ws", self.socket),
            ("GET", "/prompt", self.queue_info),
            ("POST", "/prompt", self.submit),
            ("GET", "/queue", self.queue),
            ("POST", "/queue", self.change_queue),
            ("GET", "/history", self.history),
            ("POST", "/history", self.change_history),
            ("GET", "/history/{prompt_id}", self.history_of),
            ("POST", "/interrupt", self.interrupt),
            ("POST", "/free", self.free),
            ("GET", "/view", self.view),
            ("POST", "/upload/image", self.upload),
            ("GET", "/system_stats", self.system_stats),
            ("GET", "/object_info", self.object_info),
            ("GET", "/object_info/{name}", self.object_info),
            ("GET", "/features", self.features),
            ("GET", "/models", self.folders),
            ("GET", "/models/{folder}", self.models),
            ("GET", "/embeddings", self.embeddings),
        ]
        if self._core.profile.pack_version is not None:
            both += [
                ("GET", "/fullet/version", self.pack_version),
                ("GET", "/fullet/pictures/{key}", self.picture),
                ("DELETE", "/fullet/pictures/{key}", self.drop_picture),
            ]
        jobs: list[tuple[str, str, Handler]] = [
            ("GET", "/api/jobs", self.jobs),
            ("GET", "/api/jobs/{prompt_id}", self.job),
            ("POST", "/api/jobs/{prompt_id}/cancel", self.cancel_job),
        ]
        under_api = [(method, f"/api{path}", handler) for method, path, handler in both]
        return [web.route(*route) for route in (*both, *under_api, *jobs)]

    # ── sockets ─────────────────────────────────────────────────────────────────────────────────

    async def socket(self, request: web.Request) -> web.StreamResponse:
        hub, core = self._core.hub, self._core
        if core.bench.faults.no_socket:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        hub.add(sid, socket)
        try:
            await hub.send("status", {**core.status(), "sid": sid}, sid)
            if core.run is not None and core.run.prompt.client_id == sid and core.run.current is not None:
                await hub.send("executing", {"node": core.run.current}, sid)
            first = True
            async for message in socket:
                if message.type is WSMsgType.TEXT and first:
                    await self._first_message(sid, message.data)
                first = False
        finally:
            hub.remove(sid, socket)
        return socket

    async def _first_message(self, sid: str, text: str) -> None:
        try:
            data = json.loads(text)
        except ValueError:
            return
        if isinstance(data, dict) and data.get("type") == "feature_flags":
            await self._core.hub.negotiate(sid, data.get("data", {}))

    # ── prompts ─────────────────────────────────────────────────────────────────────────────────

    async def queue_info(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._core.status()["status"])

    async def submit(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        await asyncio.sleep(self._core.bench.timing.handover)
        try:
            return web.json_response(self._core.submit(body))
        except Refused as refused:
            return web.json_response(refused.body, status=400)
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            raise _broken() from error

    async def queue(self, request: web.Request) -> web.StreamResponse:
        queue = self._core.queue
        running = [] if queue.running is None else [queue.running.as_list()]
        pending = [prompt.as_list() for prompt in queue.pending()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def change_queue(self, request: web.Request) -> web.StreamResponse:
        body = await _object(request)
        if body.get("clear"):
            self._core.queue.clear()
        for prompt_id in body.get("delete", ()):
            self._core.queue.delete(prompt_id)
        return web.Response()

    async def history(self, request: web.Request) -> web.StreamResponse:
        entries = list(self._core.queue.history.items())
        most, offset = request.query.get("max_items"), int(request.query.get("offset", -1))
        if most is not None:
            start = len(entries) - int(most) if offset < 0 else offset
            entries = entries[max(0, start) :][: int(most)]
        elif offset > 0:
            entries = entries[offset:]
        return web.json_response({prompt_id: record.as_dict() for prompt_id, record in entries})

    async def history_of(self, request: web.Request) -> web.StreamResponse:
        prompt_id = request.match_info["prompt_id"]
        record = self._core.queue.history.get(prompt_id)
        return web.json_response({} if record is None else {prompt_id: record.as_dict()})

    async def change_history(self, request: web.Request) -> web.StreamResponse:
        body = await _object(request)
        if body.get("clear"):
            self._core.queue.history.clear()
        for prompt_id in body.get("delete", ()):
            self._core.queue.history.pop(prompt_id, None)
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
        except ValueError:
            body = {}
        self._core.interrupt(body.get("prompt_id"))
        return web.Response()

    async def free(self, request: web.Request) -> web.StreamResponse:
        body = await _object(request)
        if body.get("unload_models") or body.get("free_memory"):
            self._core.free()
        return web.Response()

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("status", ",".join(job_views.STATUSES)).split(",")
        limit = request.query.get("limit")
        if unknown := [status for status in wanted if status not in job_views.STATUSES]:
            valid = ", ".join(job_views.STATUSES)
            why = f"Invalid status value(s): {', '.join(unknown)}. Valid values: {valid}"
            return web.json_response({"error": why}, status=400)
        if limit is not None and not limit.isdigit():
            return web.json_response({"error": "limit must be an integer"}, status=400)
        offset = max(0, int(request.query.get("offset", 0)))
        page = job_views.listing(self._core.queue, set(wanted), offset, None if limit is None else int(limit))
        return web.json_response(page)

    async def job(self, request: web.Request) -> web.StreamResponse:
        found = job_views.detail(self._core.queue, request.match_info["prompt_id"])
        return (
            web.json_response({"error": "Job not found"}, status=404)
            if found is None
            else web.json_response(found)
        )

    async def cancel_job(self, request: web.Request) -> web.StreamResponse:
        prompt_id = request.match_info["prompt_id"]
        cancelled = self._core.queue.delete(prompt_id) or self._core.interrupt(prompt_id)
        return web.json_response({"cancelled": cancelled})

    # ── files ───────────────────────────────────────────────────────────────────────────────────

    async def upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        image, kind = form.get("image"), str(form.get("type", "input"))
        if kind not in FOLDERS:
            raise _broken()
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        subfolder = str(form.get("subfolder", ""))
        try:
            place = inside(subfolder)
        except OutsideFolder:
            return web.Response(status=400)
        overwrite = form.get("overwrite") in ("true", "1")
        name = self._core.bench.files.upload(
            kind, place, image.filename, image.file.read(), overwrite=overwrite
        )
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def view(self, request: web.Request) -> web.StreamResponse:
        name, kind = request.query.get("filename"), request.query.get("type", "output")
        if name is None:
            return web.Response(status=404)
        if not name or name.startswith("/") or ".." in name or kind not in FOLDERS:
            return web.Response(status=400)
        try:
            subfolder = inside(request.query.get("subfolder", ""))
        except OutsideFolder:
            return web.Response(status=403)
        data = self._core.bench.files.read(kind, subfolder, name)
        if data is None:
            return web.Response(status=404)
        await asyncio.sleep(self._core.bench.timing.fetch)
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if "preview" in request.query:
            kind, _, quality = request.query["preview"].partition(";")
            kind = kind if kind in ("webp", "jpeg") else "webp"
            data = await asyncio.to_thread(_recoded, data, kind, int(quality) if quality.isdigit() else 90)
            media_type = f"image/{kind}"
        headers = {"Content-Disposition": f'filename="{name}"'}
        return web.Response(body=data, content_type=media_type, headers=headers)

    async def pack_version(self, request: web.Request) -> web.StreamResponse:
        nodes = sorted(
            name for name, node in self._core.table.nodes.items() if "fullet" in node["python_module"]
        )
        return web.json_response({"version": self._core.profile.pack_version, "nodes": nodes})

    async def picture(self, request: web.Request) -> web.StreamResponse:
        try:
            found = await self._core.bench.shelf.get(request.match_info["key"])
        except TimeoutError:
            headers = {"Retry-After": "5"}
            return web.json_response({"error": "It is still being encoded."}, status=503, headers=headers)
        if found is None:
            return _unknown_picture()
        await asyncio.sleep(self._core.bench.timing.fetch)
        return web.Response(body=found[0], content_type=found[1], headers={"Cache-Control": "no-store"})

    async def drop_picture(self, request: web.Request) -> web.StreamResponse:
        dropped = self._core.bench.shelf.drop(request.match_info["key"])
        return web.Response(status=204) if dropped else _unknown_picture()

    # ── inventory ───────────────────────────────────────────────────────────────────────────────

    async def system_stats(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(system_stats(self._core.profile))

    async def object_info(self, request: web.Request) -> web.StreamResponse:
        nodes = self._core.table.nodes
        if "LoadImage" in nodes:
            nodes["LoadImage"]["input"]["required"]["image"][0] = sorted(
                self._core.bench.files.names("input")
            )
        name = request.match_info.get("name")
        if name is None:
            return web.json_response(nodes)
        return web.json_response({name: nodes[name]} if name in nodes else {})

    async def features(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(FEATURES)

    async def folders(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(sorted(self._core.table.folders))

    async def models(self, request: web.Request) -> web.StreamResponse:
        files = self._core.table.folders.get(request.match_info["folder"])
        return web.Response(status=404) if files is None else web.json_response(files)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        return web.json_response([])


def _unknown_picture() -> web.Response:
    return web.json_response({"error": "There is no picture under this key."}, status=404)


async def _json(request: web.Request) -> Any:
    """The body; what is not JSON gets the real server's plain answer."""
    try:
        return await request.json()
    except ValueError as error:
        raise _broken() from error


async def _object(request: web.Request) -> dict[str, Any]:
    body = await _json(request)
    if not isinstance(body, dict):
        raise _broken()
    return body


def _broken() -> web.HTTPInternalServerError:
    return web.HTTPInternalServerError(text="500 Internal Server Error\n\nServer got itself in trouble")


def _recoded(data: bytes, kind: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(buffer, kind.upper(), quality=quality)
    return buffer.getvalue()
