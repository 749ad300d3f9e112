"""The engine before a ComfyUI: everybody's own picture, on whatever server, also after a restart."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.ai.comfy.runs import ComfyRun
from modules.demo.comfy_server import ServerProfile, Timing, mark_of, read_mark, variation_seed
from modules.queue_manager.errors import EngineForgot, EngineUnavailable, StoreUnavailable, WorkflowRejected
from modules.queue_manager.jobs import FusionCheck, LoraUse, Size, Variation
from modules.queue_manager.ports import RunPreview, RunProgress, RunStarted
from tests.examples import examples
from tests.integration.comfy_rig import (
    BRISK,
    SLOW,
    SLUGGISH,
    ask,
    comfy_rig,
    heard,
    is_of,
    opened,
    pictures,
    until_begun,
    until_step,
)
from tests.workflow_graphs import Exported, exported

PLAIN = ServerProfile(pack_version=None)


@pytest.mark.parametrize("model", ["flux", "z-image"])
async def test_each_person_gets_the_picture_of_their_own_prompt_and_seed(model: str) -> None:
    prompts = ['say "hello"', "back\\slash </s>", "a " * 300, "(weights:1.3)"]
    requests = [ask(prompt, seed, model=model) for seed, prompt in enumerate(prompts)]
    async with comfy_rig() as rig:
        engine = rig.engine()
        run = await engine.submit(rig.batch(*requests))
        await heard(run)
        for picture, request in zip(await pictures(run), requests, strict=True):
            assert is_of(picture, request)
            assert picture.size == request.size
            assert picture.media_type == "image/png"
        assert [span.rows for span in rig.server.sampler_log] == [4]


@pytest.mark.parametrize("spelled", ["photo/grain.safetensors", "photo\\grain.safetensors"])
@pytest.mark.parametrize("model", ["flux", "z-image"])
async def test_with_a_lora_each_person_gets_in_a_shared_run_what_they_get_alone(
    model: str, spelled: str
) -> None:
    """However the server writes its file, fused, and without the node pack."""
    grain = LoraUse(
        name="grain", label="Grain", file="photo/grain.safetensors", strength=0.75, words="grainy"
    )
    requests = [ask(words, seed, model=model, lora=grain) for seed, words in enumerate(("fox", "owl", "elk"))]
    stocked = ServerProfile(extra_models={"loras": (spelled,)})
    seen: list[list[bytes]] = []
    for profile in (stocked, replace(stocked, pack_version=None)):
        async with comfy_rig(profile=profile) as rig:
            engine = rig.engine()
            assert (await engine.probe()).loras == {"photo/grain.safetensors"}
            fused = profile.pack_version is not None
            batches = [rig.batch(*requests)] if fused else [rig.batch(request) for request in requests]
            made = []
            for batch in batches:
                run = await engine.submit(batch)
                await heard(run)
                made += await pictures(run)
            assert all(is_of(*each) for each in zip(made, requests, strict=True))
            assert len(rig.server.sampler_log) == len(batches)
            seen.append([opened(picture).tobytes() for picture in made])
            run = await engine.submit(rig.batch(replace(requests[0], lora=None)))
            await heard(run)
            assert opened((await pictures(run))[0]).tobytes() != seen[-1][0]
    assert seen[0] == seen[1]


async def test_what_is_told_of_a_run() -> None:
    async with comfy_rig(timing=Timing(step=0.02)) as rig:
        run = await rig.engine(preview_every=2).submit(rig.batch(ask("one"), ask("two")))
        events = await heard(run)
        assert events[0] == RunStarted()
        steps = [event.step for event in events if isinstance(event, RunProgress)]
        assert steps == sorted(steps)
        assert steps[0] == 0
        assert steps[-1] == 4
        assert {event.steps for event in events if isinstance(event, RunProgress)} == {4}
        previews = [event for event in events if isinstance(event, RunPreview)]
        assert sorted(event.index for event in previews) == [0, 0, 1, 1]
        assert len({event.image for event in previews if event.index == 0}) == 2
        assert not {p.image for p in previews if p.index == 0} & {p.image for p in previews if p.index == 1}


async def test_the_order_of_a_batch_makes_no_difference() -> None:
    requests = [ask(f"prompt {n}", n) for n in range(4)]
    async with comfy_rig() as rig:
        engine = rig.engine()
        straight = await engine.submit(rig.batch(*requests))
        await heard(straight)
        turned = await engine.submit(rig.batch(*reversed(requests)))
        await heard(turned)
        assert [p.data for p in await pictures(straight)] == [
            p.data for p in reversed(await pictures(turned))
        ]


@pytest.mark.parametrize("picture_format", ["png", "webp", "jpeg"])
async def test_pictures_come_in_the_format_that_was_chosen(picture_format: Any) -> None:
    async with comfy_rig() as rig:
        run = await rig.engine(picture_format=picture_format).submit(rig.batch(ask()))
        await heard(run)
        assert (await run.fetch(0)).media_type == f"image/{picture_format}"


async def test_a_variation_is_reproducible_and_alters_its_own_row_alone() -> None:
    varied = ask("a boat", 5, variation=Variation(seed=9, strength=0.2))
    async with comfy_rig() as rig:
        run = await rig.engine().submit(rig.batch(ask("a boat", 5), varied))
        await heard(run)
        first, second = await pictures(run)
        assert read_mark(opened(first)) == mark_of("a boat", 5)
        assert read_mark(opened(second)) == mark_of("a boat", variation_seed(5, 9, 0.2))


@pytest.mark.parametrize("model", ["flux", "z-image"])
async def test_a_variation_is_the_same_where_its_model_runs_one_by_one(model: str) -> None:
    varied = ask("a boat", 5, model=model, variation=Variation(seed=9, strength=0.2))
    async with comfy_rig() as rig:
        engine = rig.engine()
        found = []
        for fused in (True, False):
            run = await engine.submit(replace(rig.batch(varied), fused=fused))
            await heard(run)
            found.append(opened((await pictures(run))[0]).tobytes())
        assert found[0] == found[1]


# ── pictures that start from pictures ───────────────────────────────────────────────────────────


async def test_edits_of_unequal_originals_fuse_and_see_their_own() -> None:
    async with comfy_rig(drawing="full") as rig:
        red = rig.upload(Image.new("RGB", (100, 100), (220, 10, 10)))
        blue = rig.upload(Image.new("RGB", (300, 300), (10, 10, 220)))
        offer = rig.templates["flux_edit"].offer()
        size = offer.result_size(red.size)
        requests = [
            ask("greener", n, model="flux_edit", kind="edit", size=size, sources=(source,))
            for n, source in enumerate((red, blue))
        ]
        batch = rig.batch(*requests)
        assert batch.jobs[0].key == batch.jobs[1].key
        run = await rig.engine().submit(batch)
        await heard(run)
        results = await pictures(run)
        for picture, request in zip(results, requests, strict=True):
            assert is_of(picture, request)
            assert picture.size == size
        reddish, bluish = (opened(picture).resize((1, 1)).getpixel((0, 0)) for picture in results)
        assert reddish[0] > bluish[0]  # type: ignore[index]
        assert bluish[2] > reddish[2]  # type: ignore[index]


async def test_an_edit_with_two_pictures_and_the_same_one_twice_is_uploaded_once() -> None:
    async with comfy_rig() as rig:
        one = rig.upload(Image.new("RGB", (64, 64), (1, 2, 3)))
        two = rig.upload(Image.new("RGB", (64, 64), (4, 5, 6)))
        size = rig.templates["flux_edit"].offer().result_size(one.size)
        requests = [
            ask(f"join {n}", n, model="flux_edit", kind="edit", size=size, sources=pair)
            for n, pair in enumerate([(one, two), (two, one)])
        ]
        run = await rig.engine().submit(rig.batch(*requests))
        await heard(run)
        for picture, request in zip(await pictures(run), requests, strict=True):
            assert is_of(picture, request)
        assert len(rig.server.bench.files.names("input")) == 2


async def test_upscaling_gives_sides_twice_as_long() -> None:
    async with comfy_rig(drawing="full") as rig:
        small = rig.upload(Image.new("RGB", (64, 48), (200, 100, 50)))
        size = Size(width=128, height=96)
        request = ask("", model="upscale", kind="upscale", size=size, sources=(small,))
        run = await rig.engine().submit(rig.batch(request, request))
        await heard(run)
        for picture in await pictures(run):
            assert picture.size == size
            seen = opened(picture).getpixel((5, 5))
            assert isinstance(seen, tuple)
            assert all(abs(a - b) < 40 for a, b in zip(seen, (200, 100, 50), strict=True))  # the mark's veil


async def test_a_source_that_is_gone_is_told() -> None:
    async with comfy_rig() as rig:
        source = rig.upload(Image.new("RGB", (64, 64)))
        rig.sources.clear()
        request = ask(model="flux_edit", kind="edit", sources=(source,))
        with pytest.raises(WorkflowRejected, match="the source picture is gone"):
            await rig.engine().submit(rig.batch(request))


# ── a server without the node pack ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["flux", "z-image"])
async def test_without_the_pack_the_same_seed_gives_the_same_picture(model: str) -> None:
    request = ask("the same", 77, model=model)
    async with comfy_rig() as fused, comfy_rig(profile=PLAIN) as stock:
        found = []
        for rig in (fused, stock):
            engine = rig.engine()
            limits = (await engine.probe()).batch_limits
            assert (limits[model] > 1) == (rig is fused)
            run = await engine.submit(rig.batch(request))
            await heard(run)
            found.append(opened(await run.fetch(0)).tobytes())
        assert found[0] == found[1]


async def test_without_the_pack_an_edit_and_its_preview_work() -> None:
    async with comfy_rig(profile=PLAIN) as rig:
        source = rig.upload(Image.new("RGB", (64, 64), (9, 9, 9)))
        size = rig.templates["flux_edit"].offer().result_size(source.size)
        request = ask("plain edit", model="flux_edit", kind="edit", size=size, sources=(source,))
        run = await rig.engine().submit(rig.batch(request))
        events = await heard(run)
        assert is_of(await run.fetch(0), request)
        assert {event.index for event in events if isinstance(event, RunPreview)} == {0}


async def test_without_the_pack_two_at_once_are_sent_back_to_be_split() -> None:
    async with comfy_rig(profile=PLAIN) as rig:
        with pytest.raises(EngineUnavailable, match="only one by one"):
            await rig.engine().submit(rig.batch(ask("a"), ask("b")))
        assert rig.server.core.queue.running is None


async def test_the_same_request_again_is_made_again_and_never_another_ones_file() -> None:
    """An identical prompt is a cache hit in ComfyUI, which then names old files; ours is never identical."""
    async with comfy_rig(profile=PLAIN) as rig:
        engine = rig.engine()
        for _ in range(2):
            run = await engine.submit(rig.batch(ask("again", 3)))
            await heard(run)
            assert is_of(await run.fetch(0), ask("again", 3))
        assert len(rig.server.bench.files.names("output")) == 2


# ── two runs, taking back ───────────────────────────────────────────────────────────────────────


async def test_a_run_that_waits_begins_when_the_one_before_has_ended() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        engine = rig.engine()
        first, second = [await engine.submit(rig.batch(ask(name))) for name in ("first", "second")]
        order: list[str] = []

        async def follow(run: ComfyRun, name: str) -> None:
            rest = await until_begun(run)
            order.append(f"{name} begins")
            [event async for event in rest]
            order.append(f"{name} ends")

        await asyncio.gather(follow(first, "first"), follow(second, "second"))
        assert order == ["first begins", "first ends", "second begins", "second ends"]
        assert is_of(await first.fetch(0), ask("first"))
        assert is_of(await second.fetch(0), ask("second"))


async def test_a_waiting_run_is_taken_back_and_the_others_go_on() -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(stall=True)  # so that the second one waits, however slowly it is taken back
        engine, stranger = rig.engine(), rig.engine()
        first = await engine.submit(rig.batch(ask("first")))
        waiting = await engine.submit(rig.batch(ask("waiting")))
        others = await stranger.submit(rig.batch(ask("others")))
        listening = asyncio.ensure_future(heard(waiting))
        assert await waiting.withdraw(interrupt=False)
        with pytest.raises(EngineForgot):
            await listening
        rig.server.faults.set(stall=False)
        await asyncio.gather(heard(first), heard(others))
        assert is_of(await others.fetch(0), ask("others"))
        assert len(rig.server.sampler_log) == 2


async def test_a_run_that_has_begun_is_interrupted_and_the_others_go_on() -> None:
    async with comfy_rig(timing=SLUGGISH) as rig:
        engine, stranger = rig.engine(), rig.engine()
        run = await engine.submit(rig.batch(ask("begun")))
        events = await until_step(run)
        others = await stranger.submit(rig.batch(ask("others")))
        assert not await run.withdraw(interrupt=True)
        with pytest.raises(EngineForgot, match="interrupted"):
            [event async for event in events]
        await heard(others)
        assert is_of(await others.fetch(0), ask("others"))


async def test_who_is_told_to_stop_by_name_too_late_stops_nobody_else() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_begun(run)
        await rig.client().interrupt(str(uuid.uuid4()))  # a run that has just ended
        [event async for event in events]
        assert is_of(await run.fetch(0), ask())


async def test_a_run_that_has_begun_goes_on_if_it_shall_not_be_interrupted() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_begun(run)
        assert not await run.withdraw(interrupt=False)
        [event async for event in events]
        assert is_of(await run.fetch(0), ask())


async def test_a_server_that_stands_still_says_that_it_is_at_the_run_until_it_moves() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_begun(run)
        rig.server.faults.set(stall=True)
        assert not await run.withdraw(interrupt=True)
        assert await run.running()
        rig.server.faults.set(stall=False)
        with pytest.raises(EngineForgot, match="interrupted"):
            [event async for event in events]
        while await run.running():  # told of a moment before the queue is free
            await asyncio.sleep(0.01)


async def test_taking_back_what_has_ended_changes_nothing() -> None:
    async with comfy_rig() as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        await heard(run)
        assert not await run.withdraw(interrupt=True)
        assert is_of(await run.fetch(0), ask())


# ── after a restart of the bot ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("profile", [ServerProfile(), PLAIN])
async def test_another_process_follows_a_run_that_still_runs(profile: ServerProfile) -> None:
    async with comfy_rig(profile=profile, timing=Timing(step=0.5)) as rig:
        former = rig.engine()
        batch = rig.batch(ask("still running", 8))
        await until_begun(await former.submit(batch))
        await former.aclose()
        successor = rig.engine()
        await successor.probe()
        run = await successor.resume(batch)
        assert run is not None
        events = await heard(run)
        assert events[0] == RunStarted()
        assert RunProgress(step=4, steps=4) in events  # told by the socket, under the former one's name
        assert is_of(await run.fetch(0), ask("still running", 8))
        assert len(rig.server.sampler_log) == 1


@pytest.mark.parametrize("profile", [ServerProfile(), PLAIN])
async def test_another_process_fetches_a_run_that_has_ended(profile: ServerProfile) -> None:
    async with comfy_rig(profile=profile) as rig:
        former = rig.engine()
        batch = rig.batch(ask("ended", 8))
        await heard(await former.submit(batch))
        await former.aclose()
        run = await rig.engine().resume(batch)
        assert run is not None
        await heard(run)
        assert is_of(await run.fetch(0), ask("ended", 8))


async def test_another_process_follows_a_run_that_waits_and_keeps_everybodys_place() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        former = rig.engine()
        await former.submit(rig.batch(ask("before")))
        requests = [ask(f"row {n}", n) for n in range(3)]
        batch = rig.batch(*requests)
        await former.submit(batch)
        await former.aclose()
        run = await rig.engine().resume(batch)
        assert run is not None
        await heard(run)
        for picture, request in zip(await pictures(run), requests, strict=True):
            assert is_of(picture, request)


async def test_of_a_batch_that_lost_a_job_everybody_else_still_gets_their_own() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        former = rig.engine()
        requests = [ask(f"row {n}", n) for n in range(3)]
        batch = rig.batch(*requests)
        await former.submit(batch)
        await former.aclose()
        left = replace(batch, jobs=batch.jobs[1:], rows=(1, 2))
        run = await rig.engine().resume(left)
        assert run is not None
        await heard(run)
        for index, asked in enumerate(requests[1:]):
            assert is_of(await run.fetch(index), asked)


async def test_a_successor_that_has_runs_of_its_own_asks_how_the_former_one_does() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        former, successor = rig.engine(), rig.engine(times=replace(BRISK, silence=60.0))
        batch = rig.batch(ask("former"))
        await former.submit(batch)
        await former.aclose()
        own = await successor.submit(rig.batch(ask("own")))
        run = await successor.resume(batch)
        assert run is not None
        await asyncio.gather(heard(run), heard(own))
        assert is_of(await run.fetch(0), ask("former"))
        assert is_of(await own.fetch(0), ask("own"))


async def test_what_the_server_does_not_know_cannot_be_resumed() -> None:
    async with comfy_rig() as rig:
        engine = rig.engine()
        batch = rig.batch(ask())
        assert await engine.resume(batch) is None
        await heard(await engine.submit(batch))
        await rig.server.restart()
        assert await rig.engine().resume(batch) is None


# ── what travels ────────────────────────────────────────────────────────────────────────────────


async def test_keys_are_new_for_every_batch_and_no_name_travels() -> None:
    async with comfy_rig() as rig:
        engine = rig.engine()
        seen: list[str] = []
        for _ in range(3):
            batch = rig.batch(ask("secret prompt", user=123456789012345678))
            await heard(await engine.submit(batch))
            graph = rig.server.core.queue.history[batch.id].as_dict()["prompt"][2]
            seen += json.loads(graph["fullet_save"]["inputs"]["keys"])
            text = json.dumps(graph)
            assert "123456789012345678" not in text
            assert batch.jobs[0].id not in text
        assert len(set(seen)) == 3


async def test_no_prompt_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with comfy_rig() as rig:
        with caplog.at_level("INFO"):
            run = await rig.engine().submit(rig.batch(ask("a very private prompt")))
            await heard(run)
        assert "private" not in caplog.text


# ── any exported workflow, really run ───────────────────────────────────────────────────────────


@settings(max_examples=examples(8), deadline=None)
@given(exported(), st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=3, unique=True))
def test_an_exported_workflow_gives_the_same_pictures_fused_and_alone(
    drawn: Exported, prompts: list[str]
) -> None:
    asyncio.run(_fused_and_alone(drawn, prompts))


async def _fused_and_alone(drawn: Exported, prompts: list[str]) -> None:
    model = drawn.template
    loras = {"loras": ("one.safetensors", "two.safetensors")}
    negatives = [prompt[::-1] if drawn.negative != "none" else "" for prompt in prompts]
    requests = [
        ask(prompt, n, model=model.name, negative=negative)
        for n, (prompt, negative) in enumerate(zip(prompts, negatives, strict=True))
    ]
    pixels = []
    for version in ("2.0.0", None):
        profile = ServerProfile(extra_models=loras, pack_version=version)
        async with comfy_rig(profile=profile, templates={model.name: model}) as rig:
            engine = rig.engine()
            batches = [requests] if version else [[request] for request in requests]
            found = []
            for batch in batches:
                run = await engine.submit(rig.batch(*batch))
                await heard(run)
                found += await pictures(run)
            for picture, request in zip(found, requests, strict=True):
                assert is_of(picture, request)
            pixels.append([opened(picture).tobytes() for picture in found])
    assert pixels[0] == pixels[1]


async def test_what_a_check_found_holds_until_the_next_check_or_what_it_found_out_about_has_changed() -> None:
    known: dict[str, FusionCheck] | None = None

    async def read_checks(server: str) -> dict[str, FusionCheck]:
        assert server == f"127.0.0.1:{rig.server.port}"
        if known is None:
            raise StoreUnavailable("the database is away")
        return known

    async with comfy_rig() as rig:
        engine = rig.engine(read_checks=read_checks)
        with pytest.raises(EngineUnavailable, match="database"):
            await engine.probe()  # it may hold that a model must not be fused
        known = {}
        version = (await engine.probe()).versions["flux"]
        known = {
            "flux": FusionCheck(version=version, checked_at=1.0, gain=2.0, rows=4),
            "flux_edit": FusionCheck(version="of another workflow", checked_at=1.0, gain=2.0, rows=4),
            "z-image": FusionCheck(version="of another", checked_at=1.0, why_alone="it differs"),
        }
        assert set((await engine.probe()).checks) == {"flux", "z-image"}
        known = None
        assert set((await engine.probe()).checks) == {"flux", "z-image"}
