"""Servers scaled from zero: what people are told while one starts, and what is learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from modules.queue_manager.errors import StoreUnavailable
from modules.queue_manager.status import EngineStatus, QueueStatus
from modules.queue_manager.workers.cold_start import ColdStart
from tests.virtual_time import VirtualClock, run_virtual

IDLE = QueueStatus(waiting=0, taken=0, running=0, arriving=0, users=0, paused=False, closed_because=None)
GPU = EngineStatus(
    name="gpu",
    state="idle",
    since=0.0,
    model=None,
    running=(),
    pictures=0,
    busy_seconds=0.0,
    models=("flux",),
)


class Scene:
    """A queue and servers that the test sets."""

    def __init__(self, stated: float | None = 90.0, learned: float | None = None) -> None:
        self.status, self.fleet = IDLE, ()
        self.kept: list[float] = []
        self.broken = False
        self.cold_start = ColdStart(
            queue=lambda: self.status,
            engines=lambda: self.fleet,
            clock=VirtualClock(),
            stated=stated,
            learned=learned,
            keep=self.keep,
        )

    async def keep(self, seconds: float) -> None:
        if self.broken:
            raise StoreUnavailable("the disk is full")
        self.kept.append(seconds)

    def ask(self, jobs: int = 1) -> None:
        self.status = replace(IDLE, waiting=jobs)

    def servers(self, *states: Literal["starting", "idle", "busy", "down", "draining"]) -> None:
        self.fleet = tuple(replace(GPU, state=state) for state in states)  # type: ignore[assignment]

    async def start_after(self, seconds: float) -> None:
        """Jobs wait, a server comes so much later, makes them and leaves again."""
        self.ask()
        await asyncio.sleep(seconds - 1)
        self.servers("starting")
        await asyncio.sleep(1)
        self.servers("idle")
        await asyncio.sleep(5)
        self.status, self.fleet = IDLE, ()
        await asyncio.sleep(5)


def play(part: Callable[[Scene], object], **given: float | None) -> Scene:
    async def whole() -> Scene:
        scene = Scene(**given)
        watching = asyncio.ensure_future(scene.cold_start.watch())
        await asyncio.sleep(5)
        await part(scene)  # type: ignore[misc]
        assert not watching.done()
        watching.cancel()
        return scene

    return run_virtual(whole())


def test_while_jobs_wait_for_a_server_that_starts_its_usual_time_is_told_and_not_for_ever() -> None:
    async def part(scene: Scene) -> None:
        assert scene.cold_start.seconds() is None, "nobody wants one, so none is started"
        scene.ask()
        assert scene.cold_start.seconds() == 90
        await asyncio.sleep(269)
        assert scene.cold_start.seconds() == 90
        await asyncio.sleep(5)
        assert scene.cold_start.seconds() is None

    play(part)


def test_nothing_is_promised_where_nothing_scales() -> None:
    async def part(scene: Scene) -> None:
        scene.ask()
        await asyncio.sleep(10)
        assert scene.cold_start.seconds() is None

    assert play(part, stated=None).kept == []


def test_the_time_that_starts_take_is_learned_and_kept() -> None:
    async def part(scene: Scene) -> None:
        for _ in range(6):
            await scene.start_after(40)
        scene.ask()
        assert scene.cold_start.seconds() == 41

    kept = play(part).kept
    assert kept[0] == pytest.approx(65, abs=1)
    assert kept == sorted(kept, reverse=True)
    assert len(kept) == 6


def test_what_a_former_process_learned_is_told() -> None:
    async def part(scene: Scene) -> None:
        scene.ask()
        assert scene.cold_start.seconds() == 41

    play(part, learned=41.2)


def test_an_outage_is_no_start_of_an_hour() -> None:
    async def part(scene: Scene) -> None:
        await scene.start_after(3600)

    assert play(part).kept == [pytest.approx(180)]


def test_a_start_whose_beginning_nobody_saw_teaches_nothing() -> None:
    async def whole() -> list[float]:
        scene = Scene()
        scene.ask()  # the bot was restarted while a server was being started
        watching = asyncio.ensure_future(scene.cold_start.watch())
        await scene.start_after(10)
        watching.cancel()
        return scene.kept

    assert run_virtual(whole()) == []


def test_a_database_that_fails_ends_nothing() -> None:
    async def part(scene: Scene) -> None:
        scene.broken = True
        await scene.start_after(40)
        scene.ask()
        assert scene.cold_start.seconds() == 65

    assert play(part).kept == []
