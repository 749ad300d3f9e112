"""A network that can fail, between the bot and one GPU's server; it counts what passes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

PROBE = b"GET /system_stats"
"""With this request the bot checks whether a server is there."""


class Relay:
    """Forwards bytes. `refuse`: nobody listens any more; `vanish`: nothing passes and no connection ends, as
    if the host had lost power; `freeze`: the same, but connections are still accepted."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._in_the_way: list[socket.socket] = []
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
        self._make_way()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
            self.port = self._listener.getsockname()[1]
        if self._server is None:
            self._listener.listen(100)
            self._server = await asyncio.start_server(self._serve, sock=self._listener.dup())

    async def refuse(self) -> None:
        self._make_way()
        self._stop_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def vanish(self) -> None:
        self.freeze()
        self._stop_accepting()
        assert self._listener is not None
        self._listener.listen(0)
        # Linux drops the packets of new connections while the queue of connections to accept is full.
        self._in_the_way = [socket.socket() for _ in range(3)]
        for connection in self._in_the_way:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", self.port))

    def freeze(self) -> None:
        self._passing.clear()

    def _make_way(self) -> None:
        while self._in_the_way:
            self._in_the_way.pop().close()

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

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
