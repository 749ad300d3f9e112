"""A chaos run: a crowd at work, a bot that is killed and started again, and the books at the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.queue_manager.backports import timeout
from tests.bot_process import BotProcess, Start
from tests.chaos.books import Books, jobs
from tests.chaos.crowd import Heard, crowd
from tests.chaos.ledger import Ledger, count
from tests.chaos.stage import Kind, Stage, open_stage

Trouble = Literal["none", "database", "disk", "discord", "guilds", "servers", "mix"]
"""``database``: its server is away (a file cannot be); ``disk``: it is full; ``discord``: it refuses all
requests; ``guilds``: they are available late; ``servers``: every run fails on some or all GPUs; ``mix``: one
of these, drawn each time."""

KINDS: tuple[Trouble, ...] = ("database", "disk", "discord", "guilds", "servers")

QUIET_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``kills`` SIGKILLs under the load of ``users``; in every ``every``-th life ``trouble`` for some
    ``seconds``, too. ``seed`` decides on instants and people."""

    kills: int
    seed: int
    users: int = 5
    trouble: Trouble = "none"
    seconds: float = 1.0
    every: int = 3
    elastic: Kind = "none"


async def run(
    plan: Plan, *, books: Books, folder: Path, start: Start, tell: Callable[[str], None] = lambda _: None
) -> Ledger:
    """See the module."""
    heard = Heard()
    async with open_stage(folder, users=plan.users, elastic=plan.elastic) as stage:
        stage.write(DATABASE_URL=books.url)
        lives = Lives(plan, stage=stage, books=books, start=start, heard=heard, tell=tell)
        users = [user.id for user in stage.discord.hub.people]
        bot = await lives.first()
        async with crowd(stage.discord.url, users, heard, plan.seed):
            for number in range(plan.kills):
                bot = await lives.next(bot, number)
        await lives.quiet(bot)
        ledger = lives.count()
        if not ledger.sound:
            tell(bot.said()[-4000:])
        await bot.kill()
        return ledger


class Lives:
    """One bot after another."""

    def __init__(
        self,
        plan: Plan,
        *,
        stage: Stage,
        books: Books,
        start: Start,
        heard: Heard,
        tell: Callable[[str], None],
    ) -> None:
        self._plan, self._stage, self._books, self._start = plan, stage, books, start
        self._heard, self._tell = heard, tell
        self._chance = random.Random(plan.seed)
        self._met: set[str] = set()
        self._before = 0
        self._troubles: Counter[Trouble] = Counter()

    @property
    def met(self) -> int:
        """How many jobs had been posted, and not yet marked, when a bot was killed."""
        return len(self._met)

    def count(self) -> Ledger:
        """The books as they stand."""
        return count(self._stage, self._books, self._heard, kills=self._plan.kills, met=self.met)

    async def first(self) -> BotProcess:
        """The first one: it makes the tables, which are then watched."""
        bot = await self._begin()
        await bot.says("Engine is idle")
        self._books.watch_first_dispatches()
        return bot

    async def next(self, bot: BotProcess, number: int) -> BotProcess:
        """Let it live a while, kill it, start another."""
        began = time.monotonic()
        if self._plan.trouble != "none" and number % self._plan.every == self._plan.every - 1:
            bot = await self._live_through_trouble(bot)
        await self._instant()
        await self._kill(bot)
        started = await self._begin()
        if number % 10 == 9:
            done = sum(row.ended for row in jobs(self._books))
            self._tell(f"kill {number + 1}: {done} jobs ended, {time.monotonic() - began:.1f} s this life")
            if self._troubles:
                self._tell(f"  troubles so far: {dict(self._troubles)}")
        return started

    async def _begin(self) -> BotProcess:
        self._before = self._stage.connected
        return await self._start(self._stage.env_file)

    async def _connected(self) -> None:
        await _until(lambda: self._stage.connected > self._before, 12.0 + 2 * self._plan.seconds)

    async def _kill(self, bot: BotProcess) -> None:
        await bot.kill()
        self._count_meeting()
        if self._chance.random() < 0.9:
            self._books.free()
        # A repeat is dropped for minutes only: sometimes they have passed.
        if self._chance.random() < 0.5:
            self._stage.discord.hub.nonces.clear()

    async def _live_through_trouble(self, bot: BotProcess) -> BotProcess:
        """Some see it begin and are killed in it, some begin in it and see its end."""
        kind = self._plan.trouble
        if kind == "mix":
            kind = self._chance.choice(KINDS)
        self._troubles[kind] += 1
        await self._connected()
        await asyncio.sleep(self._chance.uniform(0.5, 1.0))
        killed = kind == "guilds" or self._chance.random() < 0.5
        async with self._trouble(kind):
            await asyncio.sleep(self._chance.uniform(0.0, self._plan.seconds))
            if killed:
                await bot.kill()
                bot = await self._begin()
                await asyncio.sleep(self._plan.seconds)
        if killed:
            self._books.free()
        await self._connected()
        await asyncio.sleep(1.0)
        return bot

    async def quiet(self, bot: BotProcess) -> None:
        """Return once every job has ended and everybody knows, or patience has."""
        await self._books.empty()
        with contextlib.suppress(asyncio.TimeoutError):
            async with timeout(QUIET_SECONDS):
                while True:
                    if all(row.ended for row in jobs(self._books)) and self.count().sound:
                        return
                    await asyncio.sleep(0.3)

    async def _instant(self) -> None:
        """A random instant: any of a life, or right after something worth interrupting."""
        kind, stage = self._chance.random(), self._stage
        if kind < 0.25:
            await asyncio.sleep(self._chance.uniform(0.0, 1.2))
            return
        await self._connected()
        await asyncio.sleep(self._chance.uniform(0.2, 1.2))
        if kind < 0.5:
            return
        posts, seen = stage.discord.counters, stage.discord.counters["messages"]
        accepted = len(self._heard.queued)
        if kind < 0.85:
            await _until(lambda: posts["messages"] > seen, 1.5)
        else:
            await _until(lambda: len(self._heard.queued) > accepted, 1.5)
        await asyncio.sleep(self._chance.choice([0.0, 0.001, 0.003, 0.01]))

    def _count_meeting(self) -> None:
        results = self._stage.results()
        with contextlib.suppress(Exception):  # the database may be away right now
            self._met |= {row.id for row in jobs(self._books) if not row.ended and row.id in results}

    @contextlib.asynccontextmanager
    async def _trouble(self, kind: Trouble) -> AsyncIterator[None]:
        books, discord, gpus = self._books, self._stage.discord, self._stage.gpus
        if kind == "database":
            await books.stop()
        elif kind == "disk":
            await books.fill()
        elif kind == "discord":
            discord.faults.refuse(3600)
        elif kind == "guilds":
            discord.gateway.guild_delay = self._chance.uniform(0.5, 3.0) * self._plan.seconds
        else:
            sick = self._chance.sample(gpus, self._chance.randint(1, len(gpus)))
            for gpu in sick:
                gpu.faults.set(fail_at=("*",), fail_with=self._chance.choice(["disk full", "broken install"]))
        try:
            yield
        finally:
            if kind == "database":
                await books.start()
            elif kind == "disk":
                await books.empty()
            discord.faults.refuse(0)
            discord.gateway.guild_delay = 0.0
            for gpu in gpus:
                gpu.faults.set(fail_at=())


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        async with timeout(seconds):
            while not condition():
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
