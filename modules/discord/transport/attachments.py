"""Reads what people upload: from Discord's own hosts only, at once, and never more than fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from yarl import URL

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSourceImage

CDN_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
TIME_LIMIT = 20.0
BYTES_LIMIT = 25_000_000


class AttachmentReader:
    """``extra_host`` (``127.0.0.1:8080``) is where a simulated Discord keeps its files."""

    def __init__(
        self,
        *,
        session: Callable[[], aiohttp.ClientSession],
        extra_host: str | None = None,
        limit: int = BYTES_LIMIT,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._session, self._extra_host = session, extra_host
        self._limit, self._time_limit = limit, time_limit

    async def read(self, url: str, *, limit: int | None = None) -> bytes:
        """The file's bytes, at most ``limit`` of them. Raises `BadSourceImage`."""
        try:
            address = URL(url)
            allowed = self._allowed(address)
        except (ValueError, IndexError) as error:  # yarl stumbles over "[::1]@"
            raise BadSourceImage("gone") from error
        if not allowed:
            raise BadSourceImage("gone")
        try:
            async with timeout(self._time_limit):
                return await self._bounded(address, self._limit if limit is None else limit)
        except asyncio.TimeoutError as error:
            raise BadSourceImage("took-too-long") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BadSourceImage("gone") from error

    def _allowed(self, address: URL) -> bool:
        if self._extra_host is not None and f"{address.host}:{address.port}" == self._extra_host:
            return True
        return address.scheme == "https" and address.host in CDN_HOSTS

    async def _bounded(self, address: URL, limit: int) -> bytes:
        async with self._session().get(address, allow_redirects=False) as response:
            if response.status != 200:
                raise BadSourceImage("gone")
            if (response.content_length or 0) > limit:
                raise _too_large(limit)
            data = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                data += chunk
                if len(data) > limit:
                    raise _too_large(limit)
            return bytes(data)


def _too_large(limit: int) -> BadSourceImage:
    return BadSourceImage("too-many-bytes", megabytes=limit / 1_000_000)
