"""Files: uploads, outputs, and the node pack's pictures under their keys."""

from __future__ import annotations

import asyncio
import io
import mimetypes

from aiohttp import web
from PIL import Image

from modules.demo.comfy_server.core import Route, ServerCore
from modules.demo.comfy_server.files import FOLDERS, OutsideFolder, inside
from modules.demo.comfy_server.routes.bodies import broken


class FileRoutes:
    """/upload/image and /view."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[Route]:
        """Both."""
        return [
            ("GET", "/view", self.view),
            ("POST", "/upload/image", self.upload),
        ]

    async def upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        image, kind = form.get("image"), str(form.get("type", "input"))
        if kind not in FOLDERS:
            raise broken()
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


class PackRoutes:
    """The node pack's own: /fullet/version and /fullet/pictures."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[Route]:
        """None on a server without the pack."""
        if self._core.profile.pack_version is None:
            return []
        return [
            ("GET", "/fullet/version", self.pack_version),
            ("GET", "/fullet/pictures/{key}", self.picture),
            ("DELETE", "/fullet/pictures/{key}", self.drop_picture),
        ]

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


def _unknown_picture() -> web.Response:
    return web.json_response({"error": "There is no picture under this key."}, status=404)


def _recoded(data: bytes, kind: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(buffer, kind.upper(), quality=quality)
    return buffer.getvalue()
