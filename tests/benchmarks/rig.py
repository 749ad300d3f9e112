"""The whole bot as people meet it: bot, Discord and GPUs in processes of their own, on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from modules.demo.run import ROOT, server_process
from modules.demo.users import Payload, SimulatedUser, files_of, text_of
from modules.queue_manager.backports import timeout
from tests.bare_cards import bot_without_memory
from tests.benchmarks.relay import Relay, relay

SIZE = (1024, 1024)
STEPS = {"flux": 4, "z-image": 8}
# Measured at 1024²: on a real server, and the node pack's own PNG encoder on a photograph-like picture, which
# takes 0.08 s where the stock node takes 0.17 s of the sampler's thread.
MEASURED = {"encode": 0.08, "fetch": 0.0025, "handover": 0.0016, "between": 0.004}
NOISE = 0.15

T = TypeVar("T")

_SEED = re.compile(r"seed `(\d+)`")


@dataclass(frozen=True, kw_only=True)
class GpuSpec:
    """A simulated GPU: a run of n pictures in 4 steps takes ``batch + n · picture`` seconds / ``speed``.

    ``heavy``: its pictures weigh 1 MB.
    """

    batch: float
    picture: float
    load: float = 0.0
    speed: float = 1.0
    seed: int = 0
    noise: float = NOISE
    heavy: bool = False

    def arguments(self) -> list[str]:
        """Its command line."""
        steps = STEPS["flux"]
        times: dict[str, float] = {
            **MEASURED,
            "step": self.batch / steps,
            "row": self.picture / steps,
            "load": self.load,
            "speed": self.speed,
            "noise": self.noise,
        }
        given = [part for name, value in times.items() for part in (f"--{name}", f"{value:g}")]
        return ["--seed", str(self.seed), "--drawing", "plain", "--cache-lru", "0", *given]


@dataclass(frozen=True, kw_only=True)
class Span:
    """One run by its server's clock, which is this machine's monotonic one."""

    start: float
    end: float
    rows: int
    model: str


class GpuServer:
    """A running simulated GPU."""

    def __init__(self, *, url: str, pid: int, spec: GpuSpec, session: aiohttp.ClientSession) -> None:
        self.url, self.pid, self.spec, self._session = url, pid, spec, session

    async def spans(self, since: float = 0.0) -> list[Span]:
        """Runs that ended well and began after ``since``."""
        async with self._session.get(f"{self.url}/demo/log") as response:
            told = await response.json()
        return [
            Span(start=span["start"], end=span["end"], rows=span["rows"], model=span["model"])
            for span in told["spans"]
            if span["start"] >= since and span["rows"]
        ]

    async def post(self, action: str, **body: Any) -> None:
        """Something is to happen to it: see the server's /demo routes."""
        async with self._session.post(f"{self.url}/demo/{action}", json=body) as response:
            response.raise_for_status()


