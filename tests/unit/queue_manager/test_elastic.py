"""Your own GPUs first: what is bought from an elastic engine, and that nothing is bought twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.queue_manager.errors import EngineForgot, EngineFull, EngineUnavailable
from modules.queue_manager.jobs import Elastic, Variation
from modules.queue_manager.ports import Dispatched, Requeued, Started
from modules.queue_manager.workers.worker import WorkerTimes
from tests.examples import examples
from tests.fakes import FakeEngine, MemoryStore, request
from tests.unit.queue_manager.test_manager import House
from tests.virtual_time import VirtualClock, run_virtual

MODELS = {"flux": 1, "z-image": 1, "flux_edit": 1}


def play(
    scene: Callable[[House], Awaitable[None]],
    *,
    own: dict[str, Any] | None = None,
    slots: int = 8,
    after: float = 60.0,
    times: WorkerTimes | None = None,
    store: MemoryStore | None = None,
    **cloud: Any,
) -> House:
    """A scene with a GPU of your own (none if ``own`` is empty) and an elastic engine, which know how long
    their runs take."""

    async def whole() -> House:
        clock = VirtualClock()
        engines = {
            "cloud": FakeEngine(
                "cloud", clock, limits=MODELS, elastic=Elastic(slots=slots, after=after),
                **{"fixed": 9.0, "each": 1.0, "varies": False, **cloud},
            )
        }  # fmt: skip
        if own != {}:
            engines["own"] = FakeEngine("own", clock, **{"fixed": 1.0, "each": 1.0, **(own or {})})
        house = House(
            clock=clock, engines=engines, settings={"max_jobs_per_user": 1000}, times=times or WorkerTimes(),
            store=store or MemoryStore(),
        )  # fmt: skip
        await house.manager.recover()
        await house.fleet.set_urls([*reversed(engines)])
        await asyncio.sleep(0.01)
        await scene(house)
        await house.fleet.aclose(60.0)
        await house.manager.aclose()
        return house

    return run_virtual(whole())


async def burst(house: House, count: int) -> None:
    """So many jobs at once, and their end."""
    jobs = [await house.submit(n, f"p{n}") for n in range(count)]
    await house.ended(*jobs, within=3600.0)
    assert {job.id for job in jobs} <= house.box.pictures.keys()


async def known(house: House) -> None:
    """Your own GPU has made a picture before."""
    await house.ended(await house.submit(999, "before"))


def bought(house: House) -> list[str]:
    return [batch.jobs[0].request.prompt for batch in house.engines["cloud"].submitted]


@pytest.mark.parametrize("after", [30.0, 60.0, 600.0])
def test_nothing_is_bought_while_the_own_gpu_suffices(after: float) -> None:
    async def scene(house: House) -> None:
        await known(house)
        for _ in range(3):
            await burst(house, 16)  # 20 s of work: the last one begins after 15 s

    assert bought(play(scene, after=after)) == []


def test_what_would_wait_too_long_is_bought_and_nothing_else() -> None:
    async def scene(house: House) -> None:
        await known(house)
        await burst(house, 80)  # 100 s of work: 48 jobs begin within the first minute

    house = play(scene)
    assert len(bought(house)) >= 16
    assert min(int(prompt[1:]) for prompt in bought(house)) >= 48


def test_the_burst_is_over_about_as_soon_as_it_could_be() -> None:
    ends: list[float] = []

    async def scene(house: House) -> None:
        await known(house)
        began = house.clock.now()
        await burst(house, 200)
        ends.append(house.clock.now() - began)

    house = play(scene, after=5.0)
    # 4 pictures in 5 s, and 8 in 10 s: 1.6 a second
    assert ends[0] <= 1.15 * 200 / 1.6
    assert max(len(batch.jobs) for batch in house.engines["cloud"].submitted) == 1


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_no_more_runs_at_once_than_it_has_slots(slots: int) -> None:
    most = 0

    async def scene(house: House) -> None:
        nonlocal most
        jobs = [await house.submit(n, f"p{n}") for n in range(20)]
        for _ in range(40):
            await asyncio.sleep(0.5)
            cloud = next(e for e in house.fleet.engines() if e.name == "cloud")
            most = max(most, len(cloud.running))
        await house.ended(*jobs)

    house = play(scene, own={}, slots=slots)
    assert most == slots
    assert len(bought(house)) == 20


def test_without_own_gpus_for_a_model_it_is_bought_at_once() -> None:
    async def scene(house: House) -> None:
        await known(house)
        job = await house.submit(1, "only there", model="z-image")
        await house.ended(job, within=12.0)

    assert bought(play(scene, own={"limits": {"flux": 4}})) == ["only there"]


def test_while_the_own_gpu_is_away_a_job_waits_as_long_as_it_may_and_is_bought_then() -> None:
    async def scene(house: House) -> None:
        await known(house)
        house.engines["own"].die()
        await asyncio.sleep(2.0)
        job = await house.submit(1, "patient")
        await asyncio.sleep(55.0)
        assert bought(house) == []
        await house.ended(job, within=30.0)

    assert bought(play(scene)) == ["patient"]


def test_a_job_that_failed_on_the_own_gpu_is_bought_at_once() -> None:
    async def scene(house: House) -> None:
        await known(house)
        house.engines["own"].poison = "hard"
        await house.ended(await house.submit(1, "hard"), within=30.0)

    house = play(scene)
    assert bought(house) == ["hard"]
    assert len(house.box.pictures) == 2


def test_with_after_0_it_is_used_for_what_the_own_gpus_do_not_take_first() -> None:
    async def scene(house: House) -> None:
        await known(house)
        await burst(house, 12)

    house = play(scene, after=0.0, fixed=1.0)
    assert {"p0", "p1", "p2", "p3"} & {*bought(house)} == set()
    assert len(bought(house)) >= 4


def test_a_variation_never_goes_there() -> None:
    async def scene(house: House) -> None:
        await known(house)
        vary = Variation(seed=2, strength=0.2)
        jobs = [await house.submit(n, f"p{n}", variation=vary) for n in range(12)]
        await house.ended(*jobs)

    assert bought(play(scene, after=0.0)) == []


def test_a_full_one_gets_nothing_for_as_long_as_it_says_and_no_job_loses_an_attempt() -> None:
    async def scene(house: House) -> None:
        house.engines["cloud"].rejects = [EngineFull("takes no more", seconds=20.0)] * 1
        jobs = [await house.submit(n, f"p{n}") for n in range(3)]
        await asyncio.sleep(1.0)
        cloud = next(e for e in house.fleet.engines() if e.name == "cloud")
        assert cloud.state in ("idle", "busy")
        assert cloud.last_error == "takes no more"
        await asyncio.sleep(15.0)
        assert bought(house) == []
        await house.ended(*jobs)

    house = play(scene, own={}, slots=1)
    assert len(bought(house)) == 3
    assert not [event for event in house.ear.events if isinstance(event, Requeued)]


def test_what_a_full_one_refuses_goes_to_the_own_gpu_meanwhile() -> None:
    async def scene(house: House) -> None:
        await known(house)
        house.engines["cloud"].rejects = [EngineFull("no credits", seconds=300.0)] * 8
        await burst(house, 30)

    assert bought(play(scene, after=1.0)) == []


def test_a_run_that_ends_there_otherwise_is_that_runs_trouble_alone() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(4)]
        await asyncio.sleep(1.0)
        run = next(iter(house.engines["cloud"].known.values()))
        run.interrupted.set()
        await asyncio.sleep(0.5)
        cloud = next(e for e in house.fleet.engines() if e.name == "cloud")
        assert cloud.state == "busy"
        await house.ended(*jobs)
        assert len(house.box.pictures) == 4

    house = play(scene, own={}, slots=4)
    (again,) = [event for event in house.ear.events if isinstance(event, Requeued)]
    assert isinstance(again.error, EngineForgot)


def test_a_slow_run_is_not_given_up_and_paid_again_before_ten_minutes() -> None:
    async def scene(house: House) -> None:
        await house.ended(await house.submit(1, "quick"))
        house.engines["cloud"].stalling = True
        job = await house.submit(1, "slow")
        await asyncio.sleep(500.0)
        house.engines["cloud"].stalling = False
        await house.ended(job)

    assert bought(play(scene, own={})) == ["quick", "slow"]


def test_a_run_that_never_ends_is_given_up_and_costs_the_address_nothing() -> None:
    async def scene(house: House) -> None:
        house.engines["cloud"].stalling = True
        job = await house.submit(1, "stuck")
        await asyncio.sleep(620.0)
        house.engines["cloud"].stalling = False
        await house.ended(job)
        cloud = next(e for e in house.fleet.engines() if e.name == "cloud")
        assert cloud.state == "idle"

    assert bought(play(scene, own={})) == ["stuck", "stuck"]


def test_a_refused_connection_does_not_take_back_what_is_there() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(3)]
        await asyncio.sleep(1.0)
        house.engines["cloud"].rejects = [EngineUnavailable("answered 500")]
        jobs.append(await house.submit(9, "late"))
        await house.ended(*jobs)

    house = play(scene, own={}, slots=4)
    assert sorted(bought(house)) == ["late", "p0", "p1", "p2"]


# ── a restart ───────────────────────────────────────────────────────────────────────────────────


def test_the_runs_own_id_is_written_down_before_it_is_followed() -> None:
    async def scene(house: House) -> None:
        job = await house.submit(1, "one")
        await house.ended(job)
        names = [turn.batch.id for turn in house.store.turns if isinstance(turn, Dispatched)]
        assert len(names) == 2
        assert names[1].startswith("its-own-")

    house = play(scene, own={})
    assert [type(event) for event in house.ear.events].count(Started) == 1


@pytest.mark.parametrize("away", [0.0, 30.0])
def test_what_a_former_process_bought_is_not_bought_again(away: float) -> None:
    async def whole() -> None:
        clock, store = VirtualClock(), MemoryStore()
        cloud = FakeEngine(
            "cloud", clock, limits=MODELS, elastic=Elastic(slots=2, after=0.0), fixed=50.0, each=1.0
        )
        first = House(clock=clock, engines={"cloud": cloud}, store=store)
        await first.fleet.set_urls(["cloud"])
        jobs = [await first.submit(n, f"p{n}") for n in range(2)]
        await asyncio.sleep(5.0)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()
        cloud.dead.set()
        asyncio.get_running_loop().call_later(away, cloud.live)
        own = FakeEngine("own", clock)
        second = House(clock=clock, engines={"cloud": cloud, "own": own}, store=store)
        await second.manager.recover()
        await second.fleet.set_urls(["cloud", "own"])
        await second.ended(*jobs)
        assert len(cloud.submitted) == 2
        assert own.submitted == []
        await second.fleet.aclose(0.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_one_that_stays_away_does_not_keep_the_jobs_for_ever() -> None:
    async def whole() -> None:
        clock, store = VirtualClock(), MemoryStore()
        cloud = FakeEngine("cloud", clock, elastic=Elastic(slots=2, after=0.0), fixed=50.0)
        first = House(clock=clock, engines={"cloud": cloud}, store=store)
        await first.fleet.set_urls(["cloud"])
        job = await first.submit(1, "one")
        await asyncio.sleep(5.0)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()
        cloud.die()
        second = House(clock=clock, engines={"cloud": cloud, "own": FakeEngine("own", clock)}, store=store)
        await second.manager.recover()
        await second.fleet.set_urls(["cloud", "own"])
        await asyncio.sleep(200.0)
        assert second.manager.job(job.id) is not None
        await second.ended(job)
        await second.fleet.aclose(0.0)
        await second.manager.aclose()

    run_virtual(whole())


# ── what people are told ────────────────────────────────────────────────────────────────────────


def test_expected_times_know_both_kinds() -> None:
    errors: list[float] = []

    async def scene(house: House) -> None:
        await known(house)
        await burst(house, 100)  # both know now
        jobs = [await house.submit(n, f"q{n}") for n in range(80)]
        await asyncio.sleep(0.3)
        expected = {job.id: house.manager.place(job.id) for job in jobs}
        began = house.clock.unix()
        await house.ended(*jobs, within=3600.0)
        for job in jobs:
            place = expected[job.id]
            if place is not None and place.expected_at is not None:
                actual = house.box.pictures[job.id].report.ended_at
                errors.append(abs(place.expected_at - actual) / (actual - began))

    play(scene, after=20.0)
    assert len(errors) >= 70
    assert sum(errors) / len(errors) < 0.25


@settings(max_examples=examples(40), deadline=None)
@given(
    jobs=st.integers(1, 60),
    slots=st.integers(1, 8),
    after=st.sampled_from([0.0, 3.0, 20.0]),
    own=st.booleans(),
    each=st.sampled_from([0.5, 2.0]),
    refusals=st.integers(0, 3),
)
@pytest.mark.long
def test_everybody_is_served_once(  # noqa: PLR0917 - drawn by name
    jobs: int, slots: int, after: float, own: bool, each: float, refusals: int
) -> None:
    async def scene(house: House) -> None:
        house.engines["cloud"].rejects = [EngineFull("full", seconds=5.0)] * refusals
        accepted = [
            await house.manager.submit([request(n % 5, f"p{n}", model=["flux", "z-image"][n % 2])])
            for n in range(jobs)
        ]
        await house.ended(*[job for (job,) in accepted], within=3600.0)
        assert len(house.box.pictures) == jobs

    house = play(scene, own={"each": each} if own else {}, slots=slots, after=after)
    assert len(bought(house)) == len({*bought(house)})
