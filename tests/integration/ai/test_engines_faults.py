"""A ComfyUI in trouble, or a hostile one: what its runs end with, and that nothing else is harmed."""

from __future__ import annotations

import asyncio
import resource
import sys
from typing import Any

import pytest

from modules.ai.comfy.http import Limits
from modules.demo.comfy_server import ServerProfile, Timing
from modules.demo.comfy_server.failure_texts import LACKS_OF_MEMORY
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineForgot,
    EngineSick,
    EngineUnauthorized,
    EngineUnavailable,
    ExecutionFailed,
    FusionRefused,
    GenerationError,
    NoOutput,
    OutOfMemory,
)
from modules.queue_manager.ports import RunEvent, RunProgress, RunStarted
from tests.benchmarks.relay import relay
from tests.integration.comfy_rig import (
    SLOW,
    SLUGGISH,
    Rig,
    ask,
    comfy_rig,
    heard,
    is_of,
    pictures,
    until_begun,
    until_step,
)

PLAIN = ServerProfile(pack_version=None)


async def listened_to(rig: Rig) -> None:
    """Returns when somebody has a socket to the server."""
    async with timeout(10):
        while not rig.server.core.hub._sockets:
            await asyncio.sleep(0.01)


# ── the socket ──────────────────────────────────────────────────────────────────────────────────


async def test_a_dropped_socket_is_opened_again_and_the_run_goes_on() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_step(run)
        rig.server.faults.set(stall=True)
        await rig.server.drop_sockets()
        await listened_to(rig)
        rig.server.faults.set(stall=False)
        later = [event async for event in events]
        assert any(isinstance(event, RunProgress) and event.step == 4 for event in later)
        assert is_of(await run.fetch(0), ask())


@pytest.mark.parametrize("profile", [ServerProfile(), PLAIN])
async def test_without_a_socket_the_server_is_asked(profile: ServerProfile) -> None:
    async with comfy_rig(profile=profile, timing=Timing(step=0.03)) as rig:
        rig.server.faults.set(no_socket=True)
        run = await rig.engine().submit(rig.batch(ask()))
        assert await heard(run) == [RunStarted()]
        assert is_of(await run.fetch(0), ask())


async def test_a_socket_that_says_nothing_is_not_waited_for() -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(silent=True)
        run = await rig.engine().submit(rig.batch(ask()))
        assert await heard(run) == [RunStarted()]
        assert is_of(await run.fetch(0), ask())


async def test_a_socket_that_goes_in_the_last_moment_loses_nothing() -> None:
    """The end of the run is told to nobody; the history knows."""
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_step(run, 3)
        await rig.server.set_faults(no_socket=True)
        [event async for event in events]
        assert is_of(await run.fetch(0), ask())


async def test_an_idle_server_that_dies_is_noticed_by_its_socket_and_only_once() -> None:
    async with comfy_rig() as rig:
        engine = rig.engine()
        await engine.probe()
        await listened_to(rig)
        doubting = asyncio.ensure_future(engine.doubtful())
        await asyncio.sleep(0.05)
        assert not doubting.done()
        await rig.server.kill()
        async with timeout(2):
            await doubting
        with pytest.raises(EngineUnavailable):
            await engine.probe()
        again = asyncio.ensure_future(engine.doubtful())
        await asyncio.sleep(0.3)  # it tries to open the socket again, in vain
        assert not again.done()
        again.cancel()


# ── death and forgetting ────────────────────────────────────────────────────────────────────────


async def test_a_server_that_dies_is_given_up_soon() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        rig.server.faults.set(die_at_step=2)
        run = await rig.engine().submit(rig.batch(ask(), ask("other")))
        loop = asyncio.get_running_loop()
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            await heard(run)
        assert not rig.server.running
        began = loop.time()
        with pytest.raises(EngineUnavailable):
            await rig.engine().submit(rig.batch(ask()))
        assert loop.time() - began < 1.0


async def test_a_server_that_was_restarted_has_forgotten() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        rig.server.faults.set(die_at_step=2, back_after=0.1)
        engine = rig.engine()
        run = await engine.submit(rig.batch(ask()))
        with pytest.raises(EngineForgot, match="has no record of the run"):
            await heard(run)
        again = await engine.submit(rig.batch(ask()))
        await heard(again)
        assert is_of(await again.fetch(0), ask())


async def test_a_stalled_run_can_be_taken_back() -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(stall=True)
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_begun(run)
        assert not await run.withdraw(interrupt=True)
        rig.server.faults.set(stall=False)
        with pytest.raises(EngineForgot):
            [event async for event in events]


