"""A server with an earlier node pack: its operator is told with the line that replaces it, and until then its
pictures are made one by one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.ai.node_pack import PACK_VERSION
from modules.demo.comfy_server import ComfyServer, ServerProfile
from modules.demo.users import text_of
from tests.bot_process import said_by
from tests.e2e.operated import KEY, person, result_of, run_bot, staged

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")

TOLD = f"has the node pack 1.0.0, and this bot needs {PACK_VERSION}, so pictures are made one by one"
LINE = "run cp -r comfy_custom_nodes/fullet ComfyUI/custom_nodes/ and restart that ComfyUI"


async def test_an_older_pack_is_told_in_the_log_by_check_and_by_gpus(tmp_path: Path) -> None:
    profile = ServerProfile(api_key=KEY, cache_lru=100, pack_version="1.0.0")
    async with staged(tmp_path) as stage, ComfyServer(profile=profile) as comfy:
        stage.write(COMFY_URLS=comfy.url)
        async with run_bot(stage.env_file) as bot, person(stage) as (admin, general):
            await bot.says(f"{TOLD}: {LINE}")
            gpus = text_of(await (await admin.command("admin gpus", general)).reply())
            assert f"{TOLD}: {LINE}" in gpus.replace("\\", "")
            await (await admin.command("imagine", general, model="flux", prompt="first light")).reply()
            await admin.wait_for_message(result_of("first light"), 60)
            assert await bot.end() == 0
        _, said, _ = await said_by("check", "--env-file", str(stage.env_file), folder=tmp_path)
        assert TOLD in said
        assert f"→ {LINE}" in said
