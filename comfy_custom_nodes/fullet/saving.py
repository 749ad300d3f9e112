# SPDX-License-Identifier: GPL-3.0-or-later
"""SaveImageBatch and the routes that serve its pictures: encoded in threads, without any metadata."""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import folder_paths
import torch
from aiohttp import web

from .inputs import Refused, is_key, keys_of, verdict
from .pixels import encode
from .store import PictureStore
from .version import VERSION

_NODE = "SaveImageBatch"
_CONTENT_TYPES = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
WAIT_SECONDS = 30.0


@lru_cache(maxsize=1)
def store() -> PictureStore:
    """The one store of this process, opened by the first picture."""
    return PictureStore(Path(folder_paths.get_temp_directory()) / "fullet")


class SaveImageBatch:
    """Takes the pictures of a batch away to be encoded; each can be fetched under its key."""

    DESCRIPTION = (
        f"FuLLet {VERSION}: serves each picture of a batch under a key of its own, without metadata."
    )
    CATEGORY = "FuLLet"
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE",),
                "keys": ("STRING", {"default": "[]", "multiline": True}),
                "format": (list(_CONTENT_TYPES),),
                "quality": ("INT", {"default": 90, "min": 1, "max": 100}),
                "preview_every": ("INT", {"default": 0, "min": 0, "max": 100}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, keys: str | None) -> bool | str:
        return verdict(keys_of, _NODE, keys)

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:
        return float("nan")  # a picture may have been pruned since the same prompt ran: save it again

    def save(
        self,
        images: torch.Tensor,
        keys: str,
        format: str,  # noqa: A002 - the name of the node's input
        quality: int,
        preview_every: int,
    ) -> dict[str, Any]:
        wanted = keys_of(_NODE, keys)
        if len(wanted) != images.shape[0]:
            raise Refused(_NODE, "keys", f"{len(wanted)} keys for {images.shape[0]} pictures.")
        for key, image in zip(wanted, images, strict=True):
            store().put(key, _CONTENT_TYPES[format], partial(encode, image, format, quality))
        return {"ui": {"fullet": [{"key": key, "url": f"/fullet/pictures/{key}"} for key in wanted]}}


def add_routes(routes: web.RouteTableDef, nodes: list[str]) -> None:
    """The pack's routes on ComfyUI's server."""

    @routes.get("/fullet/version")
    async def version(_request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION, "nodes": nodes})

    @routes.get("/fullet/pictures/{key}")
    async def get_picture(request: web.Request) -> web.Response:
        return await _picture(request.match_info["key"])

    @routes.delete("/fullet/pictures/{key}")
    async def delete_picture(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        dropped = is_key(key) and await asyncio.to_thread(store().drop, key)
        return web.Response(status=204) if dropped else _unknown()


async def _picture(key: str) -> web.Response:
    found = await asyncio.to_thread(store().find, key) if is_key(key) else None
    if found is None:
        return _unknown()
    done, content_type, path = found
    finished, _ = await asyncio.wait({asyncio.wrap_future(done)}, timeout=WAIT_SECONDS)
    if not finished:
        why = {"error": "The picture is still being encoded."}
        return web.json_response(why, status=503, headers={"Retry-After": "5"})
    if done.cancelled():
        return _unknown()
    if done.exception() is not None:
        why = {"error": "The picture could not be encoded; the server's log says why."}
        return web.json_response(why, status=500)
    try:
        body = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:  # dropped a moment ago
        return _unknown()
    return web.Response(body=body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _unknown() -> web.Response:
    return web.json_response({"error": "No picture has this key (any more)."}, status=404)