async def test_somebody_else_stopping_the_run_at_the_server_is_no_fault_of_the_job() -> None:
    async with comfy_rig(timing=SLOW) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        events = await until_step(run)
        await rig.session.post(f"{rig.server.url}/interrupt", json={})
        with pytest.raises(EngineForgot, match="interrupted"):
            [event async for event in events]


BRIEF = Limits(answer=2.5, submit=8.0, picture=8.0, connect=1.0)


async def test_a_machine_that_is_gone_without_a_word_is_noticed_by_its_run() -> None:
    async with comfy_rig(timing=SLOW, limits=BRIEF) as rig, relay(rig.server.url) as between:
        run = await rig.engine(between.url).submit(rig.batch(ask()))
        events = await until_step(run)
        await between.vanish()
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            async with timeout(4):
                [event async for event in events]


async def test_a_batch_for_a_machine_that_is_gone_goes_elsewhere_soon() -> None:
    """The request goes out over a connection that is still open on this side."""
    async with comfy_rig(limits=BRIEF) as rig, relay(rig.server.url) as between:
        engine = rig.engine(between.url)
        await engine.probe()
        await between.vanish()
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            async with timeout(6):
                await engine.submit(rig.batch(ask()))


async def test_a_machine_that_is_there_and_too_busy_to_say_anything_keeps_its_run() -> None:
    """It answers nothing for longer than any request may take."""
    async with comfy_rig(timing=SLUGGISH, limits=BRIEF) as rig, relay(rig.server.url) as between:
        run = await rig.engine(between.url).submit(rig.batch(ask()))
        events = await until_step(run)
        between.freeze()

        async def rest() -> list[RunEvent]:
            return [event async for event in events]

        ending = asyncio.ensure_future(rest())
        await asyncio.sleep(4.0)
        assert not ending.done()
        await between.open()
        await ending
        assert is_of(await run.fetch(0), ask())


# ── the run itself ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("no_socket", [False, True])
async def test_out_of_memory_is_told_from_other_failures(no_socket: bool) -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(oom_above=2, no_socket=no_socket)
        engine = rig.engine()
        with pytest.raises(OutOfMemory):
            await heard(await engine.submit(rig.batch(*(ask(f"p{n}") for n in range(3)))))
        run = await engine.submit(rig.batch(ask("p0"), ask("p1")))
        await heard(run)
        assert all(is_of(p, ask(f"p{n}")) for n, p in enumerate(await pictures(run)))


@pytest.mark.parametrize("no_socket", [False, True])
async def test_a_node_that_raises_is_named(no_socket: bool) -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(poison="venom", no_socket=no_socket)
        engine = rig.engine()
        with pytest.raises(ExecutionFailed, match=r'node 4 "Prompt" \(CLIPTextEncode\)') as caught:
            await heard(await engine.submit(rig.batch(ask("some venom"), ask("sweet secret"))))
        assert "secret" not in str(caught.value)
        await heard(await engine.submit(rig.batch(ask("sweet"))))


@pytest.mark.parametrize("words", LACKS_OF_MEMORY)
async def test_a_lack_of_memory_is_known_in_every_backends_words(words: str) -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(oom_above=1, oom_words=words)
        with pytest.raises(OutOfMemory):
            await heard(await rig.engine().submit(rig.batch(ask("p0"), ask("p1"))))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("disk full", EngineSick),
        ("paging file", EngineSick),
        ("cuda", ExecutionFailed),
        ("cuda, older", ExecutionFailed),
        ("broken install", ExecutionFailed),
    ],
)
async def test_the_machines_own_trouble_is_told_from_what_may_be_the_jobs(
    words: str, error: type[GenerationError]
) -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(fail_at=["SaveImageBatch"], fail_with=words)
        with pytest.raises(error) as caught:
            await heard(await rig.engine().submit(rig.batch(ask())))
        assert type(caught.value) is error


async def test_what_the_node_pack_refuses_is_no_failure_of_anybodys_job() -> None:
    async with comfy_rig() as rig:
        rig.server.faults.set(refused=["euler"])
        with pytest.raises(FusionRefused, match="SamplerBatch: input sampler: euler "):
            await heard(await rig.engine().submit(rig.batch(ask("p0"), ask("p1"))))


# ── submissions in doubt ────────────────────────────────────────────────────────────────────────


async def test_a_submission_that_arrived_although_it_seemed_to_fail_runs_once() -> None:
    limits = Limits(answer=2.0, submit=0.2, picture=2.0)
    async with comfy_rig(timing=SLOW, limits=limits) as rig:
        engine = rig.engine()
        await engine.probe()
        rig.server.faults.set(slow_body=1.0, only="/prompt", times=1)
        run = await engine.submit(rig.batch(ask()))
        await heard(run)
        assert is_of(await run.fetch(0), ask())
        assert len(rig.server.sampler_log) == 1


