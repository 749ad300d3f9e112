"""The engine before Comfy API v2: the official proxy before an embedded ComfyUI, and a stand-in for Comfy
Cloud and managed deployments."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from modules.ai.comfy.errors import ServerLacks
from modules.ai.comfy_v2 import transport
from modules.ai.comfy_v2.client import ComfyV2Client
from modules.ai.comfy_v2.engine import ComfyV2Engine
from modules.ai.comfy_v2.run import V2Times
from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import (
    EngineForgot,
    EngineFull,
    EngineUnauthorized,
    EngineUnavailable,
    ExecutionFailed,
    LeaseLost,
    WorkflowRejected,
)
from modules.queue_manager.jobs import Elastic, LoraUse, Size, Variation
from modules.queue_manager.ports import RunPreview, RunProgress, RunQueued, RunStarted
from modules.utils.images.masks import with_seam
from tests.comfy_v2 import Platform, proxy, served
from tests.integration.comfy_rig import SLOW, SLUGGISH, Rig, ask, comfy_rig, heard, is_of, opened, until_step
from tests.workflow_graphs import SHIPPED

NO = '{"error": {"code": "not_found", "message": "no"}}'
ALL = ("flux", "flux_edit", "upscale", "z-image")
BRISK = V2Times(first_poll=0.05, longest_poll=0.2, patience=1.0, doubt=1.0, reopen=0.2, twice=0.05)


def engine(rig: Rig, url: str, **more: Any) -> ComfyV2Engine:
    """A new engine, as another process would have it."""

    async def read_source(key: str) -> bytes:
        return rig.sources[key]

    client = ComfyV2Client(
        url=url, api_key=more.pop("key", None), may_post=more.pop("may_post", lambda: None)
    )
    parts: dict[str, Any] = {"templates": rig.templates, "times": BRISK, "models": ALL, **more}
    made = ComfyV2Engine(
        client=client,
        elastic=Elastic(slots=4, after=0.0),
        read_source=read_source,
        clock=LoopClock(),
        **parts,
    )
    rig.engines.append(made)  # type: ignore[arg-type]
    return made


@asynccontextmanager
async def before(kind: str, rig: Rig) -> AsyncIterator[dict[str, Any]]:
    """The address and key of one kind of server before the rig's ComfyUI."""
    if kind == "proxy":
        async with proxy(rig.server, token="t0ken-of-the-proxy") as url:
            yield {"url": url, "key": "t0ken-of-the-proxy"}
    else:
        async with Platform(gpus=[rig.server], keeps_labels=kind == "deployment").open() as platform:
            yield {"url": platform.url, "key": platform.key}


@asynccontextmanager
async def cloud(rig: Rig, **more: Any) -> AsyncIterator[tuple[Platform, ComfyV2Engine]]:
    async with Platform(gpus=[rig.server], **more).open() as platform:
        made = engine(rig, platform.url, key=platform.key)
        await made.probe()
        yield platform, made


KINDS = pytest.mark.parametrize("kind", ["proxy", "cloud", "deployment"])


@KINDS
async def test_each_person_gets_the_picture_of_their_own_prompt_and_seed(kind: str) -> None:
    requests = [ask(f"prompt {n}", n, model=model) for n, model in enumerate(["flux", "z-image"])]
    async with comfy_rig() as rig, before(kind, rig) as server:
        made = engine(rig, **server)
        assert set((await made.probe()).batch_limits) == {*rig.templates}
        for request in requests:
            run = await made.submit(rig.batch(request))
            await heard(run)  # type: ignore[arg-type]
            assert is_of(await run.fetch(0), request)


@KINDS
async def test_pictures_to_start_from_go_there_as_assets(kind: str) -> None:
    async with comfy_rig(drawing="full") as rig, before(kind, rig) as server:
        source = rig.upload(Image.new("RGB", (64, 48), (200, 100, 50)))
        size = Size(width=128, height=96)
        request = ask("", model="upscale", kind="upscale", size=size, sources=(source,))
        run = await engine(rig, **server).submit(rig.batch(request))
        await heard(run)  # type: ignore[arg-type]
        shown = opened(await run.fetch(0)).getpixel((5, 5))
        assert shown == pytest.approx((200, 100, 50), abs=25), "its mark changes each pixel a little"


