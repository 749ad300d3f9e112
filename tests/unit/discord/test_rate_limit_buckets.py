"""Discord's limits by route and channel are kept, and who matters more goes first; nobody sleeps for real."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from discord.http import Route
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.demo.discord_server.buckets import MESSAGES, Limit, RateLimiter
from modules.discord.transport.rate_limit_buckets import Bucket, RateLimitBuckets
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Priority
from tests.examples import examples
from tests.unit.discord.test_rate_limiter import FarClock
from tests.virtual_time import VirtualClock, run_virtual


class Channel:
    """One route of one channel as the bot uses it; Discord counts what arrives. ``way`` and ``answer``: how
    long, at most, a request and its answer are under way."""

    def __init__(
        self, *, way: float = 0.05, answer: float = 0.05, seed: int = 0, limit: Limit = MESSAGES
    ) -> None:
        clock = VirtualClock()
        self.bucket = Bucket(pacer=DiscordRateLimiter(clock=clock), clock=clock)
        self.way, self.answer, self.limit, self._chance = way, answer, limit, random.Random(seed)
        self._discord: Any = RateLimiter(FarClock(), enabled=True)  # type: ignore[arg-type]
        self.refused = 0
        self.said: list[str] = []
        self.answered_at: dict[str, float] = {}

    async def say(self, what: str, level: Priority = Priority.DELIVER) -> None:
        await self.bucket.enter(level)
        try:
            await asyncio.sleep(self._chance.uniform(0, self.way))
            verdict = self._discord.ask("POST", "1", self.limit, counts_globally=True)
            self.refused += verdict.retry_after is not None
            self.said.append(what)
            await asyncio.sleep(self._chance.uniform(0, self.answer))
            self.bucket.update(SimpleNamespace(headers=verdict.headers))
        finally:
            self.bucket.leave()
        self.answered_at[what] = asyncio.get_running_loop().time()


@given(
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from(list(Priority))), min_size=1, max_size=40),
    st.floats(0, 7),
    st.floats(0, 7),
    st.integers(0, 2**32),
)
@settings(max_examples=examples(30), deadline=None)
def test_no_window_of_discords_holds_one_too_many_and_nobody_is_forgotten(
    requests: list[tuple[float, Priority]], way: float, answer: float, seed: int
) -> None:
    async def later(channel: Channel, number: int, at: float, level: Priority) -> None:
        await asyncio.sleep(at)
        await channel.say(str(number), level)

    async def whole() -> Channel:
        channel = Channel(way=way, answer=answer, seed=seed)
        works = (later(channel, number, *request) for number, request in enumerate(requests))
        await asyncio.gather(*works)
        return channel

    channel = run_virtual(whole())
    assert not channel.refused
    assert sorted(map(int, channel.said)) == list(range(len(requests)))


def test_a_result_overtakes_the_status_messages_that_wait_in_its_channel() -> None:
    async def whole() -> Channel:
        channel = Channel()
        statuses = [asyncio.ensure_future(channel.say(f"status {n}", Priority.STATUS)) for n in range(12)]
        await asyncio.sleep(4.9)
        await asyncio.gather(channel.say("result"), *statuses)
        return channel

    channel = run_virtual(whole())
    # Of the five in the first window one is kept for what matters more.
    assert all(what.startswith("status") for what in channel.said[:4])
    assert channel.said[4] == "result"
    assert channel.answered_at["result"] < 5.1


def test_an_answer_is_heard_at_once_though_it_was_the_last_of_its_window() -> None:
    """discord.py's own limiter would let it wait until the next window opens."""

    async def whole() -> Channel:
        channel = Channel()
        for number in range(6):
            await channel.say(str(number))
        return channel

    channel = run_virtual(whole())
    assert channel.answered_at["4"] < 1.0
    assert channel.answered_at["5"] > 5.0


def test_who_waits_for_a_channel_takes_no_turn_from_others() -> None:
    async def whole() -> None:
        channel = Channel()
        for number in range(5):
            await channel.say(str(number))
        waiting = [asyncio.ensure_future(channel.say(str(number))) for number in range(5, 9)]
        await asyncio.sleep(1.5)
        pacer = channel.bucket._pacer
        assert pacer._line.first is None
        assert pacer._under_way == 0
        await asyncio.gather(*waiting)

    run_virtual(whole())


@pytest.mark.parametrize("moment", [0.0, 2.0])
def test_who_gives_up_waiting_leaves_their_place_to_the_others(moment: float) -> None:
    async def whole() -> Channel:
        channel = Channel(way=0, answer=0)
        for number in range(5):
            await channel.say(str(number))
        unlucky = [asyncio.ensure_future(channel.say("unlucky")) for _ in range(5)]
        patient = [asyncio.ensure_future(channel.say("patient")) for _ in range(5)]
        await asyncio.sleep(moment)
        for task in unlucky:
            task.cancel()
        await asyncio.gather(*unlucky, *patient, return_exceptions=True)
        return channel

    channel = run_virtual(whole())
    assert channel.said[5:] == ["patient"] * 5
    assert max(channel.answered_at.values()) < 6
    assert not channel.refused


def test_a_limit_that_is_not_told_lets_one_at_a_time_through() -> None:
    async def whole() -> int:
        clock = VirtualClock()
        bucket, inside, most = Bucket(pacer=DiscordRateLimiter(clock=clock), clock=clock), 0, 0

        async def go() -> None:
            nonlocal inside, most
            async with bucket:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.1)
                inside -= 1

        await asyncio.gather(*(go() for _ in range(10)))
        return most

    assert run_virtual(whole()) == 1


def test_a_bucket_is_forgotten_only_when_nothing_would_be_lost() -> None:
    async def whole() -> None:
        channel = Channel()
        await channel.say("first")
        assert not channel.bucket.is_inactive()
        await asyncio.sleep(301)
        assert channel.bucket.is_inactive()
        await channel.bucket.enter(Priority.REST)
        await asyncio.sleep(301)
        assert not channel.bucket.is_inactive()
        channel.bucket.leave()

    run_virtual(whole())


def test_a_limit_stays_one_when_its_name_becomes_known_by_another_channels_answer() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        http: Any = SimpleNamespace(
            _buckets={}, _bucket_hashes={}, _try_clear_expired_ratelimits=lambda: None
        )
        buckets = RateLimitBuckets(http=http, pacer=DiscordRateLimiter(clock=clock), clock=clock)
        route = Route("POST", "/channels/{channel_id}/messages", channel_id=2)
        before = http.get_ratelimit(f"{route.key}:2")
        async with buckets.turn(route, Priority.DELIVER):
            http._bucket_hashes[route.key] = "name"
            assert http.get_ratelimit("name:2") is before  # the one that has the turn
        assert http.get_ratelimit("name:2") is before
        assert http.get_ratelimit("name:3") is not before
        assert list(http._buckets) == ["name:2", "name:3"]

    run_virtual(whole())
