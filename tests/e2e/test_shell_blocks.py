"""The shell blocks of README and docs, run as they are written: in a clone with settings, by a real shell.

A line is left out if it needs what is not here: another program or folder (`ELSEWHERE`), or a value of the
reader's own, which is written in capitals (NAME). What goes on until Ctrl-C is stopped by it once it works.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.utils.database.engine import Database
from tests.bot_process import ROOT, BotProcess
from tests.discord_wiring import openapi_file
from tests.e2e.operated import TOKEN
from tests.interrupts import HEARING_INTERRUPTS
from tests.postgres import Postgres

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a shell is POSIX's")

PAGES = (
    *sorted(ROOT.glob("README*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "flujos/library/README.md",
)
ELSEWHERE = re.compile(
    r"\b(docker|kubectl|systemctl|ssh|ngrok|git|make|real_comfy|bot\.py test)\b|\.venv/|^cd "
)
"""Other programs, machines and folders, and these tests."""
OWN_VALUE = re.compile(r"(?<![$\w])[A-Z]{3,}(_[A-Z]+)*\b(?!\")")
UNTIL_INTERRUPTED = {"python3 bot.py": "Serving FuLLet demo", "python3 bot.py demo": "Stop it with Ctrl-C"}
BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

# The tests' environment stands for .venv, which would be made and filled otherwise.
PYTHON = """#!/bin/sh
[ "$1" = bot.py ] || exec {python} "$@"
shift
exec {python} -c '
import sys
import bot
from modules.app import bootstrap
bootstrap.prepare = lambda root, requirements, **_: None
bootstrap.running_in = lambda root, *_: True
sys.exit(bot.main(sys.argv[1:]))
' "$@"
"""


def lines_of(page: Path) -> list[str]:
    """The lines of a page's blocks that can run here."""
    said = "\n".join(block for _, block in BLOCK.findall(page.read_text(encoding="utf-8")))
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in said.splitlines()]
    return [
        line
        for line in lines
        if line and not line.startswith("#") and not ELSEWHERE.search(line) and not OWN_VALUE.search(line)
    ]


RUNNING = list(dict.fromkeys(line for page in PAGES for line in lines_of(page)))


def test_what_an_operator_types_is_among_the_lines_that_run() -> None:
    commands = {line.partition("bot.py")[2].split()[0] for line in RUNNING if re.search(r"bot\.py \w", line)}
    assert {"demo", "setup", "check", "models"} <= commands
    assert set(UNTIL_INTERRUPTED) <= set(RUNNING)
    assert all(any(what in line for line in RUNNING) for what in (".backup(", "pg_dump", "pg_restore"))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone, with the programs ``python`` and ``python3`` beside it."""
    folder = tmp_path / "clone"
    for name in ("modules", "flujos", "comfy_custom_nodes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bot.py", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python", "python3"):
        (programs / name).write_text(PYTHON.format(python=shlex.quote(sys.executable)), encoding="utf-8")
        (programs / name).chmod(0o755)
    return folder


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_the_lines_run_one_after_another(clone: Path, postgres: Postgres, postgres_url: str) -> None:
    world = default_world(2, bot=BotSpec(token=TOKEN))
    async with (
        DiscordServer(world, openapi=openapi_file()) as discord,
        ComfyServer(profile=ServerProfile(cache_lru=100)) as comfy,
    ):
        settings = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(discord.guild.id),
            "COMFY_URLS": comfy.url,
            "DISCORD_API_BASE": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }
        env_file = clone / ".env"
        env_file.write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8"
        )
        env_file.chmod(0o600)
        async with Database.open(f"sqlite:///{clone}/database/bot_data.db"):
            pass  # a bot has run here
        for number, line in enumerate(RUNNING):
            programs = f"{clone.parent / 'programs'}:{postgres.programs}:{os.environ['PATH']}"
            environ = {"PATH": programs, "BROWSER": "true", "HOME": str(clone), "PYTHONIOENCODING": "utf-8"}
            if "$DATABASE_URL" in line:
                environ["DATABASE_URL"] = postgres_url
            await run(line, clone, clone.parent / f"said-{number}", environ)
    with closing(sqlite3.connect(clone / "backup.db")) as backup:
        assert backup.execute("SELECT count(*) FROM lease").fetchone() == (1,)


async def run(line: str, folder: Path, log: Path, environ: dict[str, str]) -> None:
    """Run one line to its end, or until it works and is interrupted; it must end well."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-e", "-c", f"exec {line}" if line in UNTIL_INTERRUPTED else line),
            cwd=folder, env=environ, stdin=asyncio.subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, preexec_fn=HEARING_INTERRUPTS,
        )  # fmt: skip
    started = BotProcess(process.pid, log, process.wait)
    try:
        if (works := UNTIL_INTERRUPTED.get(line)) is not None:
            await started.says(re.escape(works), 120)
            started.send(signal.SIGINT)
        assert await started.ended(120) in (0, 130), f"{line}:\n{started.said()}"
    finally:
        await started.kill()
    assert "Traceback" not in started.said()