@KINDS
async def test_a_start_picture_and_a_mask_go_there_as_assets_and_make_what_they_make_here(kind: str) -> None:
    side = 128
    hole = Image.new("L", (side, side))
    hole.paste(255, (30, 30, 80, 80))
    mask = with_seam(hole)
    black = mask.point(lambda grey: 0 if grey else 255)
    drawn = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    async with comfy_rig(drawing="full") as rig, before(kind, rig) as server:
        source, marked = rig.upload(drawn), rig.upload(mask)
        asked = [
            ask("a fox", 1, sources=(source,), strength=0.4),
            ask("a fox", 1, sources=(source,), mask=marked),
            ask("a fox", 1, sources=(source,), mask=marked, strength=0.4),
            ask("a fox", 1, model="flux_edit", kind="edit", sources=(source,), mask=marked),
        ]
        made = engine(rig, **server)
        for request in asked:
            batch = replace(rig.batch(request), fused=False)
            shown = []
            for one in (made, rig.engine()):
                run: Any = await one.submit(batch)
                await heard(run)
                shown.append(opened(await run.fetch(0)).convert("RGB"))
            assert shown[0].tobytes() == shown[1].tobytes() != drawn.tobytes()
            if request.mask is not None:
                assert shown[0].getpixel((55, 55)) != drawn.getpixel((55, 55))
                kept = [
                    Image.composite(each, Image.new("RGB", each.size), black) for each in (shown[0], drawn)
                ]
                assert kept[0].tobytes() == kept[1].tobytes()


async def test_a_lora_that_is_not_there_is_never_left_out_in_silence() -> None:
    lora = LoraUse(name="grain", label="Grain", file="grain.safetensors", strength=1.0)
    async with comfy_rig() as rig, proxy(rig.server) as url:
        made = engine(rig, url)
        assert (await made.probe()).loras == frozenset()
        with pytest.raises(ServerLacks, match=r"grain\.safetensors"):
            await made.submit(rig.batch(ask(lora=lora)))
        assert rig.server.sampler_log == []


async def test_the_proxys_events_tell_of_progress_and_previews() -> None:
    async with comfy_rig(timing=Timing(step=0.6)) as rig, proxy(rig.server) as url:
        events = await heard(await engine(rig, url).submit(rig.batch(ask())))  # type: ignore[arg-type]
        assert events.index(RunStarted()) <= 1
        steps = [event.step for event in events if isinstance(event, RunProgress)]
        assert steps == sorted(steps)
        assert {event.steps for event in events if isinstance(event, RunProgress)} == {4}
        assert len(steps) >= 2
        previews = [event for event in events if isinstance(event, RunPreview)]
        assert all(Image.open(io.BytesIO(preview.image)).size for preview in previews)


async def test_where_no_events_come_the_job_is_asked_for() -> None:
    async with comfy_rig(timing=SLOW) as rig, cloud(rig) as (_, made):
        first, second = [await made.submit(rig.batch(ask(seed=n))) for n in range(2)]
        after = await heard(second)  # type: ignore[arg-type]
        assert after[0] == RunQueued()
        assert RunStarted() in after
        assert await heard(first) == [RunStarted()]  # type: ignore[arg-type]


async def test_a_platform_without_events_is_asked_for_them_ever_less() -> None:
    async with comfy_rig(timing=SLOW) as rig, cloud(rig) as (platform, made):
        made.times = replace(BRISK, reopen=0.01)
        await heard(await made.submit(rig.batch(ask())))  # type: ignore[arg-type]
        assert 1 <= sum(asked.endswith("/events") for asked in platform.asked) <= 12


async def test_events_that_break_off_cost_nothing() -> None:
    async with comfy_rig(timing=SLOW) as rig, proxy(rig.server) as url:
        run = await engine(rig, url).submit(rig.batch(request := ask()))
        rest = await until_step(run)  # type: ignore[arg-type]
        await rig.server.drop_sockets()
        async with timeout(20):
            async for _ in rest:
                pass
        assert is_of(await run.fetch(0), request)


