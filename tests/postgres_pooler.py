"""A transaction pooler such as PgBouncer, in small: two server connections, given out by the transaction.

Consecutive transactions of a client meet alternating servers, so that whatever a client leaves behind on
a server connection (a prepared statement, a setting, a lock) is missed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pooler:
    """Serves on a loopback port from ``size`` connections to the Unix socket ``upstream``."""

    def __init__(self, upstream: str, database: str, size: int = 2) -> None:
        self._upstream = upstream
        self._database = database
        self._size = size
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._settings = b""
        self.transactions = 0
        self.port = 0

    async def start(self) -> asyncio.Server:
        for _ in range(self._size):
            self._idle.put_nowait(await self._connect())
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self._upstream)
        self._writers.append(writer)
        body = struct.pack("!i", 196608) + f"user\0postgres\0database\0{self._database}\0\0".encode()
        writer.write(struct.pack("!i", len(body) + 4) + body)
        settings = b""
        while True:
            kind, message = await _message(reader)
            if kind == b"S":
                settings += message
            if kind == b"Z":
                self._settings = settings
                return reader, writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._greet(reader, writer)
            coming = asyncio.ensure_future(_message(reader))
            try:
                while (await asyncio.shield(coming))[0] != b"X":
                    server = await self._idle.get()
                    try:
                        coming = await self._transaction(coming, reader, writer, server)
                    finally:
                        self._idle.put_nowait(server)
            finally:
                coming.cancel()
        writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if body == struct.pack("!i", 80877103):
            writer.write(b"N")
            await self._greet(reader, writer)
            return
        writer.write(b"R" + struct.pack("!ii", 8, 0) + self._settings)
        writer.write(b"K" + struct.pack("!iii", 12, 1, 2) + b"Z" + struct.pack("!ic", 5, b"I"))

    async def _transaction(
        self,
        coming: asyncio.Future[tuple[bytes, bytes]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> asyncio.Future[tuple[bytes, bytes]]:
        """Pass messages on until the server says that no transaction is open; returns the next to come."""
        self.transactions += 1
        source, sink = server
        ended = asyncio.ensure_future(_answers(source, writer))
        try:
            while True:
                await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    ended.result()
                    return coming
                sink.write(coming.result()[1])
                coming = asyncio.ensure_future(_message(reader))
        finally:
            ended.cancel()


async def _answers(source: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        kind, message = await _message(source)
        writer.write(message)
        if kind == b"Z" and message[5:6] == b"I":
            return


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A message's type, and the whole of it."""
    head = await reader.readexactly(5)
    body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
    return head[:1], head + body


@asynccontextmanager
async def pooling(upstream: str, database: str) -> AsyncIterator[Pooler]:
    """A pooler until left."""
    pooler = Pooler(upstream, database)
    server = await pooler.start()
    try:
        yield pooler
    finally:
        server.close()
        await pooler.close()
