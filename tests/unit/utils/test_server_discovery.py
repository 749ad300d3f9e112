"""Addresses that stand for many servers follow what their name resolves to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from modules.utils.settings.server_discovery import ServerDiscovery, look_up


class Beat:
    """A clock that lets each sleeper through at once, a given number of times, and then never again."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.spent = asyncio.Event()

    def now(self) -> float:
        return 0.0

    def unix(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        assert seconds == 5.0
        if not self.left:
            self.spent.set()
            await asyncio.Event().wait()
        self.left -= 1


class Fleet:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    async def set_urls(self, urls: Sequence[str]) -> None:
        self.told.append(tuple(urls))


async def follow(answers: list[Sequence[str] | OSError]) -> list[tuple[str, ...]]:
    """What a fleet is told when the name server gives these answers, one after the other."""
    fleet, clock, given = Fleet(), Beat(len(answers) - 1), iter(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("comfy", 8188)
        answer = next(given)
        if isinstance(answer, OSError):
            raise answer
        return answer

    addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=clock, resolve=resolve)
    await addresses.set(["http://own:1", "dns+http://comfy:8188"])
    running = asyncio.create_task(addresses.run())
    await asyncio.wait_for(clock.spent.wait(), 5)
    running.cancel()
    return fleet.told


async def test_each_replica_is_a_server_and_only_changes_are_told() -> None:
    told = await follow([["10.0.0.1"], ["10.0.0.1"], ["10.0.0.1", "10.0.0.2"], []])
    assert told == [
        ("http://own:1", "http://10.0.0.1:8188"),
        ("http://own:1", "http://10.0.0.1:8188", "http://10.0.0.2:8188"),
        ("http://own:1",),
    ]


@pytest.mark.parametrize(
    ("addresses", "used"),
    [
        (["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"], ("http://10.0.0.1:8188", "http://10.0.0.2:8188")),
        (["10.0.0.1", "fd00::1", "fd00::2"], ("http://[fd00::1]:8188", "http://[fd00::2]:8188")),
        (["fd00::1"], ("http://[fd00::1]:8188",)),
    ],
)
async def test_a_replica_with_addresses_of_both_kinds_is_one_server(
    addresses: list[str], used: tuple[str, ...]
) -> None:
    assert await follow([addresses]) == [("http://own:1", *used)]


async def test_known_servers_stay_while_the_name_cannot_be_looked_up() -> None:
    assert await follow([["10.0.0.1"], OSError("no answer"), ["10.0.0.1"]]) == [
        ("http://own:1", "http://10.0.0.1:8188")
    ]


async def test_that_a_name_cannot_be_looked_up_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    await follow([["10.0.0.1"], OSError("no answer"), OSError("no answer"), ["10.0.0.1"], OSError("again")])
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "comfy cannot be looked up (no answer); known servers that are kept: 1",
        "comfy cannot be looked up (again); known servers that are kept: 1",
    ]


@pytest.mark.parametrize(
    ("error", "kept"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)], ids=["none", "no answer"]
)
async def test_the_last_replica_leaves_when_the_name_server_knows_of_none(
    error: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 8188))]
    answers = iter([found, socket.gaierror(error, "said so")])

    def getaddrinfo(*_: object, **__: object) -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    fleet = Fleet()
    addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=Beat(0))
    for _ in range(2):
        await addresses.set(["dns+http://comfy:8188"])
    assert fleet.told == [("http://10.0.0.1:8188",), ("http://10.0.0.1:8188",) if kept else ()]


async def test_a_name_that_is_not_there_yet_leaves_the_others() -> None:
    assert await follow([OSError("unknown"), ["10.0.0.1"]]) == [
        ("http://own:1",),
        ("http://own:1", "http://10.0.0.1:8188"),
    ]


async def test_a_server_that_is_named_and_found_as_well_is_one() -> None:
    fleet = Fleet()

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1", "10.0.0.2"]

    addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=Beat(0), resolve=resolve)
    await addresses.set(["http://10.0.0.2:8188", "dns+http://comfy:8188"])
    assert fleet.told == [("http://10.0.0.2:8188", "http://10.0.0.1:8188")]


@pytest.mark.parametrize("name", ["gpu..internal", "x" * 64 + ".internal"])
async def test_a_name_that_no_host_can_have_is_one_that_cannot_be_looked_up(name: str) -> None:
    fleet = Fleet()
    addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=Beat(0))
    await addresses.set(["http://own:1", f"dns+http://{name}:8188"])
    assert fleet.told == [("http://own:1",)]


async def test_each_server_has_the_batch_size_of_its_address() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1", "10.0.0.2"]

    addresses = ServerDiscovery(on_urls=Fleet().set_urls, clock=Beat(0), resolve=resolve)
    await addresses.set(["http://own:1", "dns+http://comfy:8188"], [2, 4])
    assert addresses.batch_size("http://own:1") == 2
    assert addresses.batch_size("http://10.0.0.2:8188") == 4
    await addresses.set(["http://own:1"], [None])
    assert addresses.batch_size("http://own:1") is None


async def test_what_is_set_again_is_looked_up_and_told_again() -> None:
    fleet, answers = Fleet(), iter([["10.0.0.1"], ["10.0.0.1"], ["10.0.0.2"]])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=Beat(0), resolve=resolve)
    for _ in range(3):
        await addresses.set(["dns+http://comfy:8188"])
    assert fleet.told == [("http://10.0.0.1:8188",), ("http://10.0.0.1:8188",), ("http://10.0.0.2:8188",)]


async def test_this_machine_is_found_by_name() -> None:
    assert "127.0.0.1" in await look_up("localhost", 80)