@KINDS
async def test_a_run_is_taken_back_or_stopped(kind: str) -> None:
    async with comfy_rig(timing=SLUGGISH) as rig, before(kind, rig) as server:
        made = engine(rig, **server)
        runs = [await made.submit(rig.batch(ask(seed=n))) for n in range(2)]
        async with timeout(20):
            while not await runs[0].running():
                await asyncio.sleep(0.02)
        assert not await runs[0].withdraw(interrupt=False)
        assert await runs[1].withdraw(interrupt=False)
        assert not await runs[0].withdraw(interrupt=True)
        for run in runs:
            with pytest.raises(EngineForgot, match=r"canceled at|expired there"):
                await heard(run)  # type: ignore[arg-type]
        assert len(rig.server.sampler_log) <= 1


@KINDS
async def test_a_run_is_found_again_by_its_id(kind: str) -> None:
    async with comfy_rig(timing=SLOW) as rig, before(kind, rig) as server:
        batch = rig.batch(request := ask())
        run = await engine(rig, **server).submit(batch)
        assert run.id != batch.id
        again = engine(rig, **server)
        await again.probe()
        found = await again.resume(replace(batch, id=run.id))
        assert found is not None
        await heard(found)  # type: ignore[arg-type]
        assert is_of(await found.fetch(0), request)
        assert len(rig.server.sampler_log) == 1


@pytest.mark.parametrize(("kind", "findable"), [("proxy", True), ("deployment", True), ("cloud", False)])
async def test_a_run_whose_id_was_not_written_down_is_found_by_its_label_where_there_are_labels(
    kind: str, findable: bool
) -> None:
    async with comfy_rig() as rig, before(kind, rig) as server:
        made = engine(rig, **server)
        await made.probe()
        await made.submit(rig.batch(ask("another")))
        batch = rig.batch(request := ask())
        run = await made.submit(batch)
        again = engine(rig, **server)
        await again.probe()
        found = await again.resume(batch)
        assert (found is not None) == findable
        if found is not None:
            assert found.id == run.id
            await heard(found)  # type: ignore[arg-type]
            assert is_of(await found.fetch(0), request)
        assert await again.resume(rig.batch(ask("never sent"))) is None


async def test_a_lost_answer_starts_no_second_run() -> None:
    async with comfy_rig() as rig, cloud(rig, keeps_labels=True) as (platform, made):
        platform.lost = 1
        run = await made.submit(rig.batch(request := ask()))
        await heard(run)  # type: ignore[arg-type]
        assert is_of(await run.fetch(0), request)
        assert len(platform.jobs) == 1


async def test_where_a_lost_answer_cannot_be_found_the_run_is_not_started_again_under_its_key() -> None:
    async with comfy_rig() as rig, cloud(rig) as (platform, made):
        platform.lost = 1
        with pytest.raises(EngineForgot, match="accepted the run but did not say its id"):
            await made.submit(rig.batch(ask()))
        assert len(platform.jobs) == 1


async def test_an_answer_in_doubt_is_asked_for_again_under_the_same_key() -> None:
    async with comfy_rig() as rig, cloud(rig) as (platform, made):
        platform.answers += [(503, "upstream_unreachable", {}), (409, "conflict", {})]
        await heard(await made.submit(rig.batch(ask())))  # type: ignore[arg-type]
        assert len(platform.jobs) == 1
        platform.answers += [(409, "conflict", {})] * 100
        with pytest.raises(EngineUnavailable, match=r"answered 409 \(said by the server: conflict\)"):
            await made.submit(rig.batch(ask()))


