"""Jobs that no server can run any more wait a stated time, are told so, and then free their places."""

from __future__ import annotations

import asyncio

from modules.queue_manager.errors import ModelGone
from modules.queue_manager.jobs import Job, LoraUse
from modules.queue_manager.ports import Failed
from modules.queue_manager.stranded import PATIENCE
from tests.unit.queue_manager.test_manager import House, play

GRAIN = LoraUse(name="grain", label="Film grain", file="grain.safetensors", strength=0.75)


def left(house: House, job: Job) -> float | None:
    """Seconds until the job is given up, as its owner is told."""
    stranded = house.manager.stranded.of(job)
    return None if stranded is None else stranded.until - house.clock.unix()


def test_the_only_server_with_a_model_leaves_and_its_jobs_are_told_and_then_freed() -> None:
    async def scene(house: House) -> None:
        watching = asyncio.ensure_future(house.manager.stranded.watch())
        house.engines["a"].limits = {"flux": 4}
        house.fleet.ask_again()
        await house.fleet.set_urls(["a", "b"])
        await asyncio.sleep(2.0)
        house.manager.pause()
        lost, other = await house.submit(1, model="z-image"), await house.submit(2)
        await house.fleet.set_urls(["a"])
        house.manager.resume()
        await asyncio.sleep(3.0)
        told = left(house, lost)
        assert told is not None
        assert 890.0 < told < 900.0
        assert left(house, other) is None
        await house.ended(other)
        await asyncio.sleep(890.0)
        assert house.manager.job(lost.id) is not None
        await house.ended(lost, within=20.0)
        (failed,) = [event for event in house.ear.events if isinstance(event, Failed)]
        assert isinstance(failed.error, ModelGone)
        assert not house.manager.active_jobs(1)
        watching.cancel()

    play(scene, "a")


def test_a_lora_whose_only_server_leaves_strands_what_needs_it_and_nothing_else() -> None:
    async def scene(house: House) -> None:
        watching = asyncio.ensure_future(house.manager.stranded.watch())
        house.engines["a"].loras = frozenset({GRAIN.file})
        house.fleet.ask_again()
        await asyncio.sleep(2.0)
        house.manager.pause()
        lost, other = await house.submit(1, lora=GRAIN), await house.submit(2)
        house.engines["a"].loras = frozenset()
        house.fleet.ask_again()
        house.manager.resume()
        await house.ended(other)
        await asyncio.sleep(3.0)
        stranded = house.manager.stranded.of(lost)
        assert stranded is not None
        assert stranded.model == "Flux + Film grain"
        await house.ended(lost, within=PATIENCE + 20.0)
        (failed,) = [event for event in house.ear.events if isinstance(event, Failed)]
        assert isinstance(failed.error, ModelGone)
        assert failed.error.fields["model"] == "Flux + Film grain"
        watching.cancel()

    play(scene, "a")


def test_a_server_that_gets_the_model_in_time_makes_the_picture() -> None:
    async def scene(house: House) -> None:
        watching = asyncio.ensure_future(house.manager.stranded.watch())
        house.manager.pause()
        job = await house.submit(1, model="z-image")
        house.engines["a"].limits = {"flux": 4}
        house.fleet.ask_again()
        house.manager.resume()
        await asyncio.sleep(600.0)
        assert left(house, job) is not None
        house.engines["a"].limits = {"flux": 4, "z-image": 4}
        house.fleet.ask_again()
        await house.ended(job)
        assert house.ear.of(job)[-1] == "Delivered"
        watching.cancel()

    play(scene)


def test_jobs_wait_for_a_server_that_is_down_as_long_as_it_takes() -> None:
    async def scene(house: House) -> None:
        watching = asyncio.ensure_future(house.manager.stranded.watch())
        house.engines["a"].limits = {"flux": 4}
        house.fleet.ask_again()
        await house.fleet.set_urls(["a", "b"])
        await asyncio.sleep(2.0)
        house.manager.pause()
        job = await house.submit(1, model="z-image")
        house.engines["b"].die()
        house.manager.resume()
        await asyncio.sleep(4000.0)
        assert left(house, job) is None
        house.engines["b"].live()
        await house.ended(job)
        assert house.ear.of(job)[-1] == "Delivered"
        watching.cancel()

    play(scene, "a")
