"""A ComfyUI that is down, locked or none at all at the start: one line, and all goes on once fixed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modules.demo.comfy_server import Timing
from modules.demo.users import text_of
from tests.bot_process import BotProcess
from tests.e2e.operated import KEY, Stage, person, result_of, run_bot, staged


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, timing=Timing()) as made:
        yield made


def complaints(bot: BotProcess) -> list[str]:
    return [line for line in bot.lines if "WARNING" in line or "ERROR" in line or "Traceback" in line]


TROUBLES: list[tuple[dict[str, Any], str]] = [
    ({}, "cannot be reached"),
    ({"unauthorized": True}, "COMFY_API_KEY"),
    ({"html": 200}, "answered with a web page"),
    ({"html": 502}, "answered 502"),
]


@pytest.mark.parametrize(("fault", "words"), TROUBLES, ids=["down", "locked", "web page", "gateway"])
async def test_it_starts_says_so_once_and_makes_what_was_asked_for_when_the_server_is_fixed(
    stage: Stage, fault: dict[str, Any], words: str
) -> None:
    gpu = stage.gpus[0]
    if fault:
        gpu.faults.set(**fault)
    else:
        await gpu.stop()
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        assert f"127.0.0.1:{gpu.port}" in (await bot.says(f".*{words}.*"))[0]
        for prompt, locale in (("a wolf", "en-US"), ("un lobo", "es-ES")):
            await user.set_locale(locale)
            await (await user.command("imagine", general, model="flux", prompt=prompt)).reply()
            kept = {"en-US": "keep their place", "es-ES": "conservan su lugar"}[locale]
            said = await user.wait_for_message(lambda m, prompt=prompt: prompt in text_of(m), 30)
            assert kept in text_of(said)
        await asyncio.sleep(2.5)  # long enough for it to be asked again, and to be as bad
        assert len(complaints(bot)) == 1, "\n".join(bot.lines)
        assert not any(KEY.partition(":")[2] in line for line in bot.lines)
        if fault:
            gpu.faults.clear()
        else:
            await gpu.start()
        await user.wait_for_message(result_of("a wolf"), 60)
        await user.wait_for_message(lambda m: "un lobo" in text_of(m) and "semilla `" in text_of(m), 60)
