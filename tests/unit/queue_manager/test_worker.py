"""A server that answers and fails every run costs nobody a picture, and a guilty job costs no server."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.queue_manager.jobs import Job
from modules.queue_manager.ports import Requeued
from tests.examples import examples
from tests.fakes import MemoryStore
from tests.unit.queue_manager.test_manager import House, play
from tests.virtual_time import run_virtual

CUDA = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    "fresh", [True, False], ids=["nothing was made before", "the model is known to work"]
)
def test_a_sick_gpu_beside_a_healthy_one_costs_no_picture_and_little_time(*, fresh: bool) -> None:
    async def crowd(house: House) -> None:
        jobs = [await house.submit(n % 8, f"p{n}") for n in range(24)]
        await house.ended(*jobs)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Delivered"}

    async def with_a_sick_one(house: House) -> None:
        if not fresh:
            house.manager.dispatcher.engines._working.add("flux")
        house.engines["sick"].sick = CUDA
        await crowd(house)
        status = {engine.name: engine for engine in house.fleet.engines()}
        assert "runs failed in a row: CUDA error" in str(status["sick"].last_error)
        assert status["well"].last_error is None

    alone = play(crowd, "well", max_jobs_per_user=9).engines["well"]
    both = play(with_a_sick_one, "sick", "well", max_jobs_per_user=9)
    assert len(both.engines["sick"].submitted) < (40 if fresh else 12)
    assert both.engines["well"].log[-1][1] <= 1.25 * alone.log[-1][1]


def test_the_only_server_falls_sick_and_jobs_wait_until_it_is_well() -> None:
    async def scene(house: House) -> None:
        engine = house.engines["a"]
        await house.ended(await house.submit(99))
        engine.sick = "OSError: disk quota exceeded"
        jobs = [await house.submit(n, f"p{n}") for n in range(8)]
        await asyncio.sleep(30.0)
        (status,) = house.fleet.engines()
        assert status.state == "down"
        assert "failed in a row: OSError" in str(status.last_error)
        told = [str(event.error) for event in house.ear.events if isinstance(event, Requeued)]
        assert any("failed in a row" in text for text in told)
        engine.sick = ""
        await house.ended(*jobs)
        ends = [house.ear.of(job)[-1] for job in jobs]
        assert ends.count("Failed") <= 2  # those that failed alone before the server was found out
        assert [status.last_error for status in house.fleet.engines()] == [None]

    play(scene)


def test_a_full_disk_fails_nobody_and_is_told_until_there_is_room() -> None:
    async def scene(house: House) -> None:
        house.engines["a"].full = True
        jobs = [await house.submit(n, f"p{n}") for n in range(4)]
        await asyncio.sleep(5.0)
        (status,) = house.fleet.engines()
        assert "failed in a row: no space left on device" in str(status.last_error)
        house.engines["a"].full = False
        await house.ended(*jobs)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Delivered"}
        assert all(event.job.attempts == 0 for event in house.ear.events)

    play(scene)


def test_jobs_do_not_wait_for_ever_for_a_server_that_stays_sick() -> None:
    async def scene(house: House) -> None:
        engine = house.engines["a"]
        await house.ended(await house.submit(99))
        engine.sick = CUDA
        jobs = [await house.submit(n, f"p{n}") for n in range(3)]
        await house.ended(*jobs, within=3600.0)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Failed"}

    play(scene)


def test_a_broken_model_takes_no_server_from_the_others() -> None:
    async def scene(house: House) -> None:
        for engine in house.engines.values():
            engine.poison = "broken"
        jobs = [await house.submit(n, "broken", model="z-image") for n in range(10)]
        await house.ended(*jobs)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Failed"}
        assert [status.state for status in house.fleet.engines()] == ["idle", "idle"]
        assert not any(slot.sick for slot in house.manager.dispatcher.engines.states.values())

    play(scene, "a", "b")


def test_a_job_that_fails_alone_is_tried_on_one_other_server() -> None:
    async def scene(house: House) -> None:
        for engine in house.engines.values():
            engine.poison = "bad"
        job = await house.submit(1, "bad")
        await house.ended(job)
        tried = [name for name, engine in house.engines.items() if engine.submitted]
        assert len(tried) == 2
        assert house.ear.of(job) == ["Queued", "Started", "Requeued", "Started", "Failed"]

    play(scene, "a", "b", "c")


def test_a_server_without_room_for_files_is_found_out_by_the_pictures_that_are_missing() -> None:
    async def scene(house: House) -> None:
        house.engines["a"].lost_pictures = 1000
        jobs = [await house.submit(n % 6, f"p{n}") for n in range(12)]
        await house.ended(*jobs)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Delivered"}
        assert house.manager.dispatcher.engines.states["a"].sick

    play(scene, "a", "b", max_jobs_per_user=9)


@settings(max_examples=examples(10), deadline=None)
@given(
    sick=st.sets(st.sampled_from("abc"), max_size=2),
    guilty=st.sets(st.integers(0, 19), max_size=3),
    owner=st.integers(0, 4),
)
def test_nobody_pays_for_a_sick_server_or_for_somebody_elses_job(
    sick: set[str], guilty: set[int], owner: int
) -> None:
    """Of three servers up to two fail everything; up to three jobs of one person fail everywhere."""

    async def scene(house: House) -> None:
        for name, engine in house.engines.items():
            engine.poison = "bad"
            engine.sick = CUDA if name in sick else ""
        jobs: list[tuple[Job, bool]] = []
        for n in range(20):
            bad = n in guilty
            job = await house.submit(owner if bad else 5 + n % 5, "bad" if bad else f"p{n}")
            jobs.append((job, bad))
        await house.ended(*(job for job, _ in jobs), within=3600.0)
        for job, bad in jobs:
            assert house.ear.of(job)[-1] == ("Failed" if bad else "Delivered")
        slots = house.manager.dispatcher.engines.states
        assert not any(slot.sick for name, slot in slots.items() if name not in sick)

    play(scene, "a", "b", "c", max_jobs_per_user=30)


# ── what cannot be fused ────────────────────────────────────────────────────────────────────────


def test_a_refusal_of_the_node_pack_costs_no_job_and_is_remembered() -> None:
    store = MemoryStore()

    async def life(*, first: bool) -> None:
        house = House(store=store, engine_settings={"refuses": "flux"})
        await house.manager.recover()
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await house.submit(n, f"p{n}") for n in range(4)]
        other = await house.submit(9, model="z-image")
        await house.ended(*jobs, other)
        assert {house.ear.of(job)[-1] for job in (*jobs, other)} == {"Delivered"}
        assert all(event.job.attempts == 0 for event in house.ear.events)
        assert {len(batch) for batch in house.batches()} == {1}
        tried = [batch for batch in house.engines["a"].submitted if batch.fused and batch.key == jobs[0].key]
        assert bool(tried) == first
        assert any(isinstance(event, Requeued) for event in house.ear.events) == first
        (status,) = house.fleet.engines()
        assert status.notes == (
            "flux makes pictures one by one here: FusedModel: input model: a patch is not known to be exact.",
        )
        await house.fleet.aclose(60.0)
        await house.manager.settle(5.0)
        await house.manager.aclose()

    run_virtual(life(first=True))
    run_virtual(life(first=False))


def test_what_fails_in_batches_and_works_alone_runs_alone_from_then_on() -> None:
    async def scene(house: House) -> None:
        engine = house.engines["a"]
        engine.breaks = "flux"
        first = [await house.submit(n, f"p{n}") for n in range(8)]
        await house.ended(*first)
        before = len(engine.submitted)
        later = [await house.submit(n, f"q{n}") for n in range(8)]
        await house.ended(*later)
        assert {house.ear.of(job)[-1] for job in (*first, *later)} == {"Delivered"}
        assert [len(batch.jobs) for batch in engine.submitted[before:]] == [1] * 8
        assert not house.manager.dispatcher.engines.states["a"].sick

    play(scene)


@pytest.mark.parametrize(("fits", "mean"), [(2, 1.8), (3, 2.0), (4, 2.0)])
def test_a_model_without_a_memory_block_fuses_from_the_third_run_on(fits: int, mean: float) -> None:
    async def scene(house: House) -> None:
        engine = house.engines["a"]
        jobs = [await house.submit(n % 8, f"p{n}") for n in range(48)]
        await house.ended(*jobs)
        assert {house.ear.of(job)[-1] for job in jobs} == {"Delivered"}
        sizes = [len(batch.jobs) for batch in engine.submitted][2:]
        assert sum(sizes) / len(sizes) >= mean

    play(
        scene,
        max_jobs_per_user=9,
        engine={"cautious": frozenset({"flux"}), "fits": fits},
    )


def test_a_server_that_is_down_is_asked_at_once_when_something_has_changed() -> None:
    async def scene(house: House) -> None:
        house.engines["a"].die()
        await asyncio.sleep(300.0)  # the pauses have grown to a minute
        house.engines["a"].live()
        house.fleet.ask_again()
        await asyncio.sleep(0.1)
        assert [engine.state for engine in house.fleet.engines()] == ["idle"]

    play(scene)
