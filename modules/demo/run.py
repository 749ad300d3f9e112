"""Starts the simulated sides of a demonstration as processes of their own, on free loopback ports.

They are separate so that drawing never keeps the page waiting, and so that the bot talks to them over real
sockets. They end with the block that started them, and also when this process is killed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.demo.loras import FILES
from modules.demo.users import SimulatedUser
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import StartupError

ROOT = Path(__file__).resolve().parents[2]


class ServerDidNotStart(StartupError):
    """An embedded server ended, or said nothing, before it gave its address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedDiscord:
    """Where the embedded Discord is: its page, and what the bot connects to."""

    page: str
    api_base: str
    gateway_url: str
    token: str
    guild_id: int
    gallery_channel_id: int
    users: tuple[int, ...]


@asynccontextmanager
async def simulated_discord(
    *, port: int = 0, users: int = 3, simulated_gpus: int, status_page: str | None = None
) -> AsyncIterator[SimulatedDiscord]:
    """An embedded Discord with its page, which says how many GPUs are simulated and links to the bot's
    ``status_page``. ``port`` 0: a free one."""
    arguments = ["--port", str(port), "--users", str(users), "--simulated-gpus", str(simulated_gpus)]
    arguments += ["--status-page", status_page] if status_page else []
    async with server_process("modules.demo.discord_server", arguments) as said:
        yield SimulatedDiscord(
            page=said["url"],
            api_base=said["api"],
            gateway_url=said["gateway"],
            token=said["token"],
            guild_id=int(said["guilds"][0]),
            gallery_channel_id=await _channel(said["url"], "gallery"),
            users=tuple(int(user) for user in said["users"]),
        )


async def _channel(page: str, name: str) -> int:
    async with await SimulatedUser.connect(page) as user:
        return int((await user.wait_for_channel(lambda channel: channel.get("name") == name))["id"])


@asynccontextmanager
async def simulated_gpus(count: int, *, seconds_per_image: float) -> AsyncIterator[tuple[str, ...]]:
    """``count`` embedded ComfyUIs; their addresses.

    ``seconds_per_image`` is what a picture of four steps takes alone. A second picture in the same run
    costs half of that.
    """
    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(
                server_process("modules.demo.comfy_server", _gpu_arguments(seed, seconds_per_image))
            )
            for seed in range(count)
        ]
        yield tuple(str(said["url"]) for said in started)


def _gpu_arguments(seed: int, seconds_per_image: float) -> list[str]:
    a_step = seconds_per_image / 4 / 2
    times = {"step": a_step, "row": a_step, "load": seconds_per_image / 2, "noise": 0.1}
    return [
        "--cache-lru",
        "100",
        "--seed",
        str(seed),
        *(part for name, value in times.items() for part in (f"--{name}", f"{value:g}")),
        *(part for file in FILES for part in ("--lora", file)),
    ]


@asynccontextmanager
async def server_process(module: str, arguments: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
    """``python -m module``, and what it says about itself in the one line of JSON that it prints first.

    It ends when its standard input is closed; if we are killed, the system closes it.
    Raises `ServerDidNotStart`.
    """
    # A group of its own: Ctrl-C is for the bot, which still needs its servers while it finishes.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "modules.demo.child",
        module,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        **apart,
    )
    try:
        yield await _first_line(process, module)
    finally:
        await _end(process)


async def _first_line(process: asyncio.subprocess.Process, module: str) -> dict[str, Any]:
    assert process.stdout is not None  # asked for above
    try:
        async with timeout(30):
            line = await process.stdout.readline()
        said = json.loads(line)
    except (asyncio.TimeoutError, ValueError):
        raise ServerDidNotStart(f"{module} did not start; see its output above") from None
    return dict(said)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with timeout(5):
            await process.communicate()
    except asyncio.TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
