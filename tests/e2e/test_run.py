"""The bot as operators run it: one process, an .env file, signals, a log, metrics."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.faults import Block
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import Payload, SimulatedUser, files_of, text_of
from modules.queue_manager.backports import timeout
from tests.bot_process import BotProcess
from tests.discord_wiring import openapi_file
from tests.e2e.operated import KEY, TOKEN, Stage, person, result_of, run_bot, staged
from tests.free_port import free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made


async def scrape(stage: Stage, path: str) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{stage.metrics_port}{path}") as got,
    ):
        return await got.text()


async def asked(port: int, path: str) -> tuple[int, str]:
    """Status and text; 0 while nothing is served there."""
    async with aiohttp.ClientSession() as client:
        try:
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""


async def until_told(port: int, path: str, wanted: tuple[int, str]) -> None:
    """Return once this is the answer."""
    async with timeout(60):
        while await asked(port, path) != wanted:
            await asyncio.sleep(0.05)


async def scraped(stage: Stage, wanted: str) -> str:
    """The metrics once they hold a line, which comes a moment after what it tells of."""
    async with timeout(60):
        while wanted not in (figures := await scrape(stage, "/metrics")).splitlines():
            await asyncio.sleep(0.02)
    return figures


async def own_words(user: SimulatedUser, message: Payload) -> str:
    """What the picture of a result says about itself to any program that reads it."""
    with Image.open(io.BytesIO(await user.download(files_of(message)[0]["url"]))) as picture:
        return str(picture.info.get("parameters", "")) + str(dict(picture.getexif()) or "")


async def test_a_bot_works_follows_its_file_and_ends_in_good_order(stage: Stage) -> None:
    async with run_bot(stage.env_file, cold=True) as bot, person(stage) as (user, general):
        await bot.says(r"Starting FuLLet \d+\.\d+\.\d+ with Python 3\.")
        await bot.says(f"The status page is at http://127.0.0.1:{stage.metrics_port}/, ")
        await bot.says("Serving FuLLet demo as FuLLet")
        await bot.says("Models: .*flux, .*z-image")
        await bot.says(f"Servers: {stage.gpus[0].url}\n")
        await bot.says(f"Database: SQLite .*{re.escape(str(stage.env_file.parent / 'bot.db'))}\n")
        await (await user.command("imagine", general, model="flux", prompt="first light")).reply()
        told = await user.wait_for_message(result_of("first light"), 60)
        assert "first light" in await own_words(user, told)
        figures = await scraped(stage, 'fullet_jobs_total{outcome="delivered"} 1.0')
        assert 'fullet_discord_requests_total{status="200"}' in figures
        assert 'status="429"' not in figures
        assert await scrape(stage, "/readyz") == "ready\n"

        stage.write(COMFY_URLS="")
        await bot.says("Nothing changed, because .env has errors: COMFY_URLS: missing")
        stage.write(COMFY_URLS=f"{stage.gpus[0].url}/ , {stage.gpus[1].url}")
        await bot.says("COMFY_URLS has changed and applies now")
        await bot.says(f"Engine is idle .*engine=127.0.0.1:{stage.gpus[1].port}")

        await (await user.command("imagine", general, model="flux", prompt="last light")).reply()
        await scraped(stage, "fullet_wait_seconds_count 2.0")
        assert await bot.end() == 0
        await bot.says(r"Stopped after 0:\d\d:\d\d, 2 pictures made; no picture is waiting\n")
        await user.wait_for_message(result_of("last light"))
        assert not any("Traceback" in line or "ERROR" in line for line in bot.lines), "\n".join(bot.lines)
        for secret in (TOKEN, KEY, "hunter2", "first light", "last light"):
            assert not any(secret in line for line in bot.lines)


async def test_a_drained_gpu_comes_back_when_the_addresses_are_read_again(stage: Stage) -> None:
    name = f"127.0.0.1:{stage.gpus[0].port}"
    stage.write(METADATA="none")
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        await bot.says("Engine is idle")
        await (await user.command("admin drain", general, gpu=name)).reply()
        async with timeout(60):
            while f'engine="{name}"' in await scrape(stage, "/metrics"):
                await asyncio.sleep(0.02)
        answer = await (await user.command("admin reload", general)).reply()
        assert text_of(answer) == f"Reloaded. GPUs: {name}."
        await (await user.command("imagine", general, model="flux", prompt="again")).reply()
        told = await user.wait_for_message(result_of("again"), 60)
        assert await own_words(user, told) == ""


async def test_what_is_not_done_in_time_is_done_after_the_restart(stage: Stage) -> None:
    stage.write(SHUTDOWN_GRACE_SECONDS="0")
    async with person_when_up(stage) as (bot, user, general):
        await (await user.command("imagine", general, model="flux", prompt="a long night")).reply()
        await scraped(stage, "fullet_wait_seconds_count 1.0")
        assert await bot.end(signal.SIGINT) == 0
        await bot.says("0 pictures made; 1 still waiting, and will be made after the next start")
        told = await user.wait_for_message(lambda message: "your place is kept" in text_of(message))
        assert "#1" in text_of(told)
        async with run_bot(stage.env_file):
            await user.wait_for_message(result_of("a long night"), 60)
        pictures = [m for c in user.channels for m in user.messages(c) if result_of("a long night")(m)]
        assert len(pictures) == 1


@asynccontextmanager
async def person_when_up(stage: Stage) -> AsyncIterator[tuple[BotProcess, SimulatedUser, str]]:
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        yield bot, user, general


async def test_a_token_that_discord_does_not_know_is_one_line(stage: Stage) -> None:
    stage.write(DISCORD_TOKEN="another.bots.token")
    async with run_bot(stage.env_file) as bot:
        assert await bot.ended() == 1
    assert bot.lines[-1].startswith("DISCORD_TOKEN: Discord does not accept it; reset it")
    assert not any("Traceback" in line for line in bot.lines)


async def test_without_an_env_file_it_says_what_makes_one(stage: Stage) -> None:
    stage.env_file.unlink()
    async with run_bot(stage.env_file) as bot:
        assert await bot.ended() == 1
    missing, told = bot.lines[:-1], bot.lines[-1]
    assert [line.partition(":")[0] for line in missing] == ["DISCORD_TOKEN", "COMFY_URLS"]
    assert told == ".env has no settings yet: python3 bot.py setup asks for what the bot needs and writes it"


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("postgres://bot:hunter2@127.0.0.1:1/d?sslmode=required", "sslmode must be one of"),
        ("postgres://bot:hun/ter2@127.0.0.1:1/d", "must be percent-encoded"),
        ("sqlite:////dev/null/bot.db", "/dev/null is not a folder"),
    ],
)
async def test_a_wrong_address_of_the_database_is_one_line(stage: Stage, url: str, fix: str) -> None:
    stage.write(DATABASE_URL=url)
    async with run_bot(stage.env_file) as bot:
        assert await bot.ended() == 1
    assert [line for line in bot.lines if "DATABASE_URL" in line] == bot.lines[-1:]
    assert bot.lines[-1].startswith("DATABASE_URL: ")
    assert fix in bot.lines[-1]
    for word in ("hunter2", "ter2", "Traceback"):
        assert not any(word in line for line in bot.lines)


async def test_without_the_message_content_intent_it_says_so_and_works(stage: Stage) -> None:
    world = default_world(2, bot=BotSpec(token=TOKEN, message_content_intent=False))
    async with DiscordServer(world, openapi=openapi_file()) as discord:
        other = Stage(discord, stage.gpus, stage.env_file, stage.metrics_port)
        other.write()
        async with run_bot(stage.env_file) as bot, person(other):
            await bot.says("Message Content Intent is off")
            assert await bot.end() == 0


async def test_each_reason_why_no_picture_could_be_made_is_said(stage: Stage) -> None:
    async with run_bot(stage.env_file), person(stage) as (admin, general):
        await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
        await admin.say(general, "!pause")
        await until_told(stage.metrics_port, "/readyz", (503, "paused by an administrator\n"))
        await admin.say(general, "!resume")
        await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
        with socket.create_server(("127.0.0.1", 0)) as unheard:
            stage.write(COMFY_URLS=f"http://127.0.0.1:{unheard.getsockname()[1]}")
        await until_told(stage.metrics_port, "/readyz", (503, "no ComfyUI answers\n"))
        assert await asked(stage.metrics_port, "/healthz") == (200, "ok\n")


async def test_one_that_stands_by_is_alive_but_not_ready_until_it_is_its_turn(stage: Stage) -> None:
    port = free_port()
    async with run_bot(stage.env_file) as working:
        await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
        async with run_bot(stage.env_file, METRICS_PORT=str(port)) as waiting:
            await waiting.says("Standing by: ")
            assert await asked(port, "/healthz") == (200, "ok\n")
            assert await asked(port, "/readyz") == (503, "standby\n")
            assert "fullet_queue_open 0.0" in (await asked(port, "/metrics"))[1]
            shown = json.loads((await asked(port, "/status.json"))[1])
            assert (shown["unready"], shown["engines"]) == ("standby", [])
            assert await working.end() == 0
            await until_told(port, "/readyz", (200, "ready\n"))
            assert "fullet_queue_open 1.0" in (await asked(port, "/metrics"))[1]
            assert await waiting.end() == 0


async def test_one_that_stands_by_with_the_same_settings_takes_the_port_over(stage: Stage) -> None:
    async with run_bot(stage.env_file) as working:
        await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
        async with run_bot(stage.env_file) as waiting:
            await waiting.says("METRICS_PORT: .* is in use; no status page and no metrics until it is free")
            await waiting.says("Standing by: ")
            assert await working.end() == 0
            await waiting.says("The status page is at ")
            await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
            assert await waiting.end() == 0


async def test_a_process_that_waits_for_discord_is_alive_and_says_what_it_waits_for(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    stage.write(DISCORD_API_BASE=f"http://127.0.0.1:{port}/api/v10")
    async with run_bot(stage.env_file) as bot:
        await bot.says("Discord cannot be reached .*; trying again in 2 s")
        assert await asked(stage.metrics_port, "/healthz") == (200, "ok\n")
        status, why = await asked(stage.metrics_port, "/readyz")
        assert (status, why.partition(" (")[0]) == (503, "Discord cannot be reached")
        assert await bot.end() == 0


@pytest.mark.parametrize("how", ["cloudflare", pytest.param("global", marks=pytest.mark.long)])
async def test_a_refused_login_waits_as_it_is_told(stage: Stage, how: Block) -> None:
    stage.discord.faults.block(how, 12.0)
    async with run_bot(stage.env_file) as bot:
        await bot.says(r"again in \d+ s|Retrying in \d")
        assert await asked(stage.metrics_port, "/healthz") == (200, "ok\n")
        before = stage.discord.counters["rest"]
        await until_told(stage.metrics_port, "/readyz", (200, "ready\n"))
        assert before <= 2
        assert await bot.end() == 0
    assert not any("Traceback" in line for line in bot.lines)


async def test_a_block_of_unknown_length_is_not_tried_again_soon(stage: Stage) -> None:
    stage.discord.faults.block("denied", 600.0)
    async with run_bot(stage.env_file) as bot:
        await bot.says(r"Discord refuses this IP address for now .*; trying again in 900 s")
        assert await asked(stage.metrics_port, "/healthz") == (200, "ok\n")
        status, why = await asked(stage.metrics_port, "/readyz")
        assert (status, why.partition(" for now")[0]) == (503, "Discord refuses this IP address")
        assert stage.discord.counters["rest"] == 1
        assert await bot.end() == 0
    assert not any("Traceback" in line for line in bot.lines)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4004, "DISCORD_TOKEN: Discord does not accept it; reset it"),
        (4013, "Discord closed the connection and refuses a new one (code 4013); look for a newer version"),
    ],
)
async def test_a_connection_that_is_ended_for_good_is_one_line(stage: Stage, code: int, words: str) -> None:
    stage.write(SHUTDOWN_GRACE_SECONDS="3")
    async with person_when_up(stage) as (bot, user, general):
        asked_for = await user.command("imagine", general, model="flux", prompt="a lake", count=2)
        await asked_for.reply()
        await stage.discord.gateway.drop(code=code, resumable=False)
        assert await bot.ended() == 1
    assert bot.lines[-1].startswith(words)
    assert not any("Traceback" in line or "Session is closed" in line for line in bot.lines)
