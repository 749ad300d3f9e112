"""Two bots on one database: one works, the other takes over, and never do both speak."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modules.demo.comfy_server import Timing
from modules.demo.users import SimulatedUser
from modules.utils.database.lease import LENGTH_SECONDS
from tests.bot_process import BotProcess, Start, nursery, until
from tests.chaos.books import Books, PostgresBooks, SqliteBooks, jobs
from tests.chaos.stage import Stage, open_stage
from tests.postgres import Postgres
from tests.postgres_relay import Relay

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and POSIX's signals")

SLOW = Timing(step=0.4)
TAKE_OVER_SECONDS = 10.0


@dataclass
class Pair:
    """The one that works, the one that stands by, and a person with three jobs under way."""

    stage: Stage
    books: Books
    working: BotProcess
    waiting: BotProcess
    most_connections: int = 0

    async def watch(self) -> None:
        """Note how many bots are at the gateway at once, until cancelled."""
        while True:
            self.most_connections = max(self.most_connections, len(self.stage.discord.gateway.connections))
            await asyncio.sleep(0.005)

    async def taken_over(self, began: float) -> float:
        """Seconds from ``began`` until the second one is connected to Discord."""
        await until(lambda: self.stage.connected == 2, 30)
        return time.monotonic() - began

    async def all_delivered_once(self) -> None:
        await until(lambda: all(row.state == "delivered" for row in jobs(self.books)), 30)
        assert [len(posted) for posted in self.stage.results().values()] == [1, 1, 1]


@asynccontextmanager
async def pair(folder: Path, books: Books, start: Start, *, first_url: str = "") -> AsyncIterator[Pair]:
    async with open_stage(folder, users=2, gpus=1, timing=SLOW) as stage:
        stage.write(DATABASE_URL=first_url or books.url)
        working = await start(stage.env_file)
        await working.says("Engine is idle")
        second = replace(stage, env_file=folder / "second")
        second.write(DATABASE_URL=books.url)
        waiting = await start(second.env_file)
        await waiting.says("Standing by")
        made = Pair(stage, books, working, waiting)
        watching = asyncio.ensure_future(made.watch())
        try:
            async with await SimulatedUser.connect(stage.discord.url) as ana:
                channel = ana.channel("general")
                assert channel is not None
                request = await ana.command("imagine", channel["id"], model="flux", prompt="owls", count=3)
                await request.reply()
                await working.says("Dispatched")
                assert stage.connected == 1
                yield made
        finally:
            watching.cancel()
            for bot in (working, waiting):
                bot.send(signal.SIGCONT)
        assert made.most_connections == 1


@asynccontextmanager
async def relayed(postgres: Postgres, books: PostgresBooks) -> AsyncIterator[tuple[Relay, str]]:
    """A way to the database that can be severed."""
    relay = Relay(postgres.socket)
    with contextlib.closing(relay):
        yield relay, f"postgresql://postgres@127.0.0.1:{relay.port}/{books.name}?sslmode=disable"


async def test_on_a_file_the_second_takes_over_at_once(tmp_path: Path) -> None:
    async with nursery(tmp_path) as start, pair(tmp_path, SqliteBooks(tmp_path), start) as both:
        began = time.monotonic()
        await both.working.kill()
        assert await both.taken_over(began) < TAKE_OVER_SECONDS / 2
        await both.all_delivered_once()


@pytest.mark.long
async def test_on_a_file_one_that_was_frozen_goes_on_when_it_wakes(tmp_path: Path) -> None:
    """Its lock is its own for as long as it lives, so the second one stays silent however long that is."""
    async with nursery(tmp_path) as start, pair(tmp_path, SqliteBooks(tmp_path), start) as both:
        both.working.send(signal.SIGSTOP)
        await both.stage.discord.gateway.drop(resumable=True)
        await asyncio.sleep(LENGTH_SECONDS)
        assert both.stage.connected == 1
        both.working.send(signal.SIGCONT)
        await both.all_delivered_once()
        assert "Standing by" not in both.working.said()
        assert "This process uses the database now" not in both.waiting.said()
        began = time.monotonic()
        await both.working.kill()
        await both.waiting.says("This process uses the database now")
        assert time.monotonic() - began < TAKE_OVER_SECONDS


async def test_on_a_server_the_second_takes_over_within_ten_seconds(
    tmp_path: Path, postgres: Postgres, record_property: Callable[[str, object], None]
) -> None:
    async with nursery(tmp_path) as start, pair(tmp_path, PostgresBooks(postgres), start) as both:
        began = time.monotonic()
        await both.working.kill()
        seconds = await both.taken_over(began)
        record_property("take_over_seconds", round(seconds, 2))
        assert seconds < TAKE_OVER_SECONDS
        await both.all_delivered_once()


@pytest.mark.long
async def test_one_that_was_frozen_says_nothing_when_it_wakes(tmp_path: Path, postgres: Postgres) -> None:
    async with nursery(tmp_path) as start, pair(tmp_path, PostgresBooks(postgres), start) as both:
        began = time.monotonic()
        both.working.send(signal.SIGSTOP)
        # Its connection to the gateway is not its own to close while it is frozen: Discord would do so
        # for want of heartbeats.
        await both.stage.discord.gateway.drop(resumable=True)
        assert await both.taken_over(began) < TAKE_OVER_SECONDS
        seen = len(both.working.said())
        posts = both.stage.discord.counters["messages"]
        both.working.send(signal.SIGCONT)
        await both.working.says("Standing by: ")
        await both.all_delivered_once()
        assert both.stage.discord.counters["messages"] >= posts
        afterwards = both.working.said()[seen:]
        assert "Delivered" not in afterwards
        assert "Dispatched" not in afterwards


@pytest.mark.long
async def test_one_that_is_severed_leaves_before_the_other_comes(tmp_path: Path, postgres: Postgres) -> None:
    books = PostgresBooks(postgres)
    async with (
        relayed(postgres, books) as (relay, url),
        nursery(tmp_path) as start,
        pair(tmp_path, books, start, first_url=url) as both,
    ):
        began = time.monotonic()
        relay.frozen = True
        assert await both.taken_over(began) < TAKE_OVER_SECONDS
        await both.all_delivered_once()
        await both.working.says("Standing by: the database does not answer")
        relay.frozen = False
        relay.cut()
        await until(lambda: both.working.said().count("Standing by: ") >= 2, 30)
        assert both.stage.connected == 2
