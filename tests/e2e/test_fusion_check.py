"""``bot.py check --fusion`` before a server that mixes people's pictures without an error: it is found out,
and the bot makes pictures one by one there until it is checked again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import Payload, SimulatedUser, text_of
from modules.queue_manager.backports import timeout
from tests.discord_wiring import openapi_file
from tests.e2e.known_or_alone import ROWS, compared, crowd, graphs, runs_of, write_models
from tests.e2e.operated import ROOT, TOKEN, run_bot
from tests.real_comfy.comfy import Graph

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")

MODEL = "zimage-plain"


@dataclass
class Place:
    """An operator's folder, its servers, and people."""

    home: Path
    env_file: Path
    comfy: ComfyServer
    discord: DiscordServer
    models: dict[str, Graph]

    async def check(self, *arguments: str) -> tuple[int, str]:
        """The exit code of ``bot.py check --fusion``, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(self.home / "bot.py"), "check", "--env-file", str(self.env_file), *arguments,
            env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with timeout(90):
            out, error = await process.communicate()
        assert b"Traceback" not in error, error.decode()
        return int(process.returncode or 0), out.decode()

    async def made_by_crowd(self, users: list[SimulatedUser], first_seed: int) -> list[int]:
        """People ask at once, and everybody gets their own picture; how many each run made."""
        before = len(list(await runs_of(self.comfy.url)))
        result = compared(await crowd(self.comfy.url, users, 1, first_seed, self.models))
        assert result.delivered == ROWS
        assert result.foreign == (), result.foreign
        assert result.furthest == 0
        return [pictures for _, pictures in list(await runs_of(self.comfy.url))[before:]]

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[tuple[list[SimulatedUser], SimulatedUser]]:
        """A running bot, people, and the one who runs the server."""
        async with AsyncExitStack() as stack:
            bot = await stack.enter_async_context(run_bot(self.env_file, root=self.home))
            await bot.says("Engine is idle")
            members = [self.discord.user(f"member-{n + 1}").id for n in range(ROWS)]
            users = [
                await stack.enter_async_context(await SimulatedUser.connect(self.discord.url, member))
                for member in members
            ]
            admin = await stack.enter_async_context(await SimulatedUser.connect(self.discord.url))
            for user in users:
                await user.until(lambda user=user: any(c["name"] == "imagine" for c in user.commands), 30)
            yield users, admin
            assert not any("Traceback" in line or " ERROR " in line for line in bot.lines), bot.lines

    async def gpus(self, admin: SimulatedUser) -> str:
        """What ``!gpus`` says."""
        channel = self.discord.channel("general").id
        before = {message["id"] for message in admin.messages(channel)}

        def answer(message: Payload) -> bool:
            return message["id"] not in before and bool(message["author"].get("bot"))

        await admin.say(channel, "!gpus")
        return str(text_of(await admin.wait_for_message(answer, 20, channel=channel)))

    async def until_gpus_say(self, admin: SimulatedUser, words: str) -> None:
        """The bot looks at a server again when its socket breaks."""
        await self.comfy.drop_sockets()
        async with timeout(30):
            while words not in (told := await self.gpus(admin)):
                await asyncio.sleep(0.2)
        assert told


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    home = tmp_path / "bot"
    home.mkdir()
    shutil.copy(ROOT / "bot.py", home)
    (home / "modules").symlink_to(ROOT / "modules", target_is_directory=True)
    models = {MODEL: graphs()[MODEL]}
    write_models(home / "flujos", models)
    world = default_world(ROWS + 1, bot=BotSpec(token=TOKEN))
    async with (
        DiscordServer(world, openapi=openapi_file()) as discord,
        ComfyServer(
            profile=ServerProfile(cache_lru=100), timing=Timing(step=0.002), drawing="plain"
        ) as comfy,
    ):
        values = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(next(iter(discord.hub.guilds))),
            "COMFY_URLS": comfy.url,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'bot.db'}",
            "DISCORD_API_BASE": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "MAX_BATCH_SIZE": str(ROWS),
            "BATCH_WINDOW_MS": "500",
        }
        env_file = tmp_path / ".env"
        env_file.write_text("".join(f"{name} = '{value}'\n" for name, value in values.items()))
        yield Place(home, env_file, comfy, discord, models)
        assert discord.violations == []


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_a_server_that_mixes_pictures_makes_them_one_by_one_until_it_is_checked_again(
    place: Place,
) -> None:
    code, told = await place.check("--fusion")
    assert code == 0, told
    assert f"✓ {MODEL}: fused pictures match those made alone" in told
    assert "4 fused: equal; a stock batch: equal" in told
    assert "gain" in told
    (sheet,) = (place.home / "database" / "fusion-checks").glob("*.png")
    assert str(sheet) in told

    async with place.bot() as (users, admin):
        assert max(await place.made_by_crowd(users, 100)) > 1, "it is healthy: they share runs"
        assert "(checked on <t:" in await place.gpus(admin)

        place.comfy.faults.set(mixes_rows=True)
        code, told = await place.check("--fusion", place.comfy.url, MODEL, "--json")
        found = json.loads(told)["servers"][0]["models"][0]
        assert code == 1
        assert found["fused"] is False
        assert all(not each["same"] and each["stock"]["rms"] == 0 for each in found["comparisons"])
        await place.until_gpus_say(admin, "together, its pictures differ from those made alone")
        assert await place.made_by_crowd(users, 200) == [1] * ROWS

    async with place.bot() as (users, admin):
        assert await place.made_by_crowd(users, 300) == [1] * ROWS, "the next process obeys, too"
        _, told = await place.check()
        assert f"makes pictures with {MODEL} one by one: in a batch of 4, its pictures differ" in told

        place.comfy.faults.clear()
        assert (await place.check("--fusion"))[0] == 0
        await place.until_gpus_say(admin, "× as fast with")
        assert max(await place.made_by_crowd(users, 400)) > 1
