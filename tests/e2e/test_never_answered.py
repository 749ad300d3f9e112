"""A bot that dies before it answered somebody: the next one neither answers for it nor makes anything up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from modules.demo.discord_server.interactions import NO_RESPONSE
from modules.demo.discord_server.refusals import Refusal
from modules.demo.invocation import Invocation
from modules.demo.users import SimulatedUser, text_of
from tests.bot_process import BotProcess, Start, nursery, until
from tests.chaos.books import SqliteBooks, jobs
from tests.chaos.stage import Stage, open_stage

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")

EARLIER, LOST, LATER = "asked before", "asked in vain", "asked later"


@dataclass
class Moment:
    """A bot that is about to die, and a person who asks it for something just before."""

    stage: Stage
    books: SqliteBooks
    start: Start
    bot: BotProcess
    ana: SimulatedUser

    async def ask(self, prompt: str) -> Invocation:
        channel = self.ana.channel("general")
        assert channel is not None
        return await self.ana.command("imagine", str(channel["id"]), prompt=prompt, model="flux")

    def answers(self) -> int:
        """How often a bot has answered an interaction, or tried to."""
        counted = self.stage.discord.counters
        routes = [name for name in counted if "/interactions/" in name or "/webhooks/" in name]
        return sum(counted[name] for name in routes)

    async def born_again(self) -> None:
        """Kill the bot and start another, which has looked at everything that was left to it."""
        await self.bot.kill()
        before = self.answers()
        self.bot = await self.start(self.stage.env_file)
        await self.bot.says("Engine is idle")
        await asyncio.sleep(0.5)
        assert self.answers() == before, "nobody has asked this one yet"

    async def made(self, prompt: str) -> None:
        """Ask, and have it posted and noted."""
        reply = await (await self.ask(prompt)).reply()
        assert "#" in text_of(reply)
        await self.ana.wait_for_message(
            lambda message: f"> {prompt}" in text_of(message) and "seed `" in text_of(message), 30
        )
        await until(lambda: {row.state for row in jobs(self.books)} <= {"delivered", "cancelled"}, 30)

    async def nothing_was_lost_or_made_up(self, *, taken_back: int = 0) -> None:
        """What is asked now is made, and nothing speaks of what was not answered, except that so many
        requests were taken back."""
        await self.made(LATER)
        states = [row.state for row in jobs(self.books)]
        assert sorted(states) == ["cancelled"] * taken_back + ["delivered"] * 2
        assert len(self.stage.results()) == 2
        spoken = [text_of(message) for message in self.ana.all_messages() if LOST in text_of(message)]
        assert len(spoken) == taken_back
        assert all("was cancelled" in said for said in spoken)


@asynccontextmanager
async def moment(folder: Path) -> AsyncIterator[Moment]:
    """The person has had a picture before, so that there is a channel, and a row of everything."""
    async with nursery(folder) as start, open_stage(folder, users=2, gpus=1) as stage:
        books = SqliteBooks(folder)
        stage.write(DATABASE_URL=books.url)
        bot = await start(stage.env_file)
        await bot.says("Engine is idle")
        async with await SimulatedUser.connect(stage.discord.url) as ana:
            now = Moment(stage, books, start, bot, ana)
            await now.made(EARLIER)
            yield now


def refuse(*_: object) -> NoReturn:
    """As Discord answers an acknowledgement that it did not get in time."""
    raise Refusal(10062)


async def test_a_request_that_was_never_acknowledged_is_not_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its person was told by Discord that the application did not respond, and may have asked again."""
    async with moment(tmp_path) as now:
        answered = now.answers()
        with monkeypatch.context() as patch:
            patch.setattr(now.stage.discord.interactions, "answer", refuse)
            invocation = await now.ask(LOST)
            await until(lambda: now.answers() > answered, 30)
            await until(lambda: any(row.state == "cancelled" for row in jobs(now.books)), 30)
            await now.ana.wait_for_message(lambda message: "**#2** was cancelled." in text_of(message), 30)
            await now.born_again()
        assert await invocation.failure() == NO_RESPONSE
        assert invocation.acknowledged_at is None
        await now.nothing_was_lost_or_made_up(taken_back=1)


async def test_a_request_that_was_not_on_disk_yet_was_not_accepted(tmp_path: Path) -> None:
    """The bot had said that it heard, and was killed while the journal waited for the database."""
    async with moment(tmp_path) as now:
        with contextlib.closing(sqlite3.connect(now.books.path, timeout=10)) as other:
            # as if another program held the file just then, and at no moment before
            other.execute(
                "CREATE TRIGGER busy BEFORE INSERT ON jobs BEGIN"
                " SELECT RAISE(ABORT, 'database is locked'); END"
            )
            invocation = await now.ask(LOST)
            await invocation.acknowledged()
            await now.bot.says("The database cannot be reached")
            with pytest.raises(asyncio.TimeoutError):
                await invocation.reply(1.0)  # nobody is told "queued" before it is true
            await now.bot.kill()
            other.execute("DROP TRIGGER busy")
        await now.born_again()
        await now.nothing_was_lost_or_made_up()
        assert invocation.messages == [invocation.message]  # still "thinking", until Discord gives it up
