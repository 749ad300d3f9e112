"""The sending side of a WebSocket."""

from __future__ import annotations

import asyncio

from aiohttp import web


class FrameWriter:
    """Frames go out in the order of `put`, through the one task that runs `write`."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self._out: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, frame: str) -> None:
        self._out.put_nowait(frame)

    def stop(self) -> None:
        self._out.put_nowait(None)

    async def write(self) -> None:
        """Send until `stop`, or until the socket is gone."""
        while True:
            frame = await self._out.get()
            if frame is None or self.socket.closed:
                return
            try:
                await self.socket.send_str(frame)
            except (ConnectionError, RuntimeError):
                return
