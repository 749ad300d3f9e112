"""Nobody waits without end, and nobody for a server that is gone while another one could serve them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from modules.queue_manager.errors import EngineUnavailable, LoraUnavailable
from modules.queue_manager.jobs import Job, LoraUse
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Capabilities, RunEvent, RunProgress
from modules.queue_manager.scheduling.in_flight import EngineState
from modules.queue_manager.workers.worker import WorkerTimes
from tests.fakes import FakeRun, offer
from tests.unit.queue_manager.test_manager import House, play
from tests.virtual_time import run_virtual

GRAIN = LoraUse(name="grain", label="Film grain", file="grain.safetensors", strength=0.75)


def models_from(house: House, name: str, batch: int) -> list[str]:
    """The models of what an engine was handed, from its batch number ``batch`` on."""
    return [each.key.model for each in house.engines[name].submitted[batch:]]


async def give_up(house: House, jobs: Iterable[Job]) -> None:
    """Cancel those that have not ended."""
    for job in jobs:
        if house.manager.job(job.id):
            await house.manager.cancel(job.id, by=None)


def test_what_only_another_engine_has_loaded_is_passed_over_twice_at_most_while_that_one_is_held_up() -> None:
    """``b`` has z-image loaded, and is at a run that takes very long."""

    async def scene(house: House) -> None:
        crowd = [await house.submit(n % 4, f"crowd{n}") for n in range(100)]
        long = await house.submit(50, model="z-image")
        await asyncio.sleep(6.0)
        assert long.id in {job.id for job in house.engines["b"].submitted[-1].jobs}
        handed_over = len(house.engines["a"].submitted)
        newcomer = await house.submit(99, "newcomer", model="z-image")
        await house.ended(newcomer, within=60.0)
        assert models_from(house, "a", handed_over).index("z-image") <= 2
        await give_up(house, crowd)

    async def slow(house: House) -> None:
        house.engines["b"].limits = {"z-image": 1}
        house.engines["b"].fixed, house.engines["b"].steps = 400.0, 100
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(0.1)
        await house.fleet.set_urls(["a", "b"])
        await asyncio.sleep(0.1)
        await scene(house)

    play(slow, "a", "b", max_jobs_per_user=25)


def test_what_the_engine_that_has_it_loaded_may_not_run_goes_to_another_one() -> None:
    """``b`` has z-image loaded and failed one job of it; ``a`` has flux to do without end."""

    async def scene(house: House) -> None:
        house.engines["b"].limits = {"z-image": 4}
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(0.1)
        await house.fleet.set_urls(["a", "b"])
        await asyncio.sleep(0.1)
        crowd = [await house.submit(n % 4, f"crowd{n}") for n in range(100)]
        unlucky = await house.submit(50, "unlucky", model="z-image")
        await asyncio.sleep(1.0)
        house.engines["b"].die()
        await asyncio.sleep(0.2)
        house.engines["b"].live()
        others = [await house.submit(60 + n, f"other{n}", model="z-image") for n in range(40)]
        await house.ended(unlucky, within=60.0)
        assert sum(house.manager.job(job.id) is not None for job in crowd) > 20
        await give_up(house, [*crowd, *others])

    play(scene, "a", "b", max_jobs_per_user=25)


def test_what_needs_a_lora_goes_only_where_its_file_is_and_only_with_its_like() -> None:
    """``a`` is the faster one, and idle more often; ``b`` has the file."""

    async def scene(house: House) -> None:
        house.engines["a"].each = 0.2
        house.engines["b"].loras = frozenset({GRAIN.file})
        house.fleet.ask_again()
        await asyncio.sleep(2.0)
        uses = (None, GRAIN, replace(GRAIN, strength=0.5))
        jobs = [await house.submit(n, lora=uses[n % 3]) for n in range(60)]
        await house.ended(*jobs)
        batches = {name: house.engines[name].submitted for name in "ab"}
        assert {job.request.lora for batch in batches["a"] for job in batch.jobs} == {None}
        assert {job.request.lora for batch in batches["b"] for job in batch.jobs} >= set(uses[1:])
        every = [batch for each in batches.values() for batch in each]
        assert all(len({job.request.lora for job in batch.jobs}) == 1 for batch in every)
        assert max(len(batch.jobs) for batch in batches["b"]) == 4

    play(scene, "a", "b")


def test_a_lora_that_no_living_server_of_the_model_has_is_refused_at_once() -> None:
    async def scene(house: House) -> None:
        house.engines["a"].limits = {"flux": 4}
        house.engines["b"].limits, house.engines["b"].loras = {"z-image": 4}, frozenset({GRAIN.file})
        house.fleet.ask_again()
        await asyncio.sleep(2.0)
        with pytest.raises(LoraUnavailable) as refused:
            await house.submit(1, lora=GRAIN)
        assert refused.value.fields == {"lora": "Film grain", "model": "Flux"}
        await house.ended(await house.submit(1, model="z-image", lora=GRAIN))
        for name in "ab":
            house.engines[name].die()
        await asyncio.sleep(60.0)
        waiting = await house.submit(1, lora=GRAIN)  # a server that is down may come back with it
        await give_up(house, [waiting])

    play(scene, "a", "b")


def test_a_slow_engine_takes_what_the_fast_one_failed() -> None:
    """The fast one is back and never without work, but is not to have this job again."""

    async def scene(house: House) -> None:
        fast, slow = house.engines["fast"], house.engines["slow"]
        slow.fixed, slow.each = 3.0, 9.0
        await house.ended(*[await house.submit(n, f"w{n}") for n in range(12)])
        crowd = [await house.submit(100 + n, f"crowd{n}") for n in range(60)]
        while len(slow.submitted) == len(slow.log):
            await asyncio.sleep(0.1)
        at_work = {job.id for job in slow.submitted[-1].jobs}
        await give_up(house, (job for job in crowd if job.id not in at_work))
        await asyncio.sleep(5.0)
        unlucky = await house.submit(50, "unlucky")
        await asyncio.sleep(0.5)
        assert unlucky.id in {job.id for job in fast.submitted[-1].jobs}
        fast.die()
        await asyncio.sleep(0.2)
        fast.live()

        async def ever_more() -> None:
            for n in range(1000):
                await house.submit(200 + n, f"more{n}")
                await asyncio.sleep(1.9)

        more = asyncio.ensure_future(ever_more())
        await house.ended(unlucky, within=60.0)
        more.cancel()

    play(scene, "slow", "fast", max_jobs_per_user=12, engine={"limits": {"flux": 2}})


def test_a_newcomer_goes_before_the_later_turns_of_people_who_have_waited_long() -> None:
    """Also where roles have priority, and so whatever waits long is lifted."""

    async def scene(house: House) -> None:
        for n in range(300):
            await house.submit(n % 3, f"crowd{n}")
        await asyncio.sleep(200.0)
        handed_over = len(house.engines["a"].submitted)
        newcomer = await house.submit(99, "newcomer")
        await house.ended(newcomer, within=60.0)
        batches = [[job.id for job in batch.jobs] for batch in house.engines["a"].submitted[handed_over:]]
        assert newcomer.id in batches[0]
        for user in range(3):
            await house.manager.cancel_user(user, by=None)

    play(scene, max_jobs_per_user=100, top_tier=1)


def test_engines_that_cannot_run_a_model_make_no_batch_of_it_smaller() -> None:
    async def scene(house: House) -> None:
        for name in ("b", "c"):
            house.engines[name].limits = {"z-image": 4}
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(0.1)
        await house.fleet.set_urls(["a", "b", "c"])
        await asyncio.sleep(0.1)
        await house.ended(*[await house.submit(n, f"p{n}") for n in range(4)])
        assert [len(batch) for batch in house.batches("a")] == [4]

    play(scene, "a", "b", "c")


def test_nothing_is_given_to_an_engine_that_is_being_asked_whether_it_is_still_there() -> None:
    """``a`` was switched off while it was idle: asking it takes until the time limit."""

    async def scene(house: House) -> None:
        engine = house.engines["a"]
        asked = asyncio.Event()

        async def silent() -> Capabilities:
            asked.set()
            await asyncio.sleep(1000.0)
            raise EngineUnavailable("never")

        engine.probe = silent  # type: ignore[method-assign]
        await asked.wait()
        began = house.clock.now()
        await house.ended(await house.submit())
        assert house.clock.now() - began < 3.0
        assert not engine.submitted

    play(scene, "a", "b")


def test_an_idle_engine_whose_socket_breaks_is_asked_at_once() -> None:
    async def scene(house: House) -> None:
        await asyncio.sleep(1.0)
        house.engines["a"].die()
        await asyncio.sleep(0.01)
        assert {status.name: status.state for status in house.fleet.engines()} == {"a": "down", "b": "idle"}
        job = await house.submit()
        await house.ended(job)
        assert house.ear.of(job) == ["Queued", "Started", "Finished", "Delivered"]
        assert not house.engines["a"].submitted

    play(scene, "a", "b")


def test_a_job_that_comes_in_the_instant_in_which_the_engine_is_found_gone_is_not_lost() -> None:
    async def scene(house: House) -> None:
        engine, instant = house.engines["a"], asyncio.Event()
        probe, accept = engine.probe, house.store.accept

        async def slow_accept(*what: Any) -> None:
            await instant.wait()
            await accept(*what)

        async def gone() -> Capabilities:
            engine.probe = probe  # type: ignore[method-assign]
            asyncio.get_running_loop().call_later(0.5, instant.set)
            await instant.wait()
            raise EngineUnavailable("connection refused")

        house.store.accept = slow_accept  # type: ignore[method-assign]
        house.store.delay = 0.0
        submitting = asyncio.ensure_future(house.submit())
        await asyncio.sleep(0.01)
        engine.probe = gone  # type: ignore[method-assign]
        await house.ended(await submitting)
        assert house.box.pictures

    play(scene)


@pytest.mark.parametrize("when", ["before its server is asked", "while its server is asked"])
def test_a_former_process_s_batch_of_cancelled_jobs_is_stopped(when: str) -> None:
    async def whole() -> None:
        first = House(engine_settings={"fixed": 100.0, "steps": 100})
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        job = await first.submit()
        await asyncio.sleep(2.0)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()

        second = House(store=first.store, box=first.box, engines=first.engines)
        engine = first.engines["a"]
        resume = engine.resume

        async def slow_resume(batch: Any) -> Any:
            run = await resume(batch)
            if when == "while its server is asked":
                await second.manager.cancel(job.id, by=1)
            return run

        engine.resume = slow_resume  # type: ignore[method-assign]
        await second.manager.recover()
        if when == "before its server is asked":
            await second.manager.cancel(job.id, by=1)
        await second.fleet.set_urls(["a"])
        await asyncio.sleep(1.0)
        (run,) = engine.known.values()
        assert run.interrupted.is_set()
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_jobs_of_a_failed_run_that_are_cancelled_meanwhile_do_not_hold_up_the_others() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(4)]
        await asyncio.sleep(2.0)
        house.store.delay = 0.5
        house.engines["a"].die()
        await asyncio.sleep(0.1)
        house.engines["a"].live()
        await house.manager.cancel(jobs[1].id, by=1)
        await house.ended(*jobs)
        assert [house.ear.of(job)[-1] for job in jobs] == ["Delivered", "Cancelled", "Delivered", "Delivered"]

    play(scene, times=WorkerTimes(first_pause=0.1))


def test_without_a_window_an_idle_engine_waits_for_nobody() -> None:
    async def scene(house: House) -> None:
        with house.manager.expecting():
            began = house.clock.now()
            await house.ended(await house.submit())
            assert house.clock.now() - began < 2.0 + 0.1  # its own two seconds, handing over and fetching

    play(scene, batch_window=0.0)


def test_where_nothing_is_told_of_the_steps_the_learned_duration_says_when_to_hand_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = FakeRun.events

    async def no_steps(self: FakeRun) -> AsyncIterator[RunEvent]:
        async for event in events(self):
            if not isinstance(event, RunProgress):
                yield event

    monkeypatch.setattr(FakeRun, "events", no_steps)

    async def scene(house: House) -> None:
        await house.ended(*[await house.submit(n, f"w{n}") for n in range(4)])
        began = len(house.engines["a"].submitted)
        del house.engines["a"].log[:]
        jobs = [await house.submit(n % 10, f"p{n}") for n in range(40)]
        await asyncio.sleep(2.5)
        assert len(house.engines["a"].submitted) == began + 1  # not at once: late arrivals can still join
        await house.ended(*jobs)

    house = play(scene, max_jobs_per_user=8, engine={"submit_seconds": 0.3})
    assert house.engines["a"].busy_share() > 0.99


def test_what_dead_engines_had_goes_before_what_came_later() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(20)]
        await asyncio.sleep(2.0)
        had = {job.id for engine in house.engines.values() for job in engine.submitted[-1].jobs}
        for engine in house.engines.values():
            engine.die()
        await asyncio.sleep(60.0)
        began = len(house.engines["b"].submitted)
        house.engines["b"].live()
        await house.ended(*jobs)
        again = [job.id for batch in house.engines["b"].submitted[began:] for job in batch.jobs]
        assert set(again[: len(had)]) == had

    play(scene, "a", "b")


def test_slow_handing_over_and_a_slow_journal_hold_up_no_engine() -> None:
    async def scene(house: House) -> None:
        house.store.delay = 0.1
        await house.ended(*[await house.submit(n % 20, f"p{n}") for n in range(60)])

    house = play(scene, max_jobs_per_user=8, engine={"noise": 0.1, "submit_seconds": 0.3})
    assert house.engines["a"].busy_share() > 0.99


def test_an_engine_that_leaves_gives_back_what_it_was_handed_and_had_not_begun() -> None:
    async def scene(house: House) -> None:
        await house.ended(*[await house.submit(n, f"w{n}") for n in range(4)])
        made = len(house.batches())
        jobs = [await house.submit(n, f"p{n}") for n in range(8)]
        while len(house.engines["a"].submitted) < made + 2:
            await asyncio.sleep(0.01)
        assert len(house.batches()) == made  # the first still runs, the second was handed over
        await house.fleet.set_urls(["b"])
        await house.ended(*jobs)
        assert len(house.batches()) == made + 1
        assert len(house.batches("b")) == 1
        assert all(job.attempts == 0 for job in house.store.jobs.values())

    play(scene)


def test_a_quick_engine_does_not_load_what_another_one_has_loaded_and_gets_through() -> None:
    """However many batches of its own it is through with meanwhile."""

    async def scene(house: House) -> None:
        quick, thorough = house.engines["a"], house.engines["b"]
        quick.fixed, thorough.fixed = 0.5, 12.0
        quick.limits, thorough.limits = {"flux": 4}, {"z-image": 4}
        await house.fleet.set_urls([])
        await asyncio.sleep(0.1)
        await house.fleet.set_urls(["a", "b"])
        await asyncio.sleep(0.1)
        house.manager.pause()
        first = [await house.submit(n % 4, model=("flux", "z-image")[n // 4]) for n in range(8)]
        house.manager.resume()
        await house.ended(*first)
        began = len(quick.submitted)
        house.manager.pause()
        jobs = [await house.submit(n % 4, f"p{n}") for n in range(200)]
        jobs += [await house.submit(10 + n % 4, f"z{n}", model="z-image") for n in range(32)]
        for slot in house.manager.dispatcher.engines.states.values():
            slot.limits.tell({"flux": 4, "z-image": 4})
            house.manager.dispatcher.seen(slot)
        house.manager.resume()
        await asyncio.sleep(80.0)
        assert set(models_from(house, "a", began)) == {"flux"}
        await give_up(house, jobs)

    play(scene, "a", "b", max_jobs_per_user=60, engine={"load": 20.0})


def test_who_waits_for_a_slow_channel_loses_no_turn_by_it() -> None:
    async def scene(house: House) -> None:
        await house.ended(await house.submit(2))
        house.box.seconds = 100.0
        made = await house.submit(1, "made")
        await asyncio.sleep(3.0)
        assert house.manager.status().arriving == 1
        house.manager.pause()
        second, other = await house.submit(1, "second"), await house.submit(2, "other")
        assert [house.manager.place(job.id).ahead for job in (second, other)] == [0, 1]  # type: ignore[union-attr]
        house.manager.resume()
        await house.ended(made, second, other)

    play(scene)


def test_taking_a_batch_takes_no_longer_with_thousands_of_keys() -> None:
    """Each negative prompt is a key of its own."""

    def seconds(keys: int) -> float:
        took: list[float] = []

        async def whole() -> None:
            house = House(settings={"max_jobs_per_user": 9})
            assert isinstance(house.manager.offers, Offers)
            house.manager.offers.replace([offer(negative="shared"), offer("z-image")], retired=())
            for n in range(keys):
                await house.submit(n, negative=f"no {n}")
            slot = EngineState(name="gpu", state="idle")
            slot.limits.tell({"flux": 4, "z-image": 4})
            house.manager.dispatcher.engines.add(slot)
            for _ in range(20):
                slot.batches.clear()
                began = time.process_time()
                await house.manager.dispatcher.take(slot)
                took.append(time.process_time() - began)
            await house.manager.aclose()

        run_virtual(whole())
        return sorted(took)[len(took) // 2]

    assert seconds(4000) < 8 * seconds(40)


def test_a_sick_engine_proves_itself_with_the_job_of_a_group_that_has_not_failed_there() -> None:
    """Two jobs of a split batch wait together; the first has failed on the only engine that is left."""

    async def scene(house: House) -> None:
        house.manager.pause()
        first, second = await house.submit(1), await house.submit(2)
        dispatcher = house.manager.dispatcher
        dispatcher.put_back(first, avoid="a")
        dispatcher.keep_together((first, second), because="b")
        dispatcher.engines.states["a"].sick = True
        dispatcher.engines.states["a"].stir.set()
        house.manager.resume()
        await house.ended(first, second, within=60.0)
        assert house.batches() == [["a lighthouse"], ["a lighthouse"]]
        assert [job.id for batch in house.engines["a"].submitted for job in batch.jobs] == [
            second.id,
            first.id,
        ]

    play(scene)
