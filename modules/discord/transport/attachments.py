"""Reads what people upload: only from Discord's own hosts, and never more than fits."""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSourceImage

CDN_HOSTS = frozenset(
    {
        "cdn.discordapp.com",
        "media.discordapp.net",
        "images-ext-1.discordapp.net",  # Discord's copies of what links lead to
        "images-ext-2.discordapp.net",
    }
)
TIME_LIMIT = 20.0
BYTES_LIMIT = 25_000_000


class AttachmentReader:
    """``extra_host`` (``127.0.0.1:8080``) is where a simulated Discord keeps its files."""

    def __init__(self, *, session: aiohttp.ClientSession, extra_host: str | None = None) -> None:
        self._session, self._extra_host = session, extra_host

    async def read(self, url: str, *, limit: int = BYTES_LIMIT) -> bytes:
        """The file's bytes, at most ``limit`` of them. Raises `BadSourceImage`."""
        address = self._allowed(url)
        if address is None:
            raise BadSourceImage("gone")
        data = bytearray()
        try:
            get = self._session.get(address, allow_redirects=False)
            async with timeout(TIME_LIMIT), get as response:
                if response.status != 200:
                    raise BadSourceImage("gone")
                declared = response.content_length or 0
                async for chunk in response.content.iter_chunked(65536):
                    data += chunk
                    if max(declared, len(data)) > limit:
                        raise BadSourceImage("too-many-bytes", megabytes=limit / 1_000_000)
        except asyncio.TimeoutError as error:
            raise BadSourceImage("took-too-long") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BadSourceImage("gone") from error
        return bytes(data)

    def _allowed(self, url: str) -> URL | None:
        try:
            address = URL(url)
            at_extra_host = f"{address.host}:{address.port}" == self._extra_host
        except (ValueError, IndexError):  # yarl fails on "[::1]@"
            return None
        at_discord = address.scheme == "https" and address.host in CDN_HOSTS
        return address if at_extra_host or at_discord else None
