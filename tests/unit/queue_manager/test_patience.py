"""A run is given up seconds after it has stalled, and never because its server is merely silent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from modules.queue_manager.jobs import Batch
from modules.queue_manager.ports import Requeued, RunEvent, RunProgress, RunStarted
from modules.queue_manager.scheduling.estimates import DurationBook
from tests.fakes import FakeEngine, FakeRun, MemoryStore
from tests.unit.queue_manager.test_manager import House, play
from tests.virtual_time import run_virtual


@dataclass
class Noise:
    """Healthy silences as people report them of real servers: a first load of minutes, compiling for each new
    size, a model that the server dropped and loads again, another program on the GPU, sockets that go silent
    in a run and stay so (ComfyUI#15240), a decoder that runs out of memory and goes on in tiles. Seconds."""

    step: float
    seed: int
    sizes: set[tuple[str, int]] = field(default_factory=set)
    deaf_runs: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.load = self.random.uniform(20, 90)

    def before(self, model: str, rows: int, *, loaded: bool) -> float:
        new = (model, rows) not in self.sizes
        self.sizes.add((model, rows))
        dropped = self.random.random() < 0.05
        slowly = self.random.uniform(1.0, 4.0) if new else self.random.uniform(0.7, 1.5)
        loads = new or dropped or not loaded
        return 0.3 + self.load * slowly * loads + self.random.uniform(0, 200) * new

    def a_step(self, rows: int) -> float:
        usual = self.step * (0.5 + 0.5 * rows) * self.random.lognormvariate(0, 0.25)
        paused = self.random.random() < 0.03
        return usual + self.random.uniform(0.5, max(9.0, 3 * self.step)) * paused

    def after(self, rows: int) -> float:
        in_tiles = self.random.random() < 0.05
        return 0.4 * rows * self.random.lognormvariate(0, 0.3) + self.random.uniform(5, 25) * in_tiles

    def goes_silent_at(self, steps: int) -> int:
        """The first step that is not told."""
        if self.deaf_runs:
            self.deaf_runs -= 1
            return 0
        if self.random.random() < 0.01:
            self.deaf_runs = 15
            return self.random.randint(1, steps)
        return steps + 1


class NoisyRun(FakeRun):
    """A run with the pauses of its engine's `Noise`; it always comes through."""

    async def events(self) -> AsyncIterator[RunEvent]:
        engine, batch = self._engine, self._batch
        assert isinstance(engine, NoisyEngine)
        noise, rows = engine.noises, len(batch.jobs)
        async with engine.gpu:
            if self.withdrawn:
                return
            self.begun.set()
            silent_from = noise.goes_silent_at(engine.steps)
            yield RunStarted()  # the queue tells, too
            began = engine.clock.now()
            await self._pass(noise.before(batch.key.model, rows, loaded=engine.loaded == batch.key.model))
            engine.loaded = batch.key.model
            for step in range(1, engine.steps + 1):
                await self._pass(noise.a_step(rows))
                if step < silent_from:
                    yield RunProgress(step=step, steps=engine.steps)
            await self._pass(noise.after(rows))
            engine.log.append((began, engine.clock.now(), batch))


@dataclass
class NoisyEngine(FakeEngine):
    """See `NoisyRun`."""

    noises: Noise = field(default_factory=lambda: Noise(step=0.5, seed=0))

    async def submit(self, batch: Batch) -> FakeRun:
        await asyncio.sleep(self.submit_seconds)
        self.submitted.append(batch)
        run = self.known[batch.id] = NoisyRun(self, batch)
        return run


@pytest.mark.long
def test_no_healthy_run_is_given_up_however_noisy_its_server() -> None:
    """500 runs on three servers: steps of 0.2, 0.5 and 3 s."""

    async def whole() -> None:
        house = House(settings={"max_jobs_per_user": 9})
        for n, step in enumerate((0.2, 0.5, 3.0)):
            noise = Noise(step=step, seed=n)
            house.engines[f"{n}"] = NoisyEngine(f"{n}", house.clock, steps=8 * (n + 1), noises=noise)
        await house.fleet.set_urls([*house.engines])
        drawn = random.Random(0)
        number = 0
        while sum(len(engine.log) for engine in house.engines.values()) < 500:
            count = drawn.randint(1, 12)
            models = [drawn.choice(["flux", "flux", "z-image"]) for _ in range(count)]
            jobs = [
                await house.submit(number + n, f"p{number + n}", model=model)
                for n, model in enumerate(models)
            ]
            number += count
            while any(house.manager.job(job.id) for job in jobs):
                await asyncio.sleep(5.0)
        assert not [event for event in house.ear.events if isinstance(event, Requeued)]
        assert len(house.box.pictures) == number
        await house.fleet.aclose(60.0)
        await house.manager.aclose()

    run_virtual(whole())


async def stalled_after(house: House, name: str) -> float:
    """Seconds from the standstill of the engine until its batch is given up."""
    began = house.clock.now()
    house.engines[name].stalling = True
    while not any(isinstance(event, Requeued) for event in house.ear.events):
        await asyncio.sleep(0.1)
    house.engines[name].stalling = False
    return house.clock.now() - began


def test_a_run_that_stands_still_between_steps_of_half_a_second_is_given_up_within_12_s() -> None:
    async def scene(house: House) -> None:
        await house.ended(*[await house.submit(n, f"w{n}") for n in range(8)])
        job = await house.submit(1, "p")
        await asyncio.sleep(1.3)
        assert await stalled_after(house, "a") < 12.0
        await house.ended(job)

    play(scene, engine={"limits": {"flux": 1}, "fixed": 1.0, "each": 1.0})


def test_a_first_load_of_minutes_is_waited_for_beside_a_server_that_loads_in_a_second() -> None:
    async def scene(house: House) -> None:
        house.engines["quick"].load, house.engines["slow"].load = 1.0, 250.0
        jobs = [await house.submit(n, f"p{n}") for n in range(24)]
        await house.ended(*jobs)
        assert house.engines["slow"].log
        assert not [event for event in house.ear.events if isinstance(event, Requeued)]

    play(scene, "quick", "slow", engine={"limits": {"flux": 1}})


def test_a_silent_server_gets_nothing_new_until_it_is_heard_again() -> None:
    async def scene(house: House) -> None:
        await house.ended(*[await house.submit(n, f"w{n}") for n in range(4)])
        engine, slot = house.engines["a"], house.manager.dispatcher.engines.states["a"]
        jobs = [await house.submit(n, f"p{n}") for n in range(2)]
        await asyncio.sleep(0.8)
        engine.stalling, before = True, len(engine.submitted)
        await asyncio.sleep(6.0)  # without the doubt, the next one would go there after 1.8 s
        assert slot.doubted
        assert len(engine.submitted) == before
        engine.stalling = False
        await house.ended(*jobs)
        assert not slot.doubted
        assert not [event for event in house.ear.events if isinstance(event, Requeued)]

    play(scene, engine={"limits": {"flux": 1}})


def test_what_runs_took_is_known_after_a_restart_until_the_model_is_another_one() -> None:
    store = MemoryStore()

    async def life(version: str) -> tuple[float | None, float]:
        """The expected time of a first job, and after how many seconds its standstill was noticed."""
        house = House(store=store, engine_settings={"versions": {"flux": version}, "limits": {"flux": 1}})
        await house.manager.recover()
        await house.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        house.engines["a"].load = 20.0
        first = await house.submit(1, "first")
        await asyncio.sleep(1.0)
        place = house.manager.place(first.id)
        assert place is not None
        expected = None if place.expected_at is None else place.expected_at - house.clock.unix()
        await asyncio.sleep(20.5)  # loaded, and one step done
        noticed = await stalled_after(house, "a")
        await house.ended(first)
        for n in range(4):
            await house.ended(await house.submit(n, f"p{n}"))
        await house.fleet.aclose(60.0)
        await house.manager.aclose()
        return expected, noticed

    expected, noticed = run_virtual(life("1"))
    assert expected is None
    assert noticed > 500.0
    expected, noticed = run_virtual(life("1"))
    assert expected is not None
    assert noticed < 12.0
    expected, noticed = run_virtual(life("2"))
    assert expected is None
    assert noticed > 500.0


@pytest.mark.parametrize("written", ["", "{", "[]", "null", '{"load":{"value":1}}', '{"load":{"value":"x"}}'])
def test_what_cannot_be_read_of_durations_is_learned_anew(written: str) -> None:
    book = DurationBook()
    book.recall("gpu", "flux", written)
    assert book.predict("gpu", "flux", 1) is None
