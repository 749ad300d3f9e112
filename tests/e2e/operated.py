"""The bot as operators run it, for tests: a process of its own between embedded servers, led by a file."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.comfy_server.nodes.workbench import Drawing
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, WorldSpec, default_world
from modules.demo.users import Payload, SimulatedUser, text_of
from tests.bot_process import ROOT, BotProcess, born, started
from tests.discord_wiring import openapi_file
from tests.free_port import free_port

TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"
KEY = "painter:hunter2-hunter2"
SLOW = Timing(step=0.3, row=0.05)

_numbers = itertools.count()


@asynccontextmanager
async def run_bot(
    env_file: Path, *, root: Path = ROOT, cold: bool = False, **environ: str
) -> AsyncIterator[BotProcess]:
    """``python bot.py`` of the folder ``root`` with these settings; ``cold``: it reads its modules itself."""
    start = started if cold else born
    log = env_file.parent / f"log-{next(_numbers)}"
    command = ("--env-file", str(env_file))
    bot = await start(*command, folder=env_file.parent, log=log, root=root, **environ)
    try:
        yield bot
    finally:
        await bot.kill()


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


@asynccontextmanager
async def staged(
    folder: Path, *, world: WorldSpec | None = None, timing: Timing = SLOW, drawing: Drawing = "plain"
) -> AsyncIterator[Stage]:
    """An embedded Discord, two embedded ComfyUIs that ask for a key, and a file that names the first."""
    profile = ServerProfile(api_key=KEY, cache_lru=100)
    async with (
        DiscordServer(world or default_world(2, bot=BotSpec(token=TOKEN)), openapi=openapi_file()) as discord,
        ComfyServer(profile=profile, timing=timing, drawing=drawing) as one,
        ComfyServer(profile=profile, timing=timing, drawing=drawing) as two,
    ):
        made = Stage(discord, (one, two), folder / ".env", free_port())
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
    return lambda message: prompt in text_of(message) and "seed `" in text_of(message)