async def test_a_submission_that_never_arrived_is_told_and_leaves_nothing_behind() -> None:
    limits = Limits(answer=2.0, submit=0.2, picture=2.0)
    async with comfy_rig(limits=limits) as rig:
        engine = rig.engine()
        await engine.probe()
        rig.server.faults.set(status=502, only="/prompt", times=1)
        with pytest.raises(EngineUnavailable, match="answered 502"):
            await engine.submit(rig.batch(ask()))
        assert not rig.server.core.queue.history
        run = await engine.submit(rig.batch(ask()))
        await heard(run)
        assert is_of(await run.fetch(0), ask())


# ── answers that are none ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ({"html": 502}, EngineUnavailable, "answered 502"),
        ({"html": 200}, EngineUnavailable, "answered with a web page"),
        ({"unauthorized": True}, EngineUnauthorized, "needs the right COMFY_API_KEY"),
        ({"status": 500}, EngineUnavailable, "answered 500"),
        ({"status": 200}, EngineUnavailable, "something other than JSON"),
        ({"wrong_types": True}, EngineUnavailable, "something other than an object"),
        ({"hang": True}, EngineUnavailable, "did not answer in time"),
        ({"slow_body": 30.0}, EngineUnavailable, "did not answer in time"),
    ],
)
async def test_a_probe_says_what_is_wrong(
    fault: dict[str, Any], error: type[GenerationError], told: str
) -> None:
    async with comfy_rig(limits=Limits(answer=0.8, submit=0.8, picture=0.8, connect=0.8)) as rig:
        rig.server.faults.set(**fault)
        engine = rig.engine()
        with pytest.raises(error, match=told):
            await engine.probe()
        rig.server.faults.clear()
        assert (await engine.probe()).batch_limits["flux"] == 4


@pytest.mark.parametrize("profile", [ServerProfile(), PLAIN])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"giant_png": True}, "30000×30000"),
        ({"garbage": True}, "incomplete picture"),
        ({"html": 200, "only": "/view"}, "incomplete picture"),
        ({"status": 404, "only": "/view"}, "not there"),
        ({"wrong_types": True}, "something else"),
    ],
)
async def test_a_hostile_picture_harms_its_own_batch_alone(
    profile: ServerProfile, fault: dict[str, Any], told: str
) -> None:
    route = "/view" if profile.pack_version is None else "/fullet/pictures"
    fault = {**fault, "only": route} if "only" in fault else fault
    async with comfy_rig(profile=profile) as rig:
        engine = rig.engine()
        first, second = ask("first"), ask("second")
        one = await engine.submit(rig.batch(first))
        await heard(one)
        two = await engine.submit(rig.batch(second))
        await heard(two)
        rig.server.faults.set(**fault)
        if "wrong_types" in fault:  # a picture is no JSON: it comes as it should
            assert is_of(await one.fetch(0), first)
        else:
            with pytest.raises(NoOutput, match=told):
                await one.fetch(0)
        rig.server.faults.clear()
        assert is_of(await two.fetch(0), second)


@pytest.mark.parametrize("fault", ["cut_body", "endless_body"])
async def test_a_picture_that_breaks_off_or_never_ends_is_fetched_again(fault: str) -> None:
    limits = Limits(answer=1.0, submit=1.0, picture=5.0, picture_bytes=2 * 2**20)
    async with comfy_rig(limits=limits) as rig:
        run = await rig.engine().submit(rig.batch(ask()))
        await heard(run)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rig.server.faults.set(**{fault: True})
        with pytest.raises(EngineUnavailable):
            await run.fetch(0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert sys.platform != "linux" or grown < 64 * 1024  # KiB
        rig.server.faults.clear()
        assert is_of(await run.fetch(0), ask())


async def test_other_peoples_file_names_are_not_taken_for_ours() -> None:
    async with comfy_rig(profile=PLAIN) as rig:
        engine = rig.engine()
        first = await engine.submit(rig.batch(ask("mine")))
        await heard(first)
        rig.server.faults.set(foreign_outputs=True)
        second = await engine.submit(rig.batch(ask("yours")))
        await heard(second)
        with pytest.raises(NoOutput, match="without saving a picture of its own"):
            await second.fetch(0)
        assert is_of(await first.fetch(0), ask("mine"))


async def test_a_model_file_that_went_away_is_the_servers_fault_and_told_by_name() -> None:
    async with comfy_rig() as rig:
        engine = rig.engine()
        await engine.probe()
        rig.server.faults.set(missing_models=["ae.safetensors"])
        await rig.server.restart()
        with pytest.raises(EngineUnavailable, match=r"vae_name: 'ae\.safetensors' is not on the server"):
            await engine.submit(rig.batch(ask(model="z-image")))
        assert "z-image" not in (await engine.probe()).batch_limits
