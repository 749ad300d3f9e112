"""Speaks to the embedded Discord without a library: REST with files, and the bare gateway socket."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import aiohttp

from modules.demo.discord_server import DiscordServer

Json = Any
ANSWER_SECONDS = 5.0


class Answer:
    """Status, JSON and headers of one call."""

    def __init__(self, status: int, body: Json, headers: dict[str, str]) -> None:
        self.status, self.body, self.headers = status, body, headers

    @property
    def code(self) -> int:
        return int(self.body["code"])


class Rest:
    """The bot's REST calls as bare HTTP."""

    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))

    async def __aenter__(self) -> Rest:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def __call__(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        files: dict[str, bytes] | None = None,
        token: str | None = None,
    ) -> Answer:
        headers = {"Authorization": f"Bot {token or self.server.token}"}
        data: Any = None
        if files is not None:
            data = aiohttp.FormData(quote_fields=False)
            data.add_field("payload_json", json.dumps(body or {}))
            for index, (name, content) in enumerate(files.items()):
                data.add_field(f"files[{index}]", io.BytesIO(content), filename=name)
        elif body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        url = self.server.api_url + path
        async with self._session.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            kind = response.headers.get("Content-Type", "")
            parsed = json.loads(text) if text and kind == "application/json" else text
            return Answer(response.status, parsed, dict(response.headers))

    async def say(self, channel: int, content: str = "hello", **body: Json) -> Answer:
        return await self("POST", f"/channels/{channel}/messages", {"content": content, **body})


class GatewaySocket:
    """A gateway connection that has read HELLO."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.sequence = 0

    async def send(self, op: int, data: Json) -> None:
        await self.socket.send_json({"op": op, "d": data})

    async def identify(self, token: str, intents: int) -> None:
        properties = {"os": "linux", "browser": "test", "device": "test"}
        await self.send(2, {"token": token, "intents": intents, "properties": properties})

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self.socket.receive_json(timeout=ANSWER_SECONDS)
        self.sequence = frame.get("s") or self.sequence
        return frame

    async def until(self, event: str) -> dict[str, Any]:
        """The data of the next such event."""
        while True:
            frame = await self.receive()
            if frame["t"] == event:
                data: dict[str, Any] = frame["d"]
                return data

    async def quiet(self) -> None:
        """Nothing is on its way: a heartbeat is answered before anything else arrives."""
        await self.send(1, self.sequence)
        frame = await self.receive()
        assert frame["op"] == 11, f"unexpected {frame['t']}: {frame['d']}"

    async def close_code(self) -> int | None:
        while not self.socket.closed:
            await asyncio.wait_for(self.socket.receive(), ANSWER_SECONDS)
        return self.socket.close_code


@asynccontextmanager
async def gateway(server: DiscordServer) -> AsyncIterator[GatewaySocket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(server.gateway_url) as socket:
        connection = GatewaySocket(socket)
        assert (await connection.receive())["op"] == 10
        yield connection
