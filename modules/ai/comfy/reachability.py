"""Whether a server is there at all, even if it is busy: whether it accepts connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, NoReturn

from modules.ai.comfy.errors import Unreachable, connecting_failed
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout

_FIRST, _RAREST = 1.5, 10.0
"""Seconds until the first check, and the longest time between two, while an answer is missing. A process that
does not get round to accepting connections has a backlog of 128 of them, so they must not come too often."""


class Reachability:
    """Checks by fresh TCP connections, which are closed at once. A machine that is there takes them, even
    for a process that is too busy to answer. ``limit``: seconds after which an attempt has failed."""

    def __init__(self, *, name: str, host: str, port: int, limit: float) -> None:
        self._name, self._host, self._port, self._limit = name, host, port, limit
        self._turn = asyncio.Lock()
        self._tried_at = float("-inf")
        self._fault: str | None = None

    async def check(self) -> None:
        """Raise `Unreachable` if no connection can be made. Those who ask meanwhile get the same answer."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._turn:
            if self._tried_at < asked:
                self._fault = await self._attempt()
                self._tried_at = clock()
            if self._fault is not None:
                raise Unreachable(f"{self._name} cannot be reached ({self._fault})")

    async def watch(self) -> NoReturn:
        """Check now and then; ends only by raising `Unreachable`."""
        backoff = Backoff(first=_FIRST, longest=_RAREST)
        while True:
            await asyncio.sleep(backoff.pause())
            await self.check()

    async def _attempt(self) -> str | None:
        """What is in the way; None if nothing is. All addresses of the host are tried at once."""
        try:
            async with timeout(self._limit):
                found = await asyncio.get_running_loop().getaddrinfo(
                    self._host, self._port, type=socket.SOCK_STREAM
                )
                await self._first([asyncio.ensure_future(_connect(*each)) for each in found])
        except (asyncio.TimeoutError, TimeoutError):
            return f"no connection within {self._limit:g} s"
        except OSError as error:
            return connecting_failed(error)
        return None

    async def _first(self, tries: Sequence[asyncio.Future[None]]) -> None:
        """Return once one of ``tries`` succeeds. Raises the last one's `OSError`."""
        try:
            for number, attempt in enumerate(asyncio.as_completed(tries), 1):
                try:
                    return await attempt
                except OSError:
                    if number == len(tries):
                        raise
        finally:
            for each in tries:
                each.cancel()
            await asyncio.gather(*tries, return_exceptions=True)


async def _connect(family: int, kind: int, protocol: int, _: str, address: Any) -> None:
    # Not asyncio.open_connection: cancelled at the wrong moment, it leaves its socket open.
    with socket.socket(family, kind, protocol) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