class Requester(SimulatedUser):
    """Somebody who notes when each of their pictures was seen, by its seed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: dict[int, float] = {}
        self.files: dict[int, Payload] = {}
        self.asked: dict[int, float] = {}

    def _take(self, kind: str, data: Any) -> None:
        if kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and files_of(data):
            found = _SEED.search(text_of(data))
            # administrators see everybody's
            if found and int(found[1]) in self.asked and int(found[1]) not in self.seen:
                self.seen[int(found[1])] = time.monotonic()
                self.files[int(found[1])] = data
        super()._take(kind, data)

    def general(self) -> str:
        """The channel in which they type."""
        channel = self.channel("general")
        assert channel is not None
        return str(channel["id"])

    async def imagine(self, seed: int, *, model: str = "flux") -> Payload:
        """Ask for a picture; the answer, once the job is accepted."""
        self.asked[seed] = time.monotonic()
        asked = await self.command("imagine", self.general(), model=model, prompt=prompt_of(seed), seed=seed)
        reply = await asked.reply(timeout=60)
        if "queued" not in text_of(reply):
            raise RuntimeError(f"refused: {text_of(reply)}")
        return reply

    async def picture(self, seed: int, patience: float = 120.0) -> float:
        """When the picture with this seed was seen."""
        return await self.until(lambda: self.seen.get(seed), patience)


def prompt_of(seed: int) -> str:
    """The prompt that goes with a seed."""
    return f"a lighthouse by night, number {seed}"


@dataclass
class BotProcess:
    """A running ``python bot.py`` and the lines of its log, as JSON."""

    process: asyncio.subprocess.Process
    started: float
    log: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip()
            try:
                self.log.append({"at": time.monotonic(), **json.loads(text)})
            except ValueError:
                self.other.append(text)

    async def alive_until(self, event: Awaitable[T]) -> T:
        """What ``event`` gives. Raises `RuntimeError` with the bot's last words if it ends before."""
        waiting, ending = asyncio.ensure_future(event), asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise RuntimeError("the bot ended: " + "\n".join(self.other[-20:]))
            return waiting.result()
        finally:
            waiting.cancel()
            ending.cancel()

    def said(self, message: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Lines whose message begins with ``message``."""
        return [line for line in self.log if line["at"] >= since and str(line["message"]).startswith(message)]

    def trouble(self) -> list[str]:
        """What went wrong by its own account."""
        return [
            str(line["message"]) for line in self.log if line["level"] in ("ERROR", "CRITICAL")
        ] + self.other


@dataclass
class Rig:
    """All of it. ``people[0]`` is the administrator."""

    discord: Mapping[str, Any]
    gpus: list[GpuServer]
    bot: BotProcess
    people: list[Requester]
    folder: Path
    relay: Relay | None = None
    seeds: int = 0

    def next_seed(self) -> int:
        self.seeds += 1
        return self.seeds

    def new_seeds(self, count: int) -> list[int]:
        """Seeds that no picture had before."""
        return [self.next_seed() for _ in range(count)]

    async def admin(self, command: str) -> None:
        """``!command``, and the answer awaited."""
        admin = self.people[0]
        before = {message["id"] for message in admin.messages(admin.general())}
        await admin.say(admin.general(), f"!{command}")
        await admin.wait_for_message(
            lambda m: m["id"] not in before and m["author"].get("bot"), 20, channel=admin.general()
        )

    async def warm_up(self, *, models: Sequence[str] = ("flux",), rounds: int = 1) -> None:
        """Everybody makes a picture of each model, so that channels, sockets and durations are there."""
        for model in list(models) * rounds:
            seeds = self.new_seeds(len(self.people))
            pairs = list(zip(self.people, seeds, strict=True))
            for start in range(0, len(pairs), 10):
                await asyncio.gather(
                    *(person.imagine(seed, model=model) for person, seed in pairs[start : start + 10])
                )
            await asyncio.gather(*(person.picture(seed) for person, seed in pairs))
        await asyncio.sleep(0.3)

    async def ask_all(self, requests: Sequence[tuple[Requester, int, str]], *, at_once: int = 8) -> None:
        """Each (person, seed, model) in turn, a few at a time."""
        places = asyncio.Semaphore(at_once)

        async def ask(person: Requester, seed: int, model: str) -> None:
            async with places:
                await person.imagine(seed, model=model)

        await asyncio.gather(*(ask(*request) for request in requests))

    async def keep_asking(self, person: Requester, patience: float = 120.0) -> None:
        """One picture after the other, until it is cancelled."""
        while True:
            seed = self.next_seed()
            await person.imagine(seed)
            await person.picture(seed, patience)

    async def see_all(self, requests: Sequence[tuple[Requester, int, str]], patience: float = 240.0) -> float:
        """When the last of these pictures was seen."""
        return max(await asyncio.gather(*(person.picture(seed, patience) for person, seed, _ in requests)))

    async def spans(self, since: float) -> dict[str, list[Span]]:
        """What every GPU did after ``since``."""
        return {gpu.url: await gpu.spans(since) for gpu in self.gpus}


@asynccontextmanager
async def gpu_servers(specs: Sequence[GpuSpec]) -> AsyncIterator[list[GpuServer]]:
    """Simulated GPUs as processes of their own."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        servers = []
        for spec in specs:
            told = await stack.enter_async_context(
                server_process(
                    "tests.benchmarks.heavy_gpu" if spec.heavy else "modules.demo.comfy_server",
                    spec.arguments(),
                )
            )
            servers.append(GpuServer(url=told["url"], pid=told["pid"], spec=spec, session=session))
        yield servers


@asynccontextmanager
async def bot_process(
    folder: Path, values: Mapping[str, str], root: Path = ROOT
) -> AsyncIterator[BotProcess]:
    """``python bot.py`` of the folder ``root`` with these settings in its .env file."""
    env_file = folder / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(root / "bot.py"), "--env-file", str(env_file),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 22,
    )  # fmt: skip
    bot = BotProcess(process, started=time.monotonic())
    reading = asyncio.create_task(bot.read())
    try:
        yield bot
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with timeout(15):
                    await process.wait()
            except asyncio.TimeoutError:
                process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def rig(
    specs: Sequence[GpuSpec],
    *,
    users: int,
    limit: int = 2,
    discord_options: Sequence[str] = (),
    relayed: int | None = None,
    bare_cards: bool = False,
    shared: Sequence[GpuServer] = (),
    **settings: str,
) -> AsyncIterator[Rig]:
    """Everything, started and connected; the GPU number ``relayed`` stands behind a `Relay`. With
    ``bare_cards`` the models' cards say nothing of memory. ``shared``: GPUs of another rig, used as well."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fullet-bench-")))
        gpus = [*await stack.enter_async_context(gpu_servers(specs)), *shared]
        discord = await stack.enter_async_context(
            server_process("modules.demo.discord_server", ["--users", str(users), *discord_options])
        )
        addresses = [gpu.url for gpu in gpus]
        between = None
        if relayed is not None:
            between = await stack.enter_async_context(relay(addresses[relayed]))
            addresses[relayed] = between.url
        values = {
            "DISCORD_TOKEN": str(discord["token"]),
            "ALLOWED_GUILD_ID": str(discord["guilds"][0]),
            "DISCORD_API_BASE": str(discord["api"]),
            "DISCORD_GATEWAY_URL": str(discord["gateway"]),
            "COMFY_URLS": ",".join(addresses),
            "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}",
            "MAX_JOBS_PER_USER": str(limit),
            "LOG_FORMAT": "json",
            "SHUTDOWN_GRACE_SECONDS": "0",
            **settings,
        }
        root = bot_without_memory(folder / "bare") if bare_cards else ROOT
        bot = await stack.enter_async_context(bot_process(folder, values, root))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=0)
            )
        )
        people = []
        for user in discord["users"]:
            person = await Requester.connect(str(discord["url"]), user, session=session)
            stack.push_async_callback(person.aclose)
            people.append(person)
        made = Rig(discord, gpus, bot, people, folder, between)
        await bot.alive_until(
            people[0].until(lambda: any(c["name"] == "imagine" for c in people[0].commands), 60)
        )
        async with timeout(60):
            while len({line["engine"] for line in bot.said("Engine is idle")}) < len(gpus):
                await asyncio.sleep(0.05)
        yield made


async def watched(busy: Sequence[asyncio.Future[None]], seconds: float) -> tuple[float, float]:
    """When a window of ``seconds`` begins and ends, in which none of ``busy`` may fail; then they end."""
    began = time.monotonic()
    await asyncio.sleep(seconds)
    end = time.monotonic()
    for task in busy:
        task.cancel()
    failed = [task for task in busy if task.done() and not task.cancelled()]
    assert not failed, failed[0].exception()
    return began, end
