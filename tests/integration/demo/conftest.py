"""An embedded ComfyUI and one client of it, for the tests of what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from modules.demo.comfy_server import ComfyServer, Timing
from tests.integration.embedded_comfy import Listener


@pytest.fixture
async def comfy() -> AsyncIterator[ComfyServer]:
    async with ComfyServer(timing=Timing(step=0.002)) as server:
        yield server


@pytest.fixture
async def client(comfy: ComfyServer) -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession(comfy.url) as http:
        listener = Listener(http)
        await listener.connect()
        yield listener
        await listener.close()
