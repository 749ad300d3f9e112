"""SIGTERM and Ctrl-C: what runs is finished, what waits keeps its place and is told so."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modules.demo.comfy_server import Timing
from modules.demo.users import SimulatedUser, text_of
from tests.bot_process import BotProcess, Start, nursery, until
from tests.chaos.books import SqliteBooks, jobs
from tests.chaos.ledger import stale_status
from tests.chaos.stage import Stage, open_stage

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and POSIX's signals")

SLOW = Timing(step=0.4)
"""A picture of four steps takes 1.6 seconds."""


@dataclass
class Evening:
    """A bot that is about to end, and a person with one job that runs and one that waits."""

    stage: Stage
    books: SqliteBooks
    start: Start
    bot: BotProcess
    ana: SimulatedUser
    general: str

    async def ask(self, prompt: str, **options: Any) -> dict[str, Any]:
        invocation = await self.ana.command("imagine", self.general, prompt=prompt, **options)
        return await invocation.reply()

    async def shows(self, *words: str) -> dict[str, Any]:
        """A message that says all this."""
        return await self.ana.wait_for_message(
            lambda message: all(word in text_of(message) for word in words), 30
        )

    def states(self) -> list[str]:
        return [row.state for row in jobs(self.books)]


@asynccontextmanager
async def evening(folder: Path, *, grace: str) -> AsyncIterator[Evening]:
    async with nursery(folder) as start, open_stage(folder, users=2, gpus=1, timing=SLOW) as stage:
        books = SqliteBooks(folder)
        stage.write(DATABASE_URL=books.url, SHUTDOWN_GRACE_SECONDS=grace)
        bot = await start(stage.env_file)
        await bot.says("Engine is idle")
        async with await SimulatedUser.connect(stage.discord.url) as ana:
            channel = ana.channel("general")
            assert channel is not None
            made = Evening(stage, books, start, bot, ana, str(channel["id"]))
            await made.ask("running", model="flux")
            await bot.says("Dispatched")
            await made.ask("waiting", model="z-image")
            await made.shows("#2", "> waiting")
            yield made


async def test_what_runs_is_finished_and_what_waits_keeps_its_place(tmp_path: Path) -> None:
    async with evening(tmp_path, grace="20") as now:
        now.bot.send(signal.SIGTERM)
        # People are answered until the end, but nothing is taken any more.
        await asyncio.sleep(0.2)
        refusal = await now.ask("too late", model="flux")
        assert text_of(refusal) == "The bot is restarting. Please try again in a minute."
        assert await now.bot.ended() == 0
        assert now.states() == ["delivered", "queued"]
        assert "Traceback" not in now.bot.said()
        waiting = await now.shows("#2", "the bot is restarting; your place is kept")

        bot = await now.start(now.stage.env_file)
        await now.ana.until(
            lambda: "place is kept" not in text_of(now.ana.message(waiting["id"]) or {"content": ""}), 30
        )
        await now.shows("> waiting", "seed `")
        await until(lambda: now.states() == ["delivered", "delivered"], 30)
        await until(lambda: not stale_status(now.stage, jobs(now.books)), 30)
        bot.send(signal.SIGINT)
        assert await bot.ended() == 0
        assert sorted(len(posted) for posted in now.stage.results().values()) == [1, 1]


async def test_a_batch_that_takes_too_long_is_followed_on_at_the_next_start(tmp_path: Path) -> None:
    async with evening(tmp_path, grace="0.3") as now:
        began = time.monotonic()
        now.bot.send(signal.SIGINT)  # Ctrl-C means the same
        assert await now.bot.ended() == 0
        assert time.monotonic() - began < 2.0
        assert now.states() == ["dispatched", "queued"]
        await now.shows("#1", "the bot is restarting; your place is kept")
        await now.shows("#2", "the bot is restarting; your place is kept")

        await now.start(now.stage.env_file)
        await now.shows("> running", "seed `")
        await now.shows("> waiting", "seed `")
        assert len(now.stage.gpus[0].sampler_log) == 2  # the first one was not run again
