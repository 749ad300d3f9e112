"""The client on the wire: addresses, keys, uploads, refusals, and answers of any size."""

from __future__ import annotations

import asyncio
import gzip
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.errors import ServerLacks
from modules.ai.comfy.http import Limits, authorization, split_url
from modules.ai.workflows.graph import write_graph
from modules.demo.comfy_server import ServerProfile
from modules.queue_manager.errors import (
    EngineUnauthorized,
    EngineUnavailable,
    GenerationError,
    WorkflowRejected,
)
from tests.integration.comfy_rig import Rig, comfy_rig
from tests.workflow_graphs import SHIPPED

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server on loopback that answers everything with ``handler``; its address."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(handler: Handler, **more: Any) -> AsyncIterator[ComfyClient]:
    """A client of such a server."""
    async with serving(handler) as url, aiohttp.ClientSession() as session:
        yield ComfyClient(session=session, url=url, **more)


# ── addresses and keys ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "base", "name"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188", "127.0.0.1:8188"),
        (" http://gpu:8188/// ", "http://gpu:8188", "gpu:8188"),
        ("gpu:8188", "http://gpu:8188", "gpu:8188"),
        ("https://x.ngrok.app/", "https://x.ngrok.app", "x.ngrok.app"),
        ("https://x.ngrok.app:443", "https://x.ngrok.app", "x.ngrok.app"),
        ("wss://host/comfy/", "https://host/comfy", "host/comfy"),
        ("http://me:secret@gpu:8188/?a=b#c", "http://gpu:8188", "gpu:8188"),
        ("http://[::1]:8188", "http://[::1]:8188", "[::1]:8188"),
    ],
)
async def test_addresses_of_every_shape(url: str, base: str, name: str) -> None:
    assert str(split_url(url)[0]) == base
    async with aiohttp.ClientSession() as session:
        assert ComfyClient(session=session, url=url).name == name