@pytest.mark.parametrize(
    ("answer", "error", "sentence", "seconds"),
    [
        ((402, "insufficient_credits", {}), EngineFull, "no credits are left at", 300.0),
        ((429, "queue_full", {"Retry-After": "7"}), EngineFull, "accepts no more runs.* in 7 s", 7.0),
        ((429, "queue_full", {}), EngineFull, "asks again in 10 s", 10.0),
        ((429, "deployment_not_ready", {"Retry-After": "30"}), EngineFull, "is not ready yet", 30.0),
        ((422, "deployment_stopped", {}), EngineUnavailable, "is stopped; start it there", None),
        ((401, "unauthorized", {}), EngineUnauthorized, "the right key in COMFY_API_KEYS", None),
        ((413, "payload_too_large", {}), WorkflowRejected, "not accept an upload of this size", None),
        ((302, "moved", {"Location": "http://else.example"}), EngineUnavailable, "to another address", None),
    ],
)  # fmt: skip
async def test_each_refusal_has_its_own_sentence(
    answer: Any, error: type[Exception], sentence: str, seconds: float | None
) -> None:
    async with comfy_rig() as rig, cloud(rig) as (platform, made):
        platform.answers.append(answer)
        with pytest.raises(error, match=sentence) as told:
            await made.submit(rig.batch(ask()))
        assert getattr(told.value, "seconds", None) == seconds
        assert platform.asked.count("POST /api/v2/jobs") == 1
        notes = (await made.probe()).notes
        assert any("no credits" in note or "asks again" in note for note in notes) == (seconds is not None)


@pytest.mark.parametrize(
    ("becomes", "sentence"), [("expired", "it expired there"), ("canceled", "canceled at")]
)
async def test_a_job_that_ends_there_otherwise(becomes: str, sentence: str) -> None:
    async with comfy_rig(timing=SLUGGISH) as rig, cloud(rig) as (platform, made):
        run = await made.submit(rig.batch(ask()))
        platform.jobs[run.job.id].becomes = becomes
        with pytest.raises(EngineForgot, match=sentence):
            await heard(run)  # type: ignore[arg-type]


@KINDS
async def test_a_node_that_raises_is_named_and_what_was_written_is_not(kind: str) -> None:
    async with comfy_rig() as rig, before(kind, rig) as server:
        rig.server.faults.set(poison="unspeakable words")
        run = await engine(rig, **server).submit(rig.batch(ask("some unspeakable words here")))
        with pytest.raises(ExecutionFailed) as told:
            await heard(run)  # type: ignore[arg-type]
        assert "unspeakable" not in str(told.value)


@KINDS
async def test_a_model_that_is_refused_is_not_offered_any_more_and_that_is_told_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    profile = ServerProfile(missing_models=frozenset({"z-image-turbo-Q5_K_M.gguf"}))
    async with comfy_rig(profile=profile) as rig, before(kind, rig) as server:
        made = engine(rig, **server)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                with pytest.raises(EngineUnavailable):
                    await made.submit(rig.batch(ask("secret wish", model="z-image")))
        assert len([r for r in caplog.records if "is not offered there any more" in r.message]) == 1
        assert "secret wish" not in caplog.text
        offer = await made.probe()
        assert "flux" in offer.batch_limits
        assert "z-image" not in offer.batch_limits
        assert any("refused z-image" in note for note in offer.notes)


async def test_a_wrong_input_is_the_requests_fault_and_the_model_stays() -> None:
    async with comfy_rig() as rig, proxy(rig.server) as url:
        made = engine(rig, url)
        with pytest.raises(WorkflowRejected):
            await made.submit(rig.batch(ask(seed=-5)))
        assert "flux" in (await made.probe()).batch_limits


async def test_without_models_those_of_comfyuis_own_nodes_are_offered() -> None:
    async with comfy_rig() as rig, proxy(rig.server) as url:
        offer = await engine(rig, url, models=()).probe()
        core = {name for name, told in SHIPPED.items() if "GGUF" not in str(told.graph)}
        assert set(offer.batch_limits) == core
        named = await engine(rig, url, models=("flux", "nonesuch")).probe()
        assert set(named.batch_limits) == {"flux"}
        assert any("names nonesuch, which is not a model in flujos/" in note for note in named.notes)
        custom = {name: told for name, told in SHIPPED.items() if name not in core}
        if custom:
            nothing = await engine(rig, url, models=(), templates=custom).probe()
            assert not nothing.batch_limits
            assert any("needs the custom nodes" in note and "GGUF" in note for note in nothing.notes)


