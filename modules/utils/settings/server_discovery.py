"""Which servers the addresses in COMFY_URLS stand for: ``dns+http://name:port`` for every address of ``name``
(a headless Kubernetes service, a compose ``--scale``), looked up again and again, so that a new replica
becomes a new worker; any other one for itself."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modules.queue_manager.backports import timeout
from modules.queue_manager.ports import Clock

logger = logging.getLogger(__name__)

PREFIX = "dns+"

EVERY_SECONDS = 5.0
"""Between two lookups of the names. A server that leaves waits longer (deploy/comfyui/drain.py)."""

_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


async def look_up(host: str, port: int) -> Sequence[str]:
    """The IP addresses of ``host``, in a stable order; none where the name server knows of none, as for a
    service without replicas. Raises OSError if that cannot be found out."""
    try:
        async with timeout(10):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except asyncio.TimeoutError as error:
        raise OSError("the name server does not answer") from error
    except socket.gaierror as error:
        if error.errno in _NO_ADDRESS:
            return ()
        raise
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise OSError("no host can have this name") from error
    return sorted({str(address[0]) for *_, address in found})


def _of_one_kind(addresses: Sequence[str]) -> Sequence[str]:
    """A server with an IPv4 and an IPv6 address is one server: the addresses of the kind of which there are
    more, IPv4 if there are as many of both."""
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    return six if len(six) > len(four) else four


@dataclass(kw_only=True, eq=False)
class ServerDiscovery:
    """Keeps a fleet's URLs up to date with what the operator wrote and with what names resolve to.
    ``on_urls`` is awaited with all URLs at each `set` and whenever they have changed, one call at a time."""

    on_urls: Callable[[Sequence[str]], Awaitable[None]]
    clock: Clock
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = look_up
    _sizes: dict[str, int | None] = field(init=False, default_factory=dict)
    _meant: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    _told: tuple[str, ...] | None = field(init=False, default=None)
    _unknown: set[str] = field(init=False, default_factory=set)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def set(self, written: Sequence[str], batch_sizes: Sequence[int | None] = (None,)) -> None:
        """Use these COMFY_URLS and this MAX_BATCH_SIZE from now on; each name is looked up."""
        async with self._turn:
            each = batch_sizes if len(batch_sizes) > 1 else [*batch_sizes] * len(written)
            self._sizes = dict(zip(written, each, strict=True))
            self._told = None
            await self._update()

    def batch_size(self, url: str) -> int | None:
        """The operator's limit of pictures in a run for the server at ``url``, if there is one."""
        written = next((written for written, meant in self._meant.items() if url in meant), "")
        return self._sizes.get(written)

    async def run(self) -> None:
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            async with self._turn:
                if any(url.startswith(PREFIX) for url in self._sizes):
                    await self._update()

    async def _update(self) -> None:
        meant = await asyncio.gather(*(self._resolved(url) for url in self._sizes))
        self._meant = dict(zip(self._sizes, meant, strict=True))
        urls = tuple(dict.fromkeys(url for each in meant for url in each))
        if urls != self._told:
            await self.on_urls(urls)
            self._told = urls

    async def _resolved(self, url: str) -> tuple[str, ...]:
        """The URLs that ``url`` stands for; those of before while its name cannot be looked up."""
        if not url.startswith(PREFIX):
            return (url,)
        parts = urlsplit(url.removeprefix(PREFIX))
        host, port = parts.hostname or "", parts.port or 80
        try:
            found = await self.resolve(host, port)
        except OSError as error:
            known = self._meant.get(url, ())
            if url not in self._unknown:
                self._unknown.add(url)
                logger.warning(
                    "%s cannot be looked up (%s); known servers that are kept: %d", host, error, len(known)
                )
            return known
        self._unknown.discard(url)
        meant = tuple(
            f"{parts.scheme}://{_in_url(address)}:{port}{parts.path}" for address in _of_one_kind(found)
        )
        if meant != self._meant.get(url):
            logger.info("%s: servers found: %d", host, len(meant))
        return meant


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
