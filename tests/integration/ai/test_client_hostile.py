"""A ComfyUI that answers anything at all: typed values or our errors, in bounded memory and time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.ai.comfy.client import ComfyClient, ImageRef
from modules.ai.comfy.http import Limits
from modules.ai.comfy.preflight import inspect
from modules.ai.comfy.socket import EventStream
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import GenerationError
from tests.examples import examples
from tests.workflow_graphs import SHIPPED

SHORT = Limits(connect=1.0, answer=1.0, submit=1.0, upload=1.0, picture=1.0)
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEYS = st.text(max_size=8) | st.sampled_from([
    "system", "devices", "vram_total", "argv", "comfyui_version", "version", "nodes", "input", "required",
    "UnetLoaderGGUF", "KSampler", "prompt_id", "node_errors", "error", "queue_running", "queue_pending",
    "outputs", "status", "prompt", "name", "subfolder", "p",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
BODIES = st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), JSON)
STATUSES = st.sampled_from([200, 200, 200, 200, 204, 302, 400, 401, 404, 413, 500, 503])


@asynccontextmanager
async def hostile(answering: Answering, limits: Limits = SHORT) -> AsyncIterator[ComfyClient]:
    """A client of a server that answers every request so."""
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{tail:.*}", answering)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            port = runner.addresses[0][1]
            yield ComfyClient(session=session, url=f"http://127.0.0.1:{port}", limits=limits)
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def memory_below(megabytes: float) -> Iterator[None]:
    """What is done inside never holds more than this at once (this process is client and server)."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.1f} MB"


def questions(client: ComfyClient) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Everything that is ever asked."""
    ref = ImageRef(filename="x.png", subfolder="", type="output")
    return {
        "system_stats": client.system_stats,
        "object_info": lambda: client.object_info("KSampler"),
        "models": lambda: client.models("vae"),
        "pack_version": client.pack_version,
        "look_up": lambda: client.look_up("p"),
        "submit": lambda: client.submit({}, prompt_id="p", client_id="c"),
        "upload": lambda: client.upload(b"x", "x.png", "f"),
        "dequeue": lambda: client.dequeue("p"),
        "interrupt": lambda: client.interrupt("p"),
        "view": lambda: client.view(ref),
        "kept_picture": lambda: client.kept_picture("0" * 32),
        "inspect": lambda: inspect(client, SHIPPED, max_batch=None),
    }


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(st.tuples(STATUSES, BODIES), min_size=1, max_size=6), data=st.data())
async def test_any_answers_are_typed_values_or_our_errors(
    script: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    turns = iter(range(10**9))

    async def answering(request: web.Request) -> web.StreamResponse:
        await request.read()
        status, body = script[next(turns) % len(script)]
        return web.Response(status=status, body=None if status == 204 else body)

    async with hostile(answering) as client:
        asked = questions(client)
        for name in data.draw(st.permutations(sorted(asked))):
            with contextlib.suppress(GenerationError):
                await asked[name]()


@pytest.mark.parametrize("length", [None, 2**40], ids=["endless", "claims a terabyte"])
async def test_a_body_without_end_is_cut_off(length: int | None) -> None:
    part = b"[" * 65536

    async def answering(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                await response.write(part)
        return response

    async with hostile(answering, Limits()) as client:
        for name in ("system_stats", "look_up", "view"):
            most = client.http.limits.picture_bytes / 2**20 if name == "view" else 8
            with memory_below(2.5 * most + 8), pytest.raises(GenerationError, match="more than"):
                await questions(client)[name]()


async def test_a_body_that_trickles_is_given_up() -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.05)
        return response

    async with hostile(answering) as client, timeout(10):
        for name in ("system_stats", "kept_picture", "submit"):
            with pytest.raises(GenerationError):
                await questions(client)[name]()


@pytest.mark.parametrize(
    "body",
    [b"[" * 4_000_000, b'{"a":' * 600_000, b"9" * 4_000_000, b"[[]," * 999_999, b'"\\ud800"', b"[1e999]"],
    ids=["deep lists", "deep objects", "a number of 4 MB", "cut off", "half a character", "no numbers"],
)  # fmt: skip
async def test_json_bombs_do_not_go_off(body: bytes) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with hostile(answering) as client, timeout(10):
        with memory_below(160):
            for name in ("system_stats", "pack_version", "look_up"):
                with contextlib.suppress(GenerationError):
                    await questions(client)[name]()


async def test_nothing_is_unpacked() -> None:
    """A compressed body could swell a thousandfold."""
    asked: list[str | None] = []

    async def answering(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding"))
        return web.json_response({})

    async with hostile(answering) as client:
        await client.system_stats()
    assert asked == ["identity"]


async def test_a_flood_of_previews_does_not_pile_up() -> None:
    """The run is slow, or its prompt is not ours: what nobody takes is not kept."""
    picture = base64.b64encode(b"\xff\xd8\xff" + b"\0" * 300_000).decode()
    flood = [
        json.dumps({
            "type": "fullet_preview",
            "data": {"prompt_id": prompt_id, "key": "0" * 32, "step": 1, "steps": 2, "image": picture},
        })
        for prompt_id in ("ours", "theirs")
    ]  # fmt: skip
    sent = asyncio.Event()

    async def answering(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for _ in range(500):
                for message in flood:
                    await socket.send_str(message)
            sent.set()
            await asyncio.Event().wait()
        return socket

    async with hostile(answering, Limits()) as client:
        stream = EventStream(client=client, clock=LoopClock())
        inbox = stream.enter("ours")
        with memory_below(72):
            await stream.connect()
            async with timeout(60):
                await sent.wait()
            assert inbox.qsize() <= 2000
        await stream.aclose()


class Steps:
    """A clock that passes as told; it lets each sleeper through at once, and keeps for how long it slept."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []
        self.enough = asyncio.Event()

    def now(self) -> float:
        return self.at

    def unix(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 12:
            self.enough.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize(("lasts", "longest"), [(1.0, 36.0), (11.0, 0.12)])
async def test_a_socket_that_is_closed_after_its_first_message_is_opened_less_and_less_often(
    lasts: float, longest: float
) -> None:
    clock = Steps()

    async def answering(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"type": "status", "data": {}}')
        await socket.receive()  # the greeting
        clock.at += lasts
        await socket.close()
        return socket

    async with hostile(answering, Limits()) as client:
        stream = EventStream(client=client, clock=clock)
        async with timeout(20):
            await stream.connect()
            await clock.enough.wait()
        await stream.aclose()
    assert longest / 1.5 <= clock.slept[-1] <= longest