async def test_a_variation_is_refused() -> None:
    async with comfy_rig() as rig, proxy(rig.server) as url:
        request = ask(variation=Variation(seed=2, strength=0.2))
        with pytest.raises(WorkflowRejected, match="needs the node pack"):
            await engine(rig, url).submit(rig.batch(request))


# ── who hears what ──────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def recorder(**answer: Any) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server that keeps every request, and answers all alike."""
    seen: list[web.Request] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(**{"status": 404, "text": NO, **answer})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", keep)
    async with served(app) as url:
        yield url, seen


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recorder() as (other, strayed), recorder() as (url, seen):
        for name in ("COMFY_BASE_URL", "COMFY_ROUTER_BASE_URL", "HTTP_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, other)
        monkeypatch.setenv("COMFY_API_KEY", "the-key-of-other-servers")
        client = ComfyV2Client(url=url, may_post=lambda: None)
        with contextlib.suppress(EngineUnavailable):
            await client.check()
        await client.aclose()
        assert seen
        assert all("Authorization" not in request.headers for request in seen)
        assert strayed == []


async def test_a_key_goes_to_its_own_address_alone() -> None:
    async with recorder() as (other, strayed):
        async with recorder(status=307, headers={"Location": other}) as (url, seen):
            client = ComfyV2Client(url=url, api_key="k3y", may_post=lambda: None)
            for ask_it in (client.check(), client.job("some-job"), client.cancel("some-job")):
                with pytest.raises(EngineUnavailable, match="to another address"):
                    await ask_it
            await client.aclose()
        assert {request.headers["Authorization"] for request in seen} == {"Bearer k3y"}
        assert strayed == []


@pytest.mark.parametrize("body", ["<html>a web page</html>", '{"detail": "no such page"}', "[" * 100_000])
async def test_an_address_of_something_else_is_told(body: str) -> None:
    async with recorder(text=body) as (url, _):
        client = ComfyV2Client(url=url, may_post=lambda: None)
        with pytest.raises(EngineUnavailable, match="does not answer as Comfy API v2 does"):
            await client.check()
        await client.aclose()


async def test_a_key_that_a_server_repeats_is_not_shown() -> None:
    body = '{"error": {"code": "odd", "message": "your key is k3y-12345678!"}}'
    async with recorder(status=418, text=body) as (url, _):
        client = ComfyV2Client(url=url, api_key="k3y-12345678", may_post=lambda: None)
        with pytest.raises(EngineUnavailable) as told:
            await client.check()
        assert "k3y-12345678" not in str(told.value)
        await client.aclose()


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 2**16)
    async with recorder(text="x" * 2**18) as (url, _):
        client = ComfyV2Client(url=url, may_post=lambda: None)
        with pytest.raises(EngineUnavailable, match="the connection broke"):
            await client.check()
        await client.aclose()


async def test_a_process_that_may_not_write_any_more_starts_no_run() -> None:
    def lost() -> None:
        raise LeaseLost("another process works")

    async with comfy_rig() as rig, proxy(rig.server) as url:
        with pytest.raises(LeaseLost):
            await engine(rig, url, may_post=lost).submit(rig.batch(ask()))
        assert rig.server.core.queue.remaining == 0
        assert not rig.server.core.queue.history


async def test_an_address_that_is_not_there_is_unreachable() -> None:
    async with recorder() as (url, _):
        pass
    client = ComfyV2Client(url=url, may_post=lambda: None)
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await client.check()
    await client.aclose()


async def test_the_proxys_comfyui_may_be_away() -> None:
    server = ComfyServer()
    async with server, proxy(server) as url:
        client = ComfyV2Client(url=url, may_post=lambda: None)
        await client.check()
        await server.unplug()
        with pytest.raises(EngineUnavailable, match="answered 503"):
            await client.check()
        await client.aclose()
