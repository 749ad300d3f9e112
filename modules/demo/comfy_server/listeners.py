"""The WebSocket side of the server: who listens, and in which shape they are told."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientConnectionError, web

from modules.demo.comfy_server.faults import Faults

FEATURES: Mapping[str, Any] = {
    "supports_preview_metadata": True,
    "supports_model_type_tags": True,
    "max_upload_size": 104857600,
    "extension": {"manager": {"supports_v4": True}},
    "node_replacements": True,
    "assets": False,
}
_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
_IMAGE_TYPES = {"image/jpeg": 1, "image/png": 2}


class SocketHub:
    """One socket per client id: a newer one replaces the older, which stays open and hears nothing more.

    When the older one closes at last, the newer is forgotten with it and falls silent too: the real
    server takes the client id off its list whichever of its sockets has closed.
    """

    def __init__(self, faults: Faults) -> None:
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._open: set[web.WebSocketResponse] = set()
        self._flags: dict[str, Mapping[str, Any]] = {}
        self._faults = faults

    def add(self, sid: str, socket: web.WebSocketResponse) -> None:
        """From now on ``socket`` hears for ``sid``."""
        self._sockets[sid] = socket
        self._open.add(socket)
        self._flags.pop(sid, None)

    def remove(self, sid: str, socket: web.WebSocketResponse) -> None:
        """The socket has closed."""
        self._open.discard(socket)
        self._sockets.pop(sid, None)
        self._flags.pop(sid, None)

    async def negotiate(self, sid: str, flags: Mapping[str, Any]) -> None:
        """A client has said which features it supports; it is told which ones the server supports."""
        self._flags[sid] = flags
        await self.send("feature_flags", FEATURES, sid)

    async def send(self, event: str, data: Any, sid: str | None = None) -> None:
        """One JSON message to a client, or to all of them."""
        data = list(data) if self._faults.wrong_types and isinstance(data, Mapping) else data
        text = json.dumps({"type": event, "data": data})
        for socket in self._listeners(sid):
            await _quietly(socket, text)

    def takes_metadata(self, sid: str) -> bool:
        """Whether the client wants previews with metadata."""
        return bool(self._flags.get(sid, {}).get("supports_preview_metadata"))

    async def send_preview(self, image: bytes, media_type: str, metadata: dict[str, Any], sid: str) -> None:
        """A sampler's preview with its metadata."""
        header = json.dumps({**metadata, "image_type": media_type}).encode()
        frame = struct.pack(">II", _PREVIEW_WITH_METADATA, len(header)) + header + image
        for socket in self._listeners(sid):
            await _quietly(socket, frame)

    async def send_image(self, image: bytes, media_type: str, sid: str) -> None:
        """A picture in a plain binary frame."""
        frame = struct.pack(">II", _PREVIEW, _IMAGE_TYPES[media_type]) + image
        for socket in self._listeners(sid):
            await _quietly(socket, frame)

    async def close_all(self) -> None:
        """Close every socket cleanly."""
        for socket in list(self._open):
            await socket.close()

    def _listeners(self, sid: str | None) -> list[web.WebSocketResponse]:
        if sid is None:
            return list(self._sockets.values())
        return [self._sockets[sid]] if sid in self._sockets else []


async def _quietly(socket: web.WebSocketResponse, message: str | bytes) -> None:
    """Send; a client that has gone is no fault of the run's."""
    try:
        if isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_bytes(message)
    except (ClientConnectionError, ConnectionError, RuntimeError):
        return
