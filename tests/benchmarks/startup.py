"""How soon a started bot is there, and what it takes while nothing happens."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from modules.demo.run import server_process
from modules.demo.users import InvocationFailed
from tests.benchmarks.process_use import cpu_seconds, resident_mb
from tests.benchmarks.rig import GpuSpec, Requester, bot_process, gpu_servers
from tests.benchmarks.subject import Figure, Measurement, Subject

IDLE = 20.0


async def measure(run: int) -> Measurement:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fullet-bench-")))
        (gpu,) = await stack.enter_async_context(gpu_servers([GpuSpec(batch=1, picture=1)]))
        discord = await stack.enter_async_context(server_process("modules.demo.discord_server", []))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        person = await Requester.connect(discord["url"], discord["users"][1], session=session)
        stack.push_async_callback(person.aclose)
        values = {
            "DISCORD_TOKEN": discord["token"],
            "ALLOWED_GUILD_ID": discord["guilds"][0],
            "DISCORD_API_BASE": discord["api"],
            "DISCORD_GATEWAY_URL": discord["gateway"],
            "COMFY_URLS": gpu.url,
            "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}",
            "LOG_FORMAT": "json",
        }
        bot = await stack.enter_async_context(bot_process(folder, values))
        ready = asyncio.ensure_future(_ready(session, discord["url"], bot.started))
        answered = await bot.alive_until(_answered(person)) - bot.started
        pid = bot.process.pid
        spent = cpu_seconds(pid)
        await asyncio.sleep(5)
        before, began = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(IDLE)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        return {
            "startup_to_ready": await ready,
            "startup_to_first_answer": answered,
            "startup_cpu_seconds": spent,
            "idle_memory": resident_mb(pid),
            "idle_cpu_share": share,
        }


async def _ready(session: aiohttp.ClientSession, discord: str, started: float) -> float:
    """Seconds until the bot has identified at the gateway, to which READY is the answer."""
    while True:
        async with session.get(f"{discord}/control") as response:
            told = await response.json()
        if any("identif" in name.lower() and count for name, count in told["gateway"].items()):
            return time.monotonic() - started
        await asyncio.sleep(0.02)


async def _answered(person: Requester) -> float:
    """When the first command, typed as soon as it was offered, was answered."""
    while True:
        await person.until(lambda: any(c["name"] == "queue" for c in person.commands), 60)
        try:
            await (await person.command("queue", person.general())).reply(timeout=10)
        except InvocationFailed:
            await asyncio.sleep(0.02)
        else:
            return time.monotonic()


SUBJECT = Subject(
    name="startup",
    measure=measure,
    figures=(
        Figure(
            name="startup_to_ready",
            unit="s",
            about="from the process's start to READY, fresh SQLite, migrations included",
            target=1.5,
        ),
        Figure(
            name="startup_to_first_answer",
            unit="s",
            about="from the process's start to the first answered command",
            target=2.5,
        ),
        Figure(name="startup_cpu_seconds", unit="s", about="of processor until that answer"),
        Figure(name="idle_memory", unit="MB", about="resident, nothing to do", target=120),
        Figure(name="idle_cpu_share", unit="", about="of one processor, nothing to do", target=0.005),
    ),
)
