"""ComfyUI replicas that come and go behind one name, as pods of Kubernetes do, while pictures are made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from modules.app.serve import unready
from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.comfy_server.prompt_queue import RunRecord
from modules.demo.discord_server import DiscordServer, default_world
from modules.demo.users import Payload, SimulatedUser, text_of
from modules.discord.requests.limits import Limits
from modules.queue_manager.backports import timeout
from modules.utils.settings import server_discovery
from tests.bot_process import ROOT
from tests.discord_stand import Stand, bot_on, discord_server, has_picture
from tests.free_port import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8"),
]

NAME = "comfyui.test"
DRAIN = ROOT / "deploy" / "comfyui" / "drain.py"
SCALED_OBJECT = ROOT / "deploy" / "kubernetes" / "keda" / "scaledobject.yaml"
DNS_SECONDS, LOOKUP_SECONDS, QUIET_SECONDS = 0.3, 0.2, 1.5
"""As 30, 5 and 45 seconds in a cluster."""
SCALE_INS, AT_ONCE, KEPT = 20, 5, 6
PEOPLE, COMING = 4, 3
"""Each has so many pictures coming at any time: as much as six servers make at once, and more."""


@dataclass
class Cluster:
    """Replicas at 127.0.0.2, .3, … on one port, and the name server that knows those that are ready."""

    port: int = field(default_factory=free_port)
    ready: list[ComfyServer] = field(default_factory=list)
    lives: list[dict[str, RunRecord]] = field(default_factory=list)
    cut_off: int = 0
    _begun: int = 0
    _cached: tuple[float, list[str]] = (0.0, [])

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        """The system's own, but for the name; an answer is as old as DNS lets it be."""
        if host != NAME:
            return _system(host, port, *rest, **more)
        if time.monotonic() - self._cached[0] > DNS_SECONDS:
            self._cached = time.monotonic(), [server.host for server in self.ready]
        if not self._cached[1]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port)) for found in self._cached[1]]

    async def scale_out(self, count: int) -> None:
        for _ in range(count):
            self._begun += 1
            server = ComfyServer(
                host=f"127.0.0.{self._begun + 1}",
                port=self.port,
                profile=ServerProfile(cache_lru=100),
                timing=Timing(step=1.0, row=0.05),
                drawing="plain",
            )
            await server.start()
            self.ready.append(server)

    async def scale_in(self, server: ComfyServer, *, drain: bool = True) -> None:
        """What Kubernetes does: the address leaves the name, preStop runs, and the server is ended."""
        self.ready.remove(server)
        if drain:
            command = [str(DRAIN), "--url", server.url, "--quiet", str(QUIET_SECONDS), "--within", "60"]
            process = await asyncio.create_subprocess_exec(sys.executable, *command)
            assert await process.wait() == 0
        await self.end(server)

    async def end(self, server: ComfyServer) -> None:
        self.lives.append(dict(server.core.queue.history))
        self.cut_off += server.core.queue.remaining
        await server.kill()

    def made(self) -> Counter[str]:
        """How often each picture was made, by its name in the prompt, in all servers' own histories."""
        records = [record for life in self.lives for record in life.values() if record.success]
        return Counter(name for record in records for name in set(named(json.dumps(record.prompt.graph))))

    def broken(self) -> list[RunRecord]:
        return [record for life in self.lives for record in life.values() if not record.success]


_system = socket.getaddrinfo


def named(text: str) -> list[str]:
    return re.findall(r"heron-\d+-\d+", text)


@contextlib.asynccontextmanager
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    made = Cluster()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    monkeypatch.setattr(server_discovery, "EVERY_SECONDS", LOOKUP_SECONDS)
    try:
        yield made
    finally:
        for server in list(made.ready):
            await made.scale_in(server, drain=False)


@contextlib.asynccontextmanager
async def the_bot(
    folder: Path, cluster: Cluster, discord: DiscordServer, options: str = ""
) -> AsyncIterator[Stand]:
    async with (
        bot_on(
            discord,
            folder,
            models=ROOT / "flujos",
            offers=None,
            make_engine=None,
            limits=Limits(
                jobs=2 * COMING
            ),  # a job counts for a moment longer than its picture takes to arrive
            max_batch_size=(2,),
            comfy_urls=(f"dns+http://{NAME}:{cluster.port}{options}",),
        ) as stand,
        stand.database.lease.hold(),
    ):
        looking = asyncio.ensure_future(stand.product.addresses.run())
        try:
            yield stand
        finally:
            looking.cancel()
            await asyncio.wait([looking])


def crowd() -> contextlib.AbstractAsyncContextManager[DiscordServer]:
    return discord_server(default_world(PEOPLE), rate_limits=False)


