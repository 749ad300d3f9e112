"""A network that can fail, between the bot and one GPU's server; it counts what passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

PROBE = b"GET /system_stats"
"""With this request the bot looks whether a server is there."""


class Relay:
    """Forwards bytes. `refuse`: nobody listens any more; `deafen`: nothing passes, and no connection ends."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.port = 0
        self.probes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Let everything pass (again)."""
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    def deafen(self) -> None:
        self._passing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passing.wait()
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, back, count=True), self._pump(there, writer, count=False))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, count: bool) -> None:
        self._writers.add(sink)
        try:
            while data := await source.read(1 << 16):
                await self._passing.wait()
                self.probes += data.count(PROBE) if count else 0
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            with contextlib.suppress(OSError):
                sink.close()


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    """A relay to ``target``, open."""
    made = Relay(target)
    await made.open()
    try:
        yield made
    finally:
        made._passing.set()
        await made.refuse()
