"""Turns are spaced under Discord's limit, urgent ones first; nobody sleeps for real."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.discord.pacing import Lane, Pacer, Priority


class SteppedClock:
    """Time that stands still until somebody sleeps, and then jumps."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def unix(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.time += seconds


async def _turns(levels: list[Priority], pacer: Pacer, clock: SteppedClock) -> list[tuple[float, Priority]]:
    given_at: list[tuple[float, Priority]] = []

    async def ask(level: Priority) -> None:
        await pacer.turn(level)
        given_at.append((clock.time, level))

    await asyncio.gather(*(ask(level) for level in levels))
    return given_at


@given(st.lists(st.sampled_from(list(Priority)), min_size=1, max_size=200))
@settings(max_examples=30, deadline=None)
def test_no_second_sees_more_than_the_limit(levels: list[Priority]) -> None:
    clock = SteppedClock()
    given_at = asyncio.run(_turns(levels, Pacer(clock=clock, per_second=46, burst=4), clock))
    times = [time for time, _ in given_at]
    assert len(times) == len(levels)
    assert all(sum(start <= time < start + 1 for time in times) <= 50 for start in times)


@given(st.lists(st.sampled_from(list(Priority)), min_size=10, max_size=60))
@settings(max_examples=30, deadline=None)
def test_of_those_who_wait_the_urgent_go_first(levels: list[Priority]) -> None:
    clock = SteppedClock()
    given_at = asyncio.run(_turns(levels, Pacer(clock=clock, per_second=10, burst=1), clock))
    waited = [level for _, level in given_at][1:]  # the first finds the way free
    assert waited == sorted(waited)


async def test_a_free_way_needs_no_waiting() -> None:
    clock = SteppedClock()
    await Pacer(clock=clock).turn(Priority.REST)
    assert clock.time == 100.0


async def test_who_gives_up_waiting_takes_no_turn_from_the_others() -> None:
    clock = SteppedClock()
    pacer = Pacer(clock=clock, per_second=1, burst=1)
    await pacer.turn(Priority.REST)
    impatient = asyncio.create_task(pacer.turn(Priority.ACKNOWLEDGE))
    patient = asyncio.create_task(pacer.turn(Priority.REST))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert clock.time == pytest.approx(101.0)


async def test_closing_lets_nobody_hang() -> None:
    clock = SteppedClock()
    pacer = Pacer(clock=clock, per_second=0.001, burst=1)
    await pacer.turn(Priority.REST)
    waiting = asyncio.create_task(pacer.turn(Priority.REST))
    await asyncio.sleep(0)
    await pacer.aclose()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 1)
    assert waiting.done()


async def test_in_a_channel_a_result_overtakes_the_status_messages_that_wait() -> None:
    lane, said = Lane(), list[str]()

    async def speak(what: str, level: Priority) -> None:
        await lane.enter(level)
        said.append(what)
        await asyncio.sleep(0)
        lane.leave()

    await lane.enter(Priority.STATUS)
    statuses = [asyncio.ensure_future(speak(f"status {n}", Priority.STATUS)) for n in range(4)]
    result = asyncio.ensure_future(speak("result", Priority.DELIVER))
    await asyncio.sleep(0)
    statuses[2].cancel()
    lane.leave()
    await asyncio.gather(*statuses, result, return_exceptions=True)
    assert said == ["result", "status 0", "status 1", "status 3"]
    assert lane.idle


async def test_who_gives_up_in_the_moment_of_their_turn_holds_up_nobody() -> None:
    lane = Lane()
    await lane.enter(Priority.STATUS)
    unlucky = asyncio.ensure_future(lane.enter(Priority.DELIVER))
    patient = asyncio.ensure_future(lane.enter(Priority.REST))
    await asyncio.sleep(0)
    lane.leave()
    unlucky.cancel()
    await asyncio.gather(unlucky, return_exceptions=True)
    await asyncio.wait_for(patient, 1)
    lane.leave()
    assert lane.idle
