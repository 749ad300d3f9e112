"""Turns are spaced and counted under Discord's limit, urgent ones first; nobody sleeps for real."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.demo.discord_server.buckets import OTHER, RateLimiter
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Priority
from tests.examples import examples
from tests.virtual_time import VirtualClock, run_virtual

LEVELS = st.sampled_from(list(Priority))


class FarClock(VirtualClock):
    """The clock at Discord's end."""

    def now(self) -> float:
        return self.unix()

    def real_seconds(self, seconds: float) -> float:
        return seconds


async def _turns(levels: list[Priority], pacer: DiscordRateLimiter) -> list[tuple[float, Priority]]:
    given_at: list[tuple[float, Priority]] = []

    async def ask(level: Priority) -> None:
        await pacer.turn(level)
        given_at.append((asyncio.get_running_loop().time(), level))
        pacer.answered()

    await asyncio.gather(*(ask(level) for level in levels))
    return given_at


@given(st.lists(LEVELS, min_size=1, max_size=200))
@settings(max_examples=examples(15), deadline=None)
def test_no_second_sees_more_than_the_limit(levels: list[Priority]) -> None:
    given_at = run_virtual(_turns(levels, DiscordRateLimiter(clock=VirtualClock())))
    times = [time for time, _ in given_at]
    assert len(times) == len(levels)
    assert all(sum(start <= time < start + 1 for time in times) <= 50 for start in times)


@given(st.integers(0, 2**32), st.floats(0, 3), st.floats(0, 3))
@settings(max_examples=examples(20), deadline=None)
def test_discord_never_counts_one_too_many_however_requests_bunch_up_on_the_way(
    seed: int, way: float, answer: float
) -> None:
    refused = 0
    chance = random.Random(seed)

    async def request(pacer: DiscordRateLimiter, discord: RateLimiter) -> None:
        nonlocal refused
        await pacer.turn(Priority.DELIVER)
        await asyncio.sleep(chance.uniform(0, way))
        verdict = discord.ask("GET /anything", str(chance.random()), OTHER, counts_globally=True)
        refused += verdict.retry_after is not None
        await asyncio.sleep(chance.uniform(0, answer))
        pacer.answered()

    async def whole() -> None:
        clock = FarClock()
        pacer, discord = DiscordRateLimiter(clock=VirtualClock()), RateLimiter(clock, enabled=True)  # type: ignore[arg-type]
        await asyncio.gather(*(request(pacer, discord) for _ in range(400)))

    run_virtual(whole())
    assert not refused


def test_answers_that_come_at_once_let_it_use_what_discord_allows() -> None:
    given_at = run_virtual(_turns([Priority.DELIVER] * 480, DiscordRateLimiter(clock=VirtualClock())))
    assert given_at[-1][0] < 10.1


@given(st.lists(LEVELS, min_size=10, max_size=60))
@settings(max_examples=examples(15), deadline=None)
def test_of_those_who_wait_the_urgent_go_first(levels: list[Priority]) -> None:
    given_at = run_virtual(_turns(levels, DiscordRateLimiter(clock=VirtualClock(), per_second=10, burst=1)))
    waited = [level for _, level in given_at][1:]  # the first finds the way free
    assert waited == sorted(waited)


def test_a_free_way_needs_no_waiting() -> None:
    async def whole() -> float:
        await DiscordRateLimiter(clock=VirtualClock()).turn(Priority.REST)
        return asyncio.get_running_loop().time()

    assert run_virtual(whole()) == 0


def test_who_gives_up_waiting_takes_no_turn_from_the_others() -> None:
    async def whole() -> float:
        pacer = DiscordRateLimiter(clock=VirtualClock(), per_second=1, burst=1)
        await pacer.turn(Priority.REST)
        impatient = asyncio.create_task(pacer.turn(Priority.ACKNOWLEDGE))
        patient = asyncio.create_task(pacer.turn(Priority.REST))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        return asyncio.get_running_loop().time()

    assert run_virtual(whole()) == pytest.approx(1.0)


def test_who_gives_up_in_the_moment_of_their_turn_leaves_no_trace() -> None:
    async def whole() -> None:
        pacer = DiscordRateLimiter(clock=VirtualClock(), limit=1)
        await pacer.turn(Priority.REST)
        unlucky = asyncio.create_task(pacer.turn(Priority.DELIVER))
        await asyncio.sleep(0)
        pacer.answered()
        while pacer._line.first is not None:
            await asyncio.sleep(0)
            if asyncio.get_running_loop().time() < 1.0:
                await asyncio.sleep(1.0 - asyncio.get_running_loop().time())
        unlucky.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unlucky
        await pacer.turn(Priority.REST)  # the loop would say that nothing will ever happen

    run_virtual(whole())


def test_many_who_give_up_are_not_remembered() -> None:
    async def whole() -> int:
        pacer = DiscordRateLimiter(clock=VirtualClock(), limit=1)
        await pacer.turn(Priority.REST)
        for _ in range(1000):
            task = asyncio.create_task(pacer.turn(Priority.STATUS))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return len(pacer._line._waiting)

    assert run_virtual(whole()) < 100


def test_closing_lets_nobody_hang() -> None:
    async def whole() -> None:
        pacer = DiscordRateLimiter(clock=VirtualClock(), per_second=0.001, burst=1)
        await pacer.turn(Priority.REST)
        waiting = asyncio.create_task(pacer.turn(Priority.REST))
        await asyncio.sleep(0)
        await pacer.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert waiting.done()

    run_virtual(whole())
