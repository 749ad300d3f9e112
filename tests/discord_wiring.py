"""Points an unmodified discord.py at the embedded Discord, and back afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from modules.demo.discord_server import DiscordServer


def openapi_file() -> Path | None:
    """Discord's OpenAPI file where DISCORD_OPENAPI names one that is there."""
    named = os.environ.get("DISCORD_OPENAPI")
    return Path(named) if named and Path(named).is_file() else None


@contextlib.contextmanager
def wired(server: DiscordServer) -> Iterator[None]:
    """discord.py speaks to `server` within the block."""
    api, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = server.api_url, yarl.URL(server.gateway_url)
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = api, gateway


@contextlib.asynccontextmanager
async def running(client: discord.Client, token: str, *, timeout: float = 10.0) -> AsyncIterator[None]:
    """The client is ready inside the block and closed after it; its errors are raised here."""
    tasks: list[asyncio.Future[None]] = []
    try:
        await client.login(token)
        tasks += [task := asyncio.ensure_future(client.connect())]
        tasks += [ready := asyncio.ensure_future(client.wait_until_ready())]
        done, _ = await asyncio.wait({task, ready}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            await task
        if not done:
            raise TimeoutError("the client did not become ready")
        yield
    finally:
        await client.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
