"""The bot with an address of Comfy API v2: comfy-api-proxy before an embedded ComfyUI, or a platform."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.users import Payload, components_of, files_of, text_of
from modules.queue_manager.backports import timeout
from tests.bot_process import ROOT
from tests.comfy_v2 import Platform, proxy
from tests.e2e.operated import SLOW, TOKEN, Stage, person, result_of, run_bot, staged

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")

TOKEN_THERE = "a-t0ken-of-the-proxy"


@dataclass
class Elastic:
    """What stands behind the address."""

    stage: Stage
    gpu: ComfyServer
    url: str
    key: str
    platform: Platform | None = None

    def write(self, terms: str = "models=flux+z-image", *, own: bool = False, **more: str) -> None:
        """The settings of a bot that uses it on these terms, beside a GPU of its own or not."""
        urls = [self.stage.gpus[0].url] if own else []
        urls.append(f"comfy+{self.url}?{terms}")
        self.stage.write(**{"COMFY_URLS": ",".join(urls), "COMFY_API_KEYS": f"{self.url}={self.key}", **more})

    @property
    def runs(self) -> int:
        return len(self.gpu.core.queue.history) + self.gpu.core.queue.remaining


@asynccontextmanager
async def elastic(tmp_path: Path, kind: str, timing: Timing = SLOW) -> AsyncIterator[Elastic]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged(tmp_path))
        gpu = ComfyServer(
            profile=ServerProfile(pack_version=None, cache_lru=100), timing=timing, drawing="plain"
        )
        await stack.enter_async_context(gpu)
        if kind == "proxy":
            url = await stack.enter_async_context(proxy(gpu, token=TOKEN_THERE))
            yield Elastic(stage, gpu, url, TOKEN_THERE)
        else:
            made = Platform(gpus=[gpu], keeps_labels=kind == "deployment")
            platform = await stack.enter_async_context(made.open())
            yield Elastic(stage, gpu, platform.url, platform.key, platform)


KINDS = pytest.mark.parametrize("kind", ["proxy", "deployment", "cloud"])


@KINDS
async def test_a_picture_comes_from_there_and_carries_nothing_but_itself(kind: str, tmp_path: Path) -> None:
    async with elastic(tmp_path, kind) as there:
        there.write(METADATA="none")
        async with run_bot(there.stage.env_file) as bot, person(there.stage) as (user, general):
            await bot.says("Engine is idle")
            await (await user.command("imagine", general, model="flux", prompt="a far shore")).reply()
            told = await user.wait_for_message(result_of("a far shore"), 60)
            data = await user.download(files_of(told)[0]["url"])
            assert b"a far shore" not in data
            with Image.open(io.BytesIO(data)) as picture:
                assert not picture.info.get("prompt")
            shown = text_of(await (await user.command("admin gpus", general)).reply())
            assert "Elastic: one picture at once." in shown
            assert "FLUX.2 Klein" in shown
            async with aiohttp.ClientSession() as http:
                base = f"http://127.0.0.1:{there.stage.metrics_port}"
                async with http.get(f"{base}/metrics") as answer:
                    name = there.url.partition("://")[2]
                    assert f'fullet_engine_slots{{engine="{name}",kind="elastic"}} 1.0' in await answer.text()
                async with http.get(f"{base}/status.json") as answer:
                    (engine,) = json.loads(await answer.text())["engines"]
                    assert (engine["elastic"], engine["pictures"]) == (1, 1)
            assert await bot.end() == 0
            for secret in (TOKEN, there.key, "a far shore", "X-Goog"):
                assert secret not in bot.said()
            assert "ERROR" not in bot.said()


@KINDS
async def test_a_cancelled_job_is_stopped_there(kind: str, tmp_path: Path) -> None:
    async with elastic(tmp_path, kind, Timing(step=2.0)) as there:
        there.write()
        async with run_bot(there.stage.env_file) as bot, person(there.stage) as (user, general):
            await bot.says("Engine is idle")
            await (await user.command("imagine", general, model="flux", prompt="never mind")).reply()
            status = await user.wait_for_message(cancel_button, 30)
            async with timeout(30):
                while there.gpu.core.queue.running is None:
                    await asyncio.sleep(0.02)
            await (await user.click(status, cancel_button(status))).acknowledged(10)
            async with timeout(30):
                while there.gpu.core.queue.remaining:
                    await asyncio.sleep(0.02)
            assert not there.gpu.sampler_log or there.gpu.sampler_log[-1].rows == 0
            assert await bot.end() == 0


def cancel_button(message: Payload) -> str:
    """The button that takes a job back; empty without one."""
    ids = (str(component.get("custom_id", "")) for component in components_of(message))
    return next((name for name in ids if name.startswith("fullet:cancel")), "")


@KINDS
async def test_a_bot_that_is_killed_finds_its_run_again(kind: str, tmp_path: Path) -> None:
    async with elastic(tmp_path, kind, Timing(step=0.8)) as there:
        there.write()
        async with run_bot(there.stage.env_file) as bot, person(there.stage) as (user, general):
            await bot.says("Engine is idle")
            await (await user.command("imagine", general, model="flux", prompt="a long night")).reply()
            await bot.says("Submitted")
            async with timeout(30):
                while there.gpu.core.queue.running is None:
                    await asyncio.sleep(0.01)
            await bot.kill()
            async with run_bot(there.stage.env_file) as again:
                await user.wait_for_message(result_of("a long night"), 60)
                assert await again.end() == 0
            found = [m for c in user.channels for m in user.messages(c) if result_of("a long night")(m)]
            assert len(found) == 1
            assert there.runs == 1


@pytest.mark.long
async def test_nothing_is_bought_while_the_own_gpu_suffices(tmp_path: Path) -> None:
    async with elastic(tmp_path, "cloud") as there:
        there.write("jobs=8&after=60&models=flux+z-image", own=True, MAX_JOBS_PER_USER="20")
        async with run_bot(there.stage.env_file) as bot, person(there.stage) as (user, general):
            await bot.says(f"Engine is idle .*engine={there.url.partition('://')[2]}")
            for n in range(3):
                await (
                    await user.command("imagine", general, model="flux", prompt=f"calm {n}", count=4)
                ).reply()
            for n in range(3):
                await user.wait_for_message(result_of(f"calm {n}"), 60)
            shown = text_of(await (await user.command("admin gpus", general)).reply())
            assert "up to 8 pictures at once, for pictures that would wait longer than 60 s" in shown
            assert await bot.end() == 0
        assert there.runs == 0


@pytest.mark.long
async def test_without_credits_the_own_gpu_goes_on_and_the_operator_reads_why(tmp_path: Path) -> None:
    async with elastic(tmp_path, "cloud") as there:
        assert there.platform is not None
        there.platform.answers.extend([(402, "insufficient_credits", {})] * 100)
        there.write("jobs=2&after=0&models=flux", own=True, MAX_JOBS_PER_USER="20")
        async with run_bot(there.stage.env_file) as bot, person(there.stage) as (user, general):
            await bot.says(f"Engine is idle .*engine={there.url.partition('://')[2]}")
            for n in range(4):
                await (
                    await user.command("imagine", general, model="flux", prompt=f"poor {n}", count=4)
                ).reply()
            await bot.says("no credits are left at")
            for n in range(4):
                await user.wait_for_message(result_of(f"poor {n}"), 60)
            shown = text_of(await (await user.command("admin gpus", general)).reply())
            assert "no credits are left at" in shown
            assert bot.said().count("Engine is not available") == 1
            assert await bot.end() == 0
        assert there.runs == 0


def test_what_only_such_addresses_need_is_not_read_without_one() -> None:
    names = "{'httpx', 'comfy_low', 'anyio'}"
    code = f"import sys, modules.app.serve, modules.app.check; print({names} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
