"""What must cost neither a job nor an engine: a database away, our own mistakes, unlucky instants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineUnavailable,
    LeaseLost,
    NoOutput,
    StoreUnavailable,
    UnknownJob,
    WorkflowRejected,
)
from modules.queue_manager.jobs import Batch, Job
from modules.queue_manager.ports import (
    Capabilities,
    Delivered,
    Finished,
    JobTurn,
    Receipt,
    Requeued,
    RunEvent,
)
from modules.queue_manager.scheduling.idle_engines import IdleEngines
from modules.queue_manager.scheduling.in_flight import EngineState
from tests.fakes import FakeRun, request
from tests.unit.queue_manager.test_manager import House, play
from tests.virtual_time import run_virtual


def test_an_edit_waits_while_its_picture_cannot_be_read_and_the_engine_stays() -> None:
    async def scene(house: House) -> None:
        engine, tries = house.engines["a"], 0
        submit = engine.submit

        async def away(batch: Batch) -> FakeRun:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise StoreUnavailable("away")
            return await submit(batch)

        engine.submit = away  # type: ignore[method-assign]
        job = await house.submit()
        await house.ended(job)
        assert house.ear.of(job)[-1] == "Delivered"
        assert house.clock.now() < 30.0
        assert [status.state for status in house.fleet.engines()] == ["idle"]

    play(scene)


@pytest.mark.parametrize("where", ["probe", "submit", "events", "fetch"])
def test_a_mistake_of_ours_in_talking_to_one_engine_costs_a_pause(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two answers are not understood at all; that is tried again, in pauses."""
    asked = 0

    def blunder() -> None:
        nonlocal asked
        asked += 1
        if asked <= 2:
            raise KeyError("an answer that nobody thought of")

    events, fetch = FakeRun.events, FakeRun.fetch

    async def stumbling_events(self: FakeRun) -> AsyncIterator[RunEvent]:
        if where == "events":
            blunder()
        async for event in events(self):
            yield event

    async def stumbling_fetch(self: FakeRun, index: int) -> Any:
        if where == "fetch":
            blunder()
        return await fetch(self, index)

    monkeypatch.setattr(FakeRun, "events", stumbling_events)
    monkeypatch.setattr(FakeRun, "fetch", stumbling_fetch)

    async def scene(house: House) -> None:
        engine = house.engines["a"]
        probe, submit = engine.probe, engine.submit

        async def stumbling_probe() -> Capabilities:
            if where == "probe":
                blunder()
            return await probe()

        async def stumbling_submit(batch: Batch) -> FakeRun:
            if where == "submit":
                blunder()
            return await submit(batch)

        engine.probe, engine.submit = stumbling_probe, stumbling_submit  # type: ignore[method-assign]
        if where == "probe":
            await house.fleet.set_urls([])
            await asyncio.sleep(0.1)
            await house.fleet.set_urls(["a"])
        job = await house.submit()
        await house.ended(job)
        assert house.ear.of(job)[-1] == "Delivered"
        later = await house.submit(2)
        await house.ended(later)
        assert house.ear.of(later)[-1] == "Delivered"
        assert asked < 20

    play(scene)


def test_what_is_not_understood_of_a_former_run_is_run_again() -> None:
    async def whole() -> None:
        first = House()
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await first.submit(n, f"p{n}") for n in range(8)]
        await asyncio.sleep(2.0)  # one batch runs, and one is handed over
        await first.fleet.aclose(0.0)
        await first.manager.aclose()

        second = House(store=first.store, box=first.box)
        await second.manager.recover()
        second._engine("a").resume = _misunderstood  # type: ignore[method-assign]
        await second.fleet.set_urls(["a"])
        await second.ended(*jobs)
        assert all(second.ear.of(job)[-1] == "Delivered" for job in jobs)
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole())


async def _misunderstood(batch: Batch) -> None:
    raise KeyError("an answer that nobody thought of")


