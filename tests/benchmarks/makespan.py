"""How long until all are served, against the best that could be: a burst, unequal GPUs, two models."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from tests.benchmarks.oracles import Gpu, Model, best_fixed_assignment, least_makespan, noise
from tests.benchmarks.rig import MEASURED, NOISE, GpuSpec, Rig, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

BURST_JOBS, BURST_BATCH = 24, 2
UNEQUAL_JOBS, UNEQUAL_BATCH = 40, 4
MIXED_JOBS, MIXED_BATCH = 72, 4
SWAP = 5.0


async def measure_burst(run: int) -> Measurement:
    """24 people type within 50 ms: batches of 4.5 s, then of 1 s."""
    return {**await _burst(run, "burst", 3.0, 0.75), **await _burst(run, "short_burst", 2 / 3, 1 / 6)}


async def _burst(run: int, name: str, batch: float, picture: float) -> dict[str, float]:
    specs = [GpuSpec(batch=batch, picture=picture, seed=20 + 10 * run + n) for n in range(2)]
    async with rig(specs, users=BURST_JOBS, MAX_BATCH_SIZE=str(BURST_BATCH)) as stand:
        await stand.warm_up()
        gpus = await _to_come(stand, BURST_BATCH)
        seeds = stand.new_seeds(BURST_JOBS)
        began = time.monotonic()
        asking = [
            asyncio.ensure_future(_at(began + 0.05 * n / BURST_JOBS, person.imagine(seed)))
            for n, (person, seed) in enumerate(zip(stand.people, seeds, strict=True))
        ]
        await asyncio.gather(*asking)
        requests = [(p, s, "flux") for p, s in zip(stand.people, seeds, strict=True)]
        seen = await stand.see_all(requests)
        spans = [span for each in (await stand.spans(began)).values() for span in each]
        assert not stand.bot.trouble(), stand.bot.trouble()
    ideal = least_makespan(BURST_JOBS, gpus)
    return {
        f"{name}_makespan_to_ideal": (max(span.end for span in spans) - began) / ideal,
        f"{name}_last_picture_to_ideal": (seen - began) / (ideal + MEASURED["encode"]),
        f"{name}_batches": len(spans),
    }


async def _at(when: float, work: object) -> None:
    await asyncio.sleep(when - time.monotonic())
    await work  # type: ignore[misc]


async def measure_unequal(run: int) -> Measurement:
    """A fast GPU and one that needs three times as long."""
    specs = [
        GpuSpec(batch=1.5, picture=0.75, seed=50 + 10 * run + n, speed=speed)
        for n, speed in enumerate((3.0, 1.0))
    ]
    async with rig(specs, users=8, limit=1000, MAX_BATCH_SIZE=str(UNEQUAL_BATCH)) as stand:
        await stand.warm_up(rounds=3)
        gpus = await _to_come(stand, UNEQUAL_BATCH)
        requests = _dealt(stand, ["flux"] * UNEQUAL_JOBS)
        ended = await _full_queue(stand, requests)
    return {"unequal_gpus_makespan_to_ideal": ended / least_makespan(UNEQUAL_JOBS, gpus)}


async def measure_two_models(run: int) -> Measurement:
    """Two models mixed at random, twice as many of the one that is twice as fast."""
    drawn = random.Random(run)
    models = ["flux"] * (MIXED_JOBS * 2 // 3) + ["z-image"] * (MIXED_JOBS // 3)
    drawn.shuffle(models)
    batch, picture = 1.5, 0.25
    specs = [GpuSpec(batch=batch, picture=picture, load=SWAP, seed=80 + 10 * run + n) for n in range(2)]
    async with rig(specs, users=12, limit=1000, MAX_BATCH_SIZE=str(MIXED_BATCH)) as stand:
        await stand.warm_up(models=("flux", "z-image"))
        gpus = await _to_come(stand, MIXED_BATCH)
        ended = await _full_queue(stand, _dealt(stand, models))
    noise_share = _mean_factor(gpus, models)
    ideal = best_fixed_assignment(
        [
            Model(count=models.count("flux"), batch=batch, picture=picture, load=SWAP),
            Model(count=models.count("z-image"), batch=2 * batch, picture=2 * picture, load=SWAP),
        ],
        gpus=2,
        limit=MIXED_BATCH,
    )
    return {"two_models_throughput_to_best_fixed": ideal * noise_share / ended}


def _mean_factor(gpus: Sequence[Gpu], models: Sequence[str]) -> float:
    """The mean noise of the runs to come."""
    runs = -(-len(models) // MIXED_BATCH) // len(gpus)
    drawn = [factor for gpu in gpus for factor in gpu.factors[:runs]]
    return sum(drawn) / len(drawn)


async def _to_come(stand: Rig, limit: int) -> list[Gpu]:
    """The GPUs with the noise of their runs from now on."""
    return [
        Gpu(
            batch=gpu.spec.batch,
            picture=gpu.spec.picture,
            limit=limit,
            speed=gpu.spec.speed,
            factors=noise(gpu.spec.seed, NOISE, 200, skip=len(await gpu.spans())),
        )
        for gpu in stand.gpus
    ]


def _dealt(stand: Rig, models: Sequence[str]) -> list[tuple[object, int, str]]:
    people = stand.people
    return [(people[n % len(people)], stand.next_seed(), model) for n, model in enumerate(models)]


async def _full_queue(stand: Rig, requests: list[tuple[object, int, str]]) -> float:
    """Let all wait, then begin: seconds from the first GPU's start to the last one's end."""
    await stand.admin("pause")
    await stand.ask_all(requests)  # type: ignore[arg-type]
    began = time.monotonic()
    await stand.admin("resume")
    await stand.see_all(requests)  # type: ignore[arg-type]
    spans = [span for each in (await stand.spans(began)).values() for span in each]
    assert not stand.bot.trouble(), stand.bot.trouble()
    return max(span.end for span in spans) - min(span.start for span in spans)


def _burst_figures(name: str, seconds: str) -> tuple[Figure, ...]:
    return (
        Figure(
            name=f"{name}_makespan_to_ideal",
            unit="×",
            about=f"24 commands within 50 ms, 2 GPUs, batches of 2 in {seconds} s: from the first command to "
            "the last GPU's end, over the ideal",
            target=1.03,
        ),
        Figure(
            name=f"{name}_last_picture_to_ideal",
            unit="×",
            about="the same until the last picture is seen, over the ideal and its encoding",
            target=1.08,
        ),
        Figure(name=f"{name}_batches", unit="", about="runs it took; 12 are the fewest"),
    )


BURST = Subject(
    name="burst",
    measure=measure_burst,
    figures=(*_burst_figures("burst", "4.5"), *_burst_figures("short_burst", "1.0")),
)
UNEQUAL = Subject(
    name="unequal_gpus",
    measure=measure_unequal,
    figures=(
        Figure(
            name="unequal_gpus_makespan_to_ideal",
            unit="×",
            about="40 jobs on a GPU and one three times as fast, over the optimal schedule",
            target=1.10,
        ),
    ),
)
TWO_MODELS = Subject(
    name="two_models",
    measure=measure_two_models,
    figures=(
        Figure(
            name="two_models_throughput_to_best_fixed",
            unit="",
            about="two models mixed at random, 2 GPUs, 5 s to swap: throughput over that of the best fixed "
            "assignment",
            target=0.9,
            better="at least",
        ),
    ),
)
