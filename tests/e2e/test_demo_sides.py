"""The demonstration with a real side, its words about which side is simulated, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.stage import read_options
from modules.demo.users import SimulatedUser, text_of
from tests.bot_process import ROOT, BotProcess, born, environment
from tests.discord_wiring import openapi_file
from tests.e2e.demo_command import demo_command
from tests.interrupts import HEARING_INTERRUPTS

KEY = "painter:hunter2-hunter2"
TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"

# Where SIMULATED_DISCORD names an embedded Discord, discord.py takes it for the real one.
DISCORD_AS_NAMED = """
import os
if "SIMULATED_DISCORD" in os.environ:
    import discord.gateway, discord.http, yarl
    api, gateway = os.environ["SIMULATED_DISCORD"].split()
    discord.http.Route.BASE = api
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
"""


@asynccontextmanager
async def demo(temporary: Path, *flags: str, **environ: str) -> AsyncIterator[BotProcess]:
    """A running demonstration."""
    log, environ = temporary.with_suffix(".log"), {"TMPDIR": str(temporary), **environ}
    flags = ("--no-browser", *flags)
    if "SIMULATED_DISCORD" in environ:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *demo_command(*flags, before=DISCORD_AS_NAMED),
                cwd=ROOT, env=environment(**environ), stdout=output, stderr=output,
                preexec_fn=HEARING_INTERRUPTS,
            )  # fmt: skip
        shown = BotProcess(process.pid, log, process.wait)
    else:
        shown = await born("demo", *flags, folder=ROOT, log=log, **environ)
    try:
        yield shown
    finally:
        await shown.kill()


def left_in(folder: Path) -> list[str]:
    """What lies there."""
    return sorted(path.name for path in folder.iterdir())


async def picture_for(page: str, prompt: str) -> None:
    """Somebody asks for a picture and gets it."""
    async with await SimulatedUser.connect(page) as user:
        await user.until(lambda: any(c["name"] == "imagine" for c in user.commands), 30)
        general = user.channel("general")
        assert general is not None
        await (await user.command("imagine", general["id"], model="flux", prompt=prompt)).reply()
        await user.wait_for_message(lambda m: prompt in text_of(m) and "seed `" in text_of(m), 30)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
async def test_stopped_in_the_middle_of_a_picture_it_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("these tests were started by nohup, which the demonstration respects, too")
    before = left_in(ROOT / "database")
    async with demo(
        tmp_path, "--gpus", "1", "--seconds-per-image", "60", DATABASE_URL="nonsense://", METRICS_PORT="x"
    ) as shown:
        assert await shown.says(r"ComfyUI: simulated, 1 GPU\n")
        page = (await shown.says(r"Discord: simulated, in your browser at (http://127\.0\.0\.1:\d+)/"))[1]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{page}/client/info") as answer:
                about = await answer.json()
            assert about["simulated_gpus"] == 1
            async with session.get(about["status_page"]) as answer:
                assert "FuLLet" in await answer.text()
            async with session.get(f"{page}/") as answer:
                assert "<html" in await answer.text()
            async with await SimulatedUser.connect(page) as user:
                general = user.channel("general")
                assert general is not None
                added = {"style": "noir", "lora": "autumn"}  # its servers have the LoRA's file
                asked = await user.command(
                    "imagine", general["id"], model="flux", prompt="a long night", **added
                )
                assert "queued" in text_of(await asked.reply())
            assert left_in(tmp_path)
            assert await shown.end(number) == 0
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"{page}/client/info")
    assert "Traceback" not in shown.said()
    assert left_in(tmp_path) == []
    assert left_in(ROOT / "database") == before


async def test_real_gpus_behind_the_simulated_discord_get_their_key_and_the_page_says_so(
    tmp_path: Path,
) -> None:
    async with (
        ComfyServer(profile=ServerProfile(api_key=KEY, cache_lru=100), drawing="plain") as gpu,
        demo(tmp_path, "--comfy-urls", f"{gpu.url}/", COMFY_API_KEY=KEY) as shown,
    ):
        await shown.says(f"ComfyUI: {gpu.url}\n")
        page = (await shown.says(r"Discord: simulated, in your browser at (http://127\.0\.0\.1:\d+)/"))[1]
        async with aiohttp.ClientSession() as session, session.get(f"{page}/client/info") as answer:
            assert (await answer.json())["simulated_gpus"] == 0
        await picture_for(page, "a real one")
        if os.name != "nt":
            assert await shown.end(signal.SIGTERM) == 0
    assert left_in(tmp_path) == []


@pytest.mark.long
async def test_the_real_discord_before_simulated_gpus(tmp_path: Path) -> None:
    world = default_world(2, bot=BotSpec(token=TOKEN))
    async with DiscordServer(world, openapi=openapi_file()) as discord:
        values = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(discord.guild.id),
            "SIMULATED_DISCORD": f"{discord.api_url} {discord.gateway_url}",
        }
        async with demo(tmp_path, "--real-discord", "--seconds-per-image", "0.2", **values) as shown:
            assert await shown.says(r"ComfyUI: simulated, 2 GPUs\n")
            assert await shown.says("Discord: the real one, with the token in .env; type /imagine there")
            await picture_for(discord.url, "seen by everybody")
            if os.name != "nt":
                assert await shown.end(signal.SIGINT) == 0
        assert discord.violations == []
    assert TOKEN not in shown.said()
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--real-discord",), "DISCORD_TOKEN: missing; paste the bot's token from the developer portal"),
        (("--comfy-urls", "127.0.0.1:8188"), 'COMFY_URLS: "127.0.0.1:8188" lacks http://'),
    ],
)
async def test_a_real_side_that_lacks_a_setting_is_one_line(
    tmp_path: Path, flags: tuple[str, ...], line: str
) -> None:
    async with demo(tmp_path, *flags, DISCORD_TOKEN="") as shown:
        assert await shown.ended() == 1
    assert shown.said().startswith(line)
    assert shown.said().count("\n") == 1
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "99999"], "--port must be from 0 to 65535"),
        (["--gpus", "0"], "--gpus, --users and --jobs must be at least 1"),
        (["--seconds-per-image", "nan"], "--seconds-per-image must be from 0"),
        (["--real-discord", "--script"], "--script needs the simulated Discord"),
        (["--out", "pictures"], "--jobs, --out and --json go with --script"),
        (["--json"], "--jobs, --out and --json go with --script"),
        (["--log", "loud"], "argument --log: invalid choice: 'LOUD'"),
        (["--jobs", "3"], "--jobs, --out and --json go with --script"),
    ],
)
def test_a_flag_out_of_bounds_is_told(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options(flags)
    assert told in capsys.readouterr().err.splitlines()[-1]