@pytest.mark.parametrize(
    ("error", "times", "end"),
    [
        (KeyError("a mistake"), 3, "Delivered"),
        (StoreUnavailable("away"), 11, "Delivered"),
        (KeyError("a mistake"), 1000, "Failed"),
    ],
    ids=["a mistake that passes", "a database long away", "a mistake that stays"],
)
def test_a_picture_that_could_not_be_delivered_is_tried_again(error: Exception, times: int, end: str) -> None:
    tried: list[bool] = []

    async def scene(house: House) -> None:
        deliver = house.box.deliver

        async def stumbling(finished: Finished) -> Receipt:
            tried.append(finished.job.maybe_posted)
            if len(tried) <= times:
                raise error
            return await deliver(finished)

        house.box.deliver = stumbling  # type: ignore[method-assign]
        job = await house.submit()
        await house.ended(job, within=20_000.0)
        assert house.ear.of(job)[-1] == end
        assert house.manager.status().users == 0
        assert await house.submit(prompt="the place is free again")

    play(scene)
    assert tried[0] is False
    assert all(tried[1 : min(times, 7) + 1])  # whether it was posted after all is looked up
    assert len(tried) < 50


def test_who_lost_the_lease_delivers_no_more() -> None:
    tried = 0

    async def scene(house: House) -> None:
        async def not_ours(finished: Finished) -> Receipt:
            nonlocal tried
            tried += 1
            raise LeaseLost

        house.box.deliver = not_ours  # type: ignore[method-assign]
        await house.submit()
        async with timeout(60.0):
            await house.manager.store_lost.wait()
        await asyncio.sleep(600.0)

    play(scene)
    assert tried == 1


def test_a_batch_taken_in_the_instant_of_a_cancel_still_serves_the_others() -> None:
    async def scene(house: House) -> None:
        await house.submit(9)  # the engine is busy: the others wait together
        first, second = await house.submit(1), await house.submit(2)
        take = house.manager.dispatcher._send

        def cancelled_meanwhile(engine: EngineState, jobs: list[Job], now: float) -> None:
            take(engine, jobs, now)
            if first.id in {job.id for job in jobs}:
                cancelling.append(asyncio.ensure_future(house.manager.cancel(first.id, by=1)))
                house.manager.dispatcher._send = take  # type: ignore[method-assign]

        cancelling: list[asyncio.Future[Job]] = []
        house.manager.dispatcher._send = cancelled_meanwhile  # type: ignore[method-assign]
        await house.ended(first, second)
        assert cancelling[0].done()
        assert house.ear.of(first)[-1] == "Cancelled"
        assert house.ear.of(second)[-1] == "Delivered"
        assert all(not engine.batches for engine in house.manager.dispatcher.engines.states.values())

    play(scene)


def test_what_was_posted_cannot_be_cancelled_while_that_is_being_written() -> None:
    async def scene(house: House) -> None:
        record = house.store.record

        async def slowly(turn: JobTurn) -> None:
            if isinstance(turn, Delivered):
                await asyncio.sleep(2.0)
            await record(turn)

        house.store.record = slowly  # type: ignore[method-assign]
        job = await house.submit()
        while job.id not in house.box.pictures:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        with pytest.raises(UnknownJob):
            await house.manager.cancel(job.id, by=1)
        await house.ended(job)
        assert house.ear.of(job)[-1] == "Delivered"

    play(scene)


def test_a_job_without_a_picture_that_is_cancelled_meanwhile_stays_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(self: FakeRun, index: int) -> Any:
        raise NoOutput("gone")

    monkeypatch.setattr(FakeRun, "fetch", nothing)

    async def scene(house: House) -> None:
        job = await house.submit()
        record = house.store.record

        async def cancelled_meanwhile(turn: JobTurn) -> None:
            if isinstance(turn, Requeued):
                await house.manager.cancel(job.id, by=1)
            await record(turn)

        house.store.record = cancelled_meanwhile  # type: ignore[method-assign]
        await house.ended(job)
        await asyncio.sleep(10.0)
        assert house.ear.of(job)[-1] == "Cancelled"

    play(scene)


def test_all_of_a_persons_jobs_are_cancelled_though_one_ends_meanwhile() -> None:
    async def scene(house: House) -> None:
        jobs = await house.manager.submit([request(1, f"p{n}", seed=n) for n in range(4)], limit=9)
        record = house.store.record

        async def slowly(turn: JobTurn) -> None:
            if type(turn).__name__ == "Cancelled":
                await asyncio.sleep(1.0)
            await record(turn)

        house.store.record = slowly  # type: ignore[method-assign]
        everything = asyncio.ensure_future(house.manager.cancel_user(1, by=None))
        await asyncio.sleep(0.5)
        await house.manager.cancel(jobs[2].id, by=1)
        assert [job.id for job in await everything] == [jobs[0].id, jobs[1].id, jobs[3].id]
        assert not house.manager.active_jobs(1)

    play(scene)


