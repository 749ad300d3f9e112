"""Uploads are read from Discord's own hosts alone, and never more of them than fits."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from modules.discord.transport.attachments import CDN_HOSTS, AttachmentReader
from modules.queue_manager.errors import BadSourceImage

MEGABYTE = 2**20


async def serve(request: web.Request) -> web.StreamResponse:
    """A CDN that does what its path says."""
    what = request.match_info["what"]
    if what == "picture":
        return web.Response(body=b"bytes")
    if what == "elsewhere":
        raise web.HTTPFound(f"http://localhost:{request.url.port}/picture")
    if what == "gone":
        raise web.HTTPNotFound
    response = web.StreamResponse()
    if what == "huge":
        response.content_length = 2**40
    await response.prepare(request)
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while True:
            await response.write(b"\0" * (10 if what == "slow" else 65536))
            await asyncio.sleep(0.05 if what == "slow" else 0)
    return response


@asynccontextmanager
async def reader() -> AsyncIterator[tuple[AttachmentReader, str]]:
    app = web.Application()
    app.router.add_get("/{what}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:
            yield AttachmentReader(session=session, extra_host=host), f"http://{host}"
    finally:
        await runner.cleanup()


async def problem(reading: AttachmentReader, url: str) -> str:
    with pytest.raises(BadSourceImage) as caught:
        await reading.read(url, limit=4 * MEGABYTE)
    return str(caught.value.fields["problem"])


async def test_a_file_is_read_and_a_redirect_is_not_followed() -> None:
    async with reader() as (reading, base):
        assert await reading.read(f"{base}/picture") == b"bytes"
        assert await problem(reading, f"{base}/elsewhere") == "gone"
        assert await problem(reading, f"{base}/gone") == "gone"


@pytest.mark.parametrize("what", ["endless", "huge"])
async def test_what_is_too_large_is_cut_off(what: str) -> None:
    async with reader() as (reading, base):
        tracemalloc.start()
        try:
            assert await problem(reading, f"{base}/{what}") == "too-many-bytes"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 12 * MEGABYTE


async def test_what_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.discord.transport.attachments.TIME_LIMIT", 0.3)
    async with reader() as (reading, base):
        assert await problem(reading, f"{base}/slow") == "took-too-long"


HOSTS = st.sampled_from([
    "127.0.0.1", "localhost", "169.254.169.254", "[::1]", "gpu:8188", "cdn.discordapp.com.example.com",
    "cdn.discordapp.com@example.com", "xcdn.discordapp.com", "discordapp.com", "media.discordapp.net.", "",
])  # fmt: skip
SCHEMES = st.sampled_from(["http", "https", "file", "ftp", ""])
ADDRESSES = (
    st.builds("{}://{}{}".format, SCHEMES, HOSTS, st.text(max_size=9))
    | st.builds("http://{}/x".format, st.sampled_from(sorted(CDN_HOSTS)))
    | st.text(max_size=30)
)  # fmt: skip


@given(ADDRESSES)
def test_no_other_host_is_ever_asked(url: str) -> None:
    class Session:
        def get(self, *_: object, **__: object) -> NoReturn:
            pytest.fail(f"{url} would have been asked")

    asyncio.run(problem(AttachmentReader(session=Session()), url))  # type: ignore[arg-type]
