"""The bot as operators run it: one process, an .env file, signals, a log, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.world import BotSpec, default_world
from modules.demo.users import Payload, SimulatedUser
from modules.queue_manager.backports import timeout
from tests.discord_wiring import openapi_file

ROOT = Path(__file__).parents[2]
TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"
KEY = "painter:hunter2-hunter2"
SLOW = Timing(step=0.3, row=0.05)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


@dataclass
class Bot:
    """A running ``python bot.py`` and what it has said."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self._changed.set()

    async def says(self, pattern: str) -> str:
        """The first line that matches, said already or to come."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with timeout(30):
                while True:
                    for line in self.lines:
                        if re.search(pattern, line):
                            return line
                    self._changed.clear()
                    await self._changed.wait()
        raise AssertionError(f"{pattern!r} was not said:\n" + "\n".join(self.lines))

    async def end(self, number: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def run_bot(env_file: Path) -> AsyncIterator[Bot]:
    audioop = "ignore:'audioop' is deprecated:DeprecationWarning"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-W", audioop, str(ROOT / "bot.py"), "--env-file", str(env_file),
        cwd=env_file.parent,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    bot = Bot(process)
    reading = asyncio.create_task(bot.read())
    try:
        yield bot
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


@dataclass
class Stage:
    """Embedded servers, and the file that leads the bot to them."""

    discord: DiscordServer
    gpus: tuple[ComfyServer, ComfyServer]
    env_file: Path
    metrics_port: int

    def write(self, **changes: str) -> None:
        values = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(next(iter(self.discord.hub.guilds))),
            "COMFY_URLS": self.gpus[0].url,
            "COMFY_API_KEY": KEY,
            "DATABASE_URL": f"sqlite:///{self.env_file.parent / 'bot.db'}",
            "DISCORD_API_BASE": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "METRICS_PORT": str(self.metrics_port),
            "SHUTDOWN_GRACE_SECONDS": "20",
            **changes,
        }
        text = "".join(f"{name} = '{value}'\r\n" for name, value in values.items())
        self.env_file.write_bytes(b"\xef\xbb\xbf" + text.encode())


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    world = default_world(2, bot=BotSpec(token=TOKEN))
    profile = ServerProfile(api_key=KEY, cache_lru=100)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with (
        DiscordServer(world, openapi=openapi_file()) as discord,
        ComfyServer(profile=profile, timing=SLOW, drawing="plain") as one,
        ComfyServer(profile=profile, timing=SLOW, drawing="plain") as two,
    ):
        made = Stage(discord, (one, two), tmp_path / ".env", port)
        made.write()
        yield made
        assert discord.violations == []


@asynccontextmanager
async def person(stage: Stage) -> AsyncIterator[tuple[SimulatedUser, str]]:
    """Somebody in front of #general, with the bot's commands there."""
    async with await SimulatedUser.connect(stage.discord.url) as user:
        await user.until(lambda: any(c["name"] == "imagine" for c in user.commands), 30)
        channel = user.channel("general")
        assert channel is not None
        yield user, channel["id"]


def result_of(prompt: str) -> Callable[[Payload], bool]:
    return lambda message: prompt in message["content"] and "seed `" in message["content"]


async def scrape(stage: Stage, path: str) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{stage.metrics_port}{path}") as got,
    ):
        return await got.text()


async def scraped(stage: Stage, wanted: str) -> str:
    """The metrics once they hold a line, which comes a moment after what it tells of."""
    async with timeout(15):
        while wanted not in (figures := await scrape(stage, "/metrics")).splitlines():
            await asyncio.sleep(0.02)
    return figures


async def test_a_bot_works_follows_its_file_and_ends_in_good_order(stage: Stage) -> None:
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        await (await user.command("imagine", general, model="flux", prompt="first light")).reply()
        await user.wait_for_message(result_of("first light"), 30)
        figures = await scraped(stage, 'fullet_jobs_total{outcome="delivered"} 1.0')
        assert 'fullet_discord_requests_total{status="200"}' in figures
        assert 'status="429"' not in figures
        assert await scrape(stage, "/readyz") == "ready\n"

        stage.write(COMFY_URLS="")
        await bot.says("Nothing changed, as .env has faults: COMFY_URLS: is missing")
        stage.write(COMFY_URLS=f"{stage.gpus[0].url}/ , {stage.gpus[1].url}")
        await bot.says("COMFY_URLS has changed and is in force")
        await bot.says(f"Engine is idle .*engine=127.0.0.1:{stage.gpus[1].port}")

        await (await user.command("imagine", general, model="flux", prompt="last light")).reply()
        await scraped(stage, "fullet_wait_seconds_count 2.0")
        assert await bot.end() == 0
        await user.wait_for_message(result_of("last light"), 5)
        assert not any("Traceback" in line or "ERROR" in line for line in bot.lines), "\n".join(bot.lines)
        for secret in (TOKEN, KEY, "hunter2", "first light", "last light"):
            assert not any(secret in line for line in bot.lines)


async def test_what_is_not_done_in_time_is_done_after_the_restart(stage: Stage) -> None:
    stage.write(SHUTDOWN_GRACE_SECONDS="0")
    async with person_when_up(stage) as (bot, user, general):
        await (await user.command("imagine", general, model="flux", prompt="a long night")).reply()
        await scraped(stage, "fullet_wait_seconds_count 1.0")
        assert await bot.end(signal.SIGINT) == 0
        told = await user.wait_for_message(lambda message: "your place is kept" in message["content"], 5)
        assert "#1" in told["content"]
        async with run_bot(stage.env_file):
            await user.wait_for_message(result_of("a long night"), 30)
        pictures = [m for c in user.channels for m in user.messages(c) if result_of("a long night")(m)]
        assert len(pictures) == 1


@asynccontextmanager
async def person_when_up(stage: Stage) -> AsyncIterator[tuple[Bot, SimulatedUser, str]]:
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        yield bot, user, general


async def test_a_token_that_discord_does_not_know_is_one_line(stage: Stage) -> None:
    stage.write(DISCORD_TOKEN="another.bots.token")
    async with run_bot(stage.env_file) as bot, timeout(30):
        assert await bot.process.wait() == 1
    assert bot.lines[-1].startswith("DISCORD_TOKEN: Discord does not know it; reset it")
    assert not any("Traceback" in line for line in bot.lines)


async def test_without_the_message_content_intent_it_says_so_and_works(stage: Stage) -> None:
    world = default_world(2, bot=BotSpec(token=TOKEN, message_content_intent=False))
    async with DiscordServer(world, openapi=openapi_file()) as discord:
        other = Stage(discord, stage.gpus, stage.env_file, stage.metrics_port)
        other.write()
        async with run_bot(stage.env_file) as bot, person(other):
            await bot.says("Message Content Intent is off")
            assert await bot.end() == 0