def test_a_server_taken_away_and_named_again_while_it_finishes_works_on() -> None:
    async def scene(house: House) -> None:
        first = await house.submit(1)
        await asyncio.sleep(0.6)
        assert await house.fleet.drain("a")
        house.fleet.recall()
        await house.fleet.set_urls(["a"])
        await house.ended(first)
        before = house.clock.now()
        second = await house.submit(2)
        await house.ended(second)
        assert house.clock.now() - before < 10.0
        assert [status.state for status in house.fleet.engines()] == ["idle"]

    play(scene)


def test_halves_of_a_refused_batch_on_a_smaller_engine_end() -> None:
    """The big engine goes away just then, and the small one takes two of its eight at a time."""

    async def scene(house: House) -> None:
        big, small = house.engines["a"], house.engines["b"]
        big.limits, small.limits = {"flux": 8}, {"flux": 2}
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(130.0)
        refusals, submit = 0, small.submit

        async def small_submit(batch: Batch) -> FakeRun:
            nonlocal refusals
            if any(job.request.prompt == "bad" for job in batch.jobs):
                refusals += 1
                if refusals > 100:
                    await asyncio.sleep(1e6)
                raise WorkflowRejected("refused")
            return await submit(batch)

        async def big_submit(batch: Batch) -> FakeRun:
            await house.fleet.set_urls(["b"])
            raise WorkflowRejected("refused")

        big.submit, small.submit = big_submit, small_submit  # type: ignore[method-assign]
        jobs = [await house.submit(n, "bad" if n == 0 else "good") for n in range(8)]
        await house.ended(*jobs)
        assert refusals <= 4
        assert [house.ear.of(job)[-1] for job in jobs] == ["Failed"] + 7 * ["Delivered"]

    play(scene, "a", "b")


def test_engines_that_come_and_go_leave_nothing_behind() -> None:
    pool = IdleEngines()
    engine_states = [EngineState(name=f"gpu {n}") for n in range(4)]
    for engine in engine_states:
        pool.add(engine)
    for turn in range(2000):
        engine = engine_states[turn % 3 + 1]  # one is always there, so that the sort never empties
        pool.remove(engine)
        engine.pictures, engine.busy_seconds = turn + 1, 0.1 * turn
        pool.add(engine)
    (sort,) = pool.sorts(None)
    assert sorted(engine.name for engine in pool.of(sort, 9999)) == [engine.name for engine in engine_states]


@pytest.mark.parametrize("where", ["landed", "failed", "journal_dispatch", "started"])
def test_a_mistake_of_ours_in_following_a_run_costs_neither_a_job_nor_the_engine(where: str) -> None:
    async def scene(house: House) -> None:
        right = getattr(house.manager.runs, where)

        def wrong(*what: Any) -> Any:
            setattr(house.manager.runs, where, right)
            raise KeyError("a mistake")

        setattr(house.manager.runs, where, wrong)
        house.engines["a"].refused = "first" if where == "failed" else ""
        jobs = [await house.submit(n, f"first {n}") for n in range(3)]
        await asyncio.sleep(1.0)
        house.engines["a"].refused = ""
        await house.ended(*jobs, within=60.0)
        assert [house.ear.of(job)[-1] for job in jobs] == 3 * ["Delivered"]
        later = await house.submit(9)
        await house.ended(later, within=30.0)
        assert [status.state for status in house.fleet.engines()] == ["idle"]

    play(scene)


def test_an_engine_that_answers_again_right_after_it_did_not_serves_on() -> None:
    async def scene(house: House) -> None:
        probe = house.engines["a"].probe

        async def once_not() -> Capabilities:
            house.engines["a"].probe = probe  # type: ignore[method-assign]
            raise EngineUnavailable("a hiccup")

        house.engines["a"].probe = once_not  # type: ignore[method-assign]
        await asyncio.sleep(100.0)
        began = house.clock.now()
        await house.ended(await house.submit())
        assert house.clock.now() - began < 3.0

    play(scene)


def test_a_batch_is_given_to_no_engine_that_stops_taking_in_the_same_instant() -> None:
    async def scene(house: House) -> None:
        (engine,) = house.manager.dispatcher.engines.states.values()
        take = engine.next_batch
        assert take is not None
        job = await house.submit()
        take.cancel()  # as when the task that waits for it is cancelled, and has not noticed
        await asyncio.sleep(1.0)
        assert house.manager.status().waiting == 1
        assert not engine.batches
        await house.manager.cancel(job.id, by=1)

    play(scene, batch_window=0.0)
