"""Which servers the addresses in COMFY_URLS stand for: themselves, or all that a name resolves to.

``dns+http://name:port`` stands for every address of ``name`` (a headless Kubernetes service, a compose
``--scale``), looked up again and again, so that one more replica is one more worker.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from modules.queue_manager.backports import timeout
from modules.queue_manager.ports import Clock

logger = logging.getLogger(__name__)

PREFIX = "dns+"

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks up the IP addresses of a host name (and port). Raises OSError."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """The IP addresses of ``host``, in a stable order. Raises OSError."""
    try:
        async with timeout(10):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except asyncio.TimeoutError as error:
        raise OSError("the name server does not answer") from error
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise OSError("no host can have this name") from error
    return sorted({str(address[0]) for *_, address in found})


EVERY_SECONDS = 30.0
"""Between two looks at what names resolve to."""


class ServerDiscovery:
    """Keeps a fleet's URLs up to date with what the operator wrote and with what names resolve to.

    ``on_urls`` is awaited with all URLs at each `set` and whenever they have changed, one call at a time.
    """

    def __init__(
        self,
        *,
        on_urls: Callable[[Sequence[str]], Awaitable[None]],
        clock: Clock,
        resolve: Resolver = look_up,
    ) -> None:
        self._on_urls = on_urls
        self._clock = clock
        self._resolve = resolve
        self._written: tuple[str, ...] = ()
        self._meant: dict[str, tuple[str, ...]] = {}
        self._sizes: dict[str, int | None] = {}
        self._told: tuple[str, ...] | None = None
        self._turn = asyncio.Lock()

    async def set(self, written: Sequence[str], batch_sizes: Sequence[int | None] = (None,)) -> None:
        """Take what COMFY_URLS and MAX_BATCH_SIZE say now, looking every name up."""
        async with self._turn:
            each = batch_sizes if len(batch_sizes) > 1 else [*batch_sizes] * len(written)
            self._written = tuple(written)
            self._sizes = dict(zip(written, each, strict=True))
            self._told = None
            await self._update()

    def batch_size(self, url: str) -> int | None:
        """The operator's most rows a run for the server at ``url``; None: as the server can."""
        for written, meant in self._meant.items():
            if url in meant:
                return self._sizes.get(written)
        return None

    async def run(self) -> None:
        """Look names up again for ever."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            async with self._turn:
                if any(url.startswith(PREFIX) for url in self._written):
                    await self._update()

    async def _update(self) -> None:
        meant = await asyncio.gather(*(self._resolved(url) for url in self._written))
        self._meant = dict(zip(self._written, meant, strict=True))
        urls = tuple(dict.fromkeys(url for each in meant for url in each))
        if urls != self._told:
            await self._on_urls(urls)
            self._told = urls

    async def _resolved(self, url: str) -> tuple[str, ...]:
        """The URLs that ``url`` stands for; the former ones while its name cannot be looked up."""
        if not url.startswith(PREFIX):
            return (url,)
        parts = urlsplit(url.removeprefix(PREFIX))
        host, port = parts.hostname or "", parts.port or 80
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            known = self._meant.get(url, ())
            logger.warning("%s cannot be looked up (%s); its %d known servers stay", host, error, len(known))
            return known
        meant = tuple(f"{parts.scheme}://{_in_url(address)}:{port}{parts.path}" for address in found)
        if meant != self._meant.get(url):
            logger.info("%s stands for %d servers", host, len(meant))
        return meant


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
