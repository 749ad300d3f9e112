"""The one WebSocket to a server, shared by its runs and opened again when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.errors import foreign_errors
from modules.ai.comfy.events import ComfyEvent, SocketChanged, read_frame, read_text
from modules.ai.workflows.graph import JSON
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import EngineUnavailable
from modules.queue_manager.ports import Clock

logger = logging.getLogger(__name__)

Inbox: TypeAlias = "asyncio.Queue[ComfyEvent]"

_MOST_WAITING, _MOST_HEAVY = 2000, 64
_HEAVY = 1024
"""Messages of more bytes are heavy; an inbox with ``_MOST_HEAVY`` waiting events takes none of them."""
_LONGEST = 2**20
"""Longer messages contain nothing that is needed, and would take too long to parse."""
_STEADY = 10.0
"""Seconds after which a socket counts as good: a proxy may close each one after its first message."""
_CLIENT_ID = re.compile(r"[0-9a-f]{32}")
_HELLO = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})


@dataclass(kw_only=True, eq=False, repr=False)
class EventStream:
    """Connects on first use and stays connected until `aclose`.

    Runs get `SocketChanged` when the socket opens or closes, and when they were too slow to read everything.
    The pauses between attempts grow until a socket lasts.
    """

    client: ComfyClient
    clock: Clock

    def __post_init__(self) -> None:
        self.client_id = uuid.uuid4().hex
        self._inboxes: dict[str, Inbox] = {}
        self._task: asyncio.Task[None] | None = None
        self._opened_at = 0.0
        self._up = asyncio.Event()
        self._tried = asyncio.Event()
        self._down = asyncio.Event()

    @property
    def up(self) -> bool:
        return self._up.is_set()

    async def connect(self) -> bool:
        """Start listening; returns when the first attempt has succeeded or failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen_forever())
        if not self.up:
            await self._tried.wait()
        return self.up

    async def broken(self) -> None:
        """Return when an open socket has broken, once for each break."""
        await self._down.wait()
        self._down.clear()

    async def adopt(self, client_id: JSON) -> bool:
        """Listen under the client id of an earlier process: the events of its prompts go there only.

        False if that is not possible, because a run listens under the present id.
        """
        if client_id == self.client_id:
            return True
        if self._inboxes or not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            return False
        await self.aclose()
        self.client_id = client_id
        await self.connect()
        return True

    def enter(self, prompt_id: str) -> Inbox:
        """The queue for the events of one prompt, until `leave`."""
        inbox: Inbox = asyncio.Queue(_MOST_WAITING)
        self._inboxes[prompt_id] = inbox
        return inbox

    def leave(self, prompt_id: str) -> None:
        self._inboxes.pop(prompt_id, None)

    def nudge(self, prompt_id: str) -> None:
        """Make the prompt's run ask the server for its state."""
        if (inbox := self._inboxes.get(prompt_id)) is not None:
            _put(inbox, SocketChanged(self.up))

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._up.clear()
            self._tried.clear()

    async def _listen_forever(self) -> None:
        backoff = Backoff(first=0.1, longest=30.0, spread=random.Random())  # noqa: S311 - no secret
        while True:
            try:
                async for received in self._messages():
                    self._dispatch(received)
            except EngineUnavailable as error:
                logger.debug("No socket: %s", error)
            self._tried.set()
            if self.up and self.clock.now() - self._opened_at > _STEADY:
                backoff.reset()
            self._change(up=False)
            await self.clock.sleep(backoff.pause())

    async def _messages(self) -> AsyncIterator[str | bytes]:
        socket = await self.client.http.open_socket(self.client_id)
        try:
            with foreign_errors(self.client.name):
                await socket.send_str(_HELLO)
                self._opened_at = self.clock.now()
                self._change(up=True)
                self._tried.set()
                async for message in socket:
                    if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        yield message.data
        finally:
            await asyncio.shield(socket.close())

    def _change(self, *, up: bool) -> None:
        changed = up != self.up
        (self._up.set if up else self._up.clear)()
        if changed and not up:
            self._down.set()
        if changed:
            for inbox in self._inboxes.values():
                _put(inbox, SocketChanged(up))

    def _dispatch(self, message: str | bytes) -> None:
        if len(message) > _LONGEST:
            return
        read = read_text(message) if isinstance(message, str) else read_frame(message)
        if read is not None and (inbox := self._inboxes.get(read[0])) is not None:
            _put(inbox, read[1], heavy=len(message) > _HEAVY)


def _put(inbox: Inbox, event: ComfyEvent, *, heavy: bool = False) -> None:
    if inbox.full() or (heavy and inbox.qsize() >= _MOST_HEAVY):
        # too many: drop them, and let the run ask the server for its state
        while not inbox.empty():
            inbox.get_nowait()
        event = SocketChanged(True)
    inbox.put_nowait(event)