@pytest.mark.parametrize("url", ["", "   ", "http://", "ftp://host", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as"):
        split_url(url)


def test_a_key_with_a_colon_is_basic_and_one_without_is_bearer() -> None:
    assert authorization("me:secret") == {"Authorization": "Basic bWU6c2VjcmV0"}
    assert authorization("token") == {"Authorization": "Bearer token"}
    assert authorization("") == {}
    assert split_url("http://me:secret@gpu")[1] == "me:secret"


@pytest.mark.parametrize("key", ["token", "me:secret"])
async def test_the_key_opens_its_server_and_a_wrong_one_is_told(key: str) -> None:
    async with comfy_rig(profile=ServerProfile(api_key=key), api_key=key) as rig:
        assert await rig.engine().probe()
        await (await rig.client().http.open_socket("me")).close()
        rig.api_key = "another"
        with pytest.raises(EngineUnauthorized, match=r"needs the right COMFY_API_KEY \(it answered 401\)"):
            await rig.client().system_stats()


@pytest.mark.parametrize(
    ("location", "told"),
    [("/login?next=1", "redirects to http://{host}/login: if ComfyUI is there"), (None, "answered 302")],
)
async def test_where_a_redirect_leads_is_told(location: str | None, told: str) -> None:
    async def redirecting(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location} if location else {})

    async with client_of(redirecting) as client:
        with pytest.raises(EngineUnavailable) as refused:
            await client.system_stats()
        assert told.format(host=client.http.name) in str(refused.value)


async def test_a_key_follows_no_redirect() -> None:
    seen: list[str | None] = []

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    async with serving(elsewhere) as target:

        async def redirecting(request: web.BaseRequest) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{target}{request.path}?key=1")

        async with client_of(redirecting, api_key="secret") as client:
            with pytest.raises(EngineUnavailable, match=f"redirects to {target}: if ComfyUI is there"):
                await client.system_stats()
            assert seen == []
            with pytest.raises(EngineUnavailable):
                await client.http.open_socket("me")
            assert "Bearer secret" not in seen


async def test_each_server_gets_its_own_key_over_one_session() -> None:
    seen: dict[str, str | None] = {}

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        seen[request.host] = request.headers.get("Authorization")
        return web.json_response({})

    async with serving(note) as one, serving(note) as two, aiohttp.ClientSession() as session:
        first = ComfyClient(session=session, url=one, api_key="a")
        second = ComfyClient(session=session, url=two)
        await first.system_stats()
        await second.system_stats()
        assert seen == {first.name: "Bearer a", second.name: None}
        assert first.http.has_key
        assert not first.http.encrypted
        assert first.http.private


async def test_the_tunnels_warning_page_is_skipped() -> None:
    async with comfy_rig(profile=ServerProfile(ngrok=True)) as rig:
        assert await rig.engine().probe()


# ── prompts and files ───────────────────────────────────────────────────────────────────────────


async def refused(rig: Rig, model: str = "flux", **changes: dict[str, Any]) -> GenerationError:
    """How a shipped graph with changed inputs is refused."""
    graph = write_graph(SHIPPED[model].graph)
    for node_id, inputs in changes.items():
        graph[node_id.lstrip("n")]["inputs"].update(inputs)
    titles = {n: f'node {n} "{v.title}"' for n, v in SHIPPED[model].graph.items()}
    with pytest.raises(GenerationError) as caught:
        await rig.client().submit(graph, prompt_id=str(uuid.uuid4()), client_id="me", titles=titles)
    return caught.value


async def test_a_refused_graph_becomes_a_sentence() -> None:
    async with comfy_rig() as rig:
        lacking = await refused(rig, n1={"unet_name": "flux-2-klein-4b-Q5_K_S.gguf"})
        assert isinstance(lacking, ServerLacks)
        assert str(lacking) == (
            "node 1 \"Model\", input unet_name: 'flux-2-klein-4b-Q5_K_S.gguf' is not on the server; "
            "did you mean flux-2-klein-4b-Q5_K_M.gguf?"
        )
        small = await refused(rig, n6={"width": 8})
        assert isinstance(small, WorkflowRejected)
        assert str(small) == 'node 6 "Size", input width: 8 is too small; the minimum is 16'
        large = await refused(rig, n7={"noise_seed": 2**64})
        assert (
            "input noise_seed: 18446744073709551616 is too large; the maximum is 18446744073709551615"
            in str(large)
        )
        wrong = await refused(rig, n9={"steps": "four"})
        assert 'node 9 "Steps", input steps: Failed to convert an input value to a INT value' in str(wrong)
        link = await refused(rig, n4={"clip": ["1", 0]})
        assert "received_type(MODEL) mismatch input_type(CLIP)" in str(link)


async def test_a_refusal_repeats_no_prompt() -> None:
    async with comfy_rig() as rig:
        error = await refused(rig, n4={"text": {"very": "private"}, "clip": ["1", 0]})
        assert "private" not in str(error)


async def test_a_missing_node_is_the_servers_fault() -> None:
    async with comfy_rig(profile=ServerProfile(gguf=False)) as rig:
        error = await refused(rig)
        assert isinstance(error, ServerLacks)
        assert "Node 'UnetLoaderGGUF' not found" in str(error)


async def test_the_name_that_the_server_gave_an_upload_is_used() -> None:
    async with comfy_rig() as rig:
        client = rig.client()
        assert await client.upload(b"one", "ref.png", "fullet") == "fullet/ref.png"
        assert await client.upload(b"one", "ref.png", "fullet") == "fullet/ref.png"
        assert await client.upload(b"two", "ref.png", "fullet") == "fullet/ref (1).png"


async def test_a_prompt_that_ends_while_it_is_looked_up_is_not_taken_for_lost() -> None:
    """It has left the queue after the history was asked and before the queue was."""
    asked: list[str] = []

    async def ends_in_between(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/queue":
            return web.json_response({"queue_running": [], "queue_pending": []})
        entry = {"prompt": [1, "p", {}, {}, []], "outputs": {}, "status": {"status_str": "success"}}
        return web.json_response({"p": entry} if "/queue" in asked else {})

    async with client_of(ends_in_between) as client:
        assert (await client.look_up("p")).state == "finished"
        assert asked == ["/history/p", "/queue", "/history/p"]


async def test_model_files_are_listed() -> None:
    async with comfy_rig() as rig:
        assert "ae.safetensors" in await rig.client().models("vae")
        assert await rig.client().models("no-such-folder") == []


# ── answers of any size and shape ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("announced", [False, True])
async def test_an_answer_without_end_is_cut_off(announced: bool) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = 2**40
        await response.prepare(request)
        while True:
            await response.write(b"[" * 65536)

    async with client_of(endless, limits=Limits(json_bytes=2**20)) as client:
        with pytest.raises(EngineUnavailable, match="more than 1048576 bytes"):
            await client.system_stats()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"9" * 100_000,
        b"<!DOCTYPE html>",
        gzip.compress(b"{}", mtime=0),
    ],
)
async def test_an_answer_that_is_no_json_is_told(body: bytes) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async with client_of(answer) as client:
        with pytest.raises(EngineUnavailable, match="is this the address of a ComfyUI"):
            await client.look_up("x")


async def test_a_connection_that_breaks_is_told() -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)
        return web.Response()

    async with client_of(hang_up) as client:
        with pytest.raises(EngineUnavailable, match="the connection broke"):
            await client.system_stats()


async def test_a_host_that_does_not_exist_is_told() -> None:
    async with aiohttp.ClientSession() as session:
        client = ComfyClient(session=session, url="http://nobody.invalid:1", limits=Limits(answer=3.0))
        with pytest.raises(EngineUnavailable, match=r"nobody\.invalid:1"):
            await client.system_stats()