class Asker:
    """A person who always has a few pictures coming, until told to stop."""

    def __init__(self, number: int, user: SimulatedUser, general: int) -> None:
        self.number, self.user, self.general = number, user, general
        self.asked: list[str] = []
        self.stopped = False

    async def run(self) -> None:
        while not self.stopped:
            if len(self.asked) - len(self.received()) < COMING:
                name = f"heron-{self.number}-{len(self.asked)}"
                await (await self.user.command("imagine", self.general, model="flux", prompt=name)).reply(30)
                self.asked.append(name)
            else:
                await asyncio.sleep(0.05)
        await self.user.until(lambda: not set(self.asked) - set(self.received()), 60)

    def received(self) -> Counter[str]:
        results = [text_of(message) for message in self.user.all_messages() if has_picture(message)]
        names = [name for text in results for name in set(named(text))]
        return Counter(name for name in names if name.startswith(f"heron-{self.number}-"))


async def scaled_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, *, drain: bool
) -> tuple[Cluster, list[Asker]]:
    """Replicas that are at work leave, and others come, until so many have left."""
    async with cluster(monkeypatch) as replicas:
        await replicas.scale_out(KEPT)
        async with crowd() as discord, the_bot(folder, replicas, discord) as stand:
            members = [await stand.person(known.name) for known in stand.server.hub.people]
            askers = [Asker(number, user, stand.general) for number, user in enumerate(members)]
            asking = [asyncio.ensure_future(asker.run()) for asker in askers]
            left = 0
            while left < count:
                async with timeout(60):
                    while len(busy := [s for s in replicas.ready if s.core.queue.remaining]) < AT_ONCE:
                        await asyncio.sleep(0.01)
                leaving = [replicas.scale_in(server, drain=drain) for server in busy[:AT_ONCE]]
                await asyncio.gather(*leaving, replicas.scale_out(AT_ONCE))
                left += AT_ONCE
            for asker in askers:
                asker.stopped = True
            await asyncio.gather(*asking)
            await stand.until(lambda: not any(server.core.queue.remaining for server in replicas.ready))
    return replicas, askers


async def test_twenty_replicas_leave_at_work_and_no_run_is_lost_or_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas, askers = await scaled_in(tmp_path, monkeypatch, SCALE_INS, drain=True)
    assert (replicas.cut_off, replicas.broken()) == (0, [])
    asked = Counter(name for asker in askers for name in asker.asked)
    assert len(asked) > SCALE_INS
    assert sum((asker.received() for asker in askers), Counter()) == asked
    assert replicas.made() == asked


async def test_without_the_drain_runs_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, askers = await scaled_in(tmp_path, monkeypatch, AT_ONCE, drain=False)
    assert replicas.cut_off > 0
    for asker in askers:  # what was cut off is made again, elsewhere
        assert set(asker.received()) == set(asker.asked)


def keda(stand: Stand) -> float:
    """What the ScaledObject's query (sums of series) gives for what the bot serves under /metrics."""
    (scaled,) = yaml.safe_load_all(SCALED_OBJECT.read_text(encoding="utf-8"))
    (trigger,) = scaled["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    assert re.fullmatch(r"sum\(\w+\)( \+ sum\(\w+\))*", query), "only such queries are understood here"
    families = text_string_to_metric_families(stand.product.metrics.text().decode())
    samples = [sample for family in families for sample in family.samples]
    values = [
        [sample.value for sample in samples if sample.name == name]
        for name in re.findall(r"\((\w+)\)", query)
    ]
    assert all(values), "a sum of no series has no value in Prometheus"
    return sum(map(sum, values))


async def test_from_zero_people_read_that_a_gpu_is_starting_and_how_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(monkeypatch) as replicas, crowd() as discord:
        names = [known.name for known in discord.hub.people]
        async with the_bot(tmp_path, replicas, discord, "?start=2") as stand:
            one, two = await stand.person(names[1]), await stand.person(names[2], "es-ES")
            shown = text_of(await (await one.command("queue", stand.general)).reply(30))
            assert "No GPU is online right now" in shown, "nobody wants one, so none is being started"
            assert (keda(stand), unready(stand.product)) == (0, None)
            await (await one.command("imagine", stand.general, model="flux", prompt="heron-1-0")).reply(30)
            await one.wait_for_message(says("A GPU is starting, which takes about 2 s."))
            await (await two.command("imagine", stand.general, model="flux", prompt="heron-2-0")).reply(30)
            await two.wait_for_message(says("Se está encendiendo una GPU; tarda unos 2 s."))
            assert keda(stand) == 2
            await one.wait_for_message(says("No GPU is online right now"))
            await two.wait_for_message(says("No hay ninguna GPU en línea"))
            assert unready(stand.product) == "no ComfyUI answers"
            await replicas.scale_out(1)
            await one.wait_for_message(has_picture, 60)
            await two.wait_for_message(has_picture, 60)
            await stand.until(lambda: keda(stand) == 0)
            await replicas.scale_in(replicas.ready[0])
            await stand.until(lambda: not stand.fleet.engines())
        async with the_bot(tmp_path, replicas, discord, "?start=2") as stand:
            three = await stand.person(names[3])
            await (await three.command("imagine", stand.general, model="flux", prompt="heron-3-0")).reply(30)
            await three.wait_for_message(says("A GPU is starting, which takes about 4 s."))
            await replicas.scale_out(1)
            await three.wait_for_message(has_picture, 60)


def says(words: str) -> Callable[[Payload], bool]:
    return lambda message: words in text_of(message)
