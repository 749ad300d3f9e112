"""What a simulated server says of a client that leaves while it is answered: nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from modules.demo.departed import client_may_leave


@pytest.mark.parametrize("quiet", [True, False])
async def test_a_client_that_leaves_is_no_fault(quiet: bool, caplog: pytest.LogCaptureFixture) -> None:
    answered = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            answered.set()

    app = web.Application(middlewares=[client_may_leave] if quiet else [])
    app.add_routes([web.get("/", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    with caplog.at_level(logging.ERROR, "aiohttp.server"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await answered.wait()
        await reader.read()
        writer.close()
        await runner.cleanup()
    assert bool(caplog.records) is not quiet
