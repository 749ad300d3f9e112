"""Whether the GPUs ever wait for the bot: a full queue, two GPUs, long and short batches."""

from __future__ import annotations

import time

from tests.benchmarks.driver import drive
from tests.benchmarks.oracles import busy_share
from tests.benchmarks.rig import GpuSpec, gpu_servers, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

BATCH = 4
LONG = (2.5, 0.5)
SHORT = (0.4, 0.2)
"""Seconds a batch and a picture: 4.5 s and 1.2 s for four pictures."""


async def measure_long(run: int) -> Measurement:
    busy, ratio, last = await _measure(LONG, batches=7, users=14, run=run)
    return {
        "gpu_busy_share_long_batches": busy,
        "images_per_second_to_driver_long_batches": ratio,
        "last_picture_after_gpu_long_batches": last,
    }


async def measure_short(run: int) -> Measurement:
    busy, ratio, last = await _measure(SHORT, batches=16, users=32, run=run)
    return {
        "gpu_busy_share_short_batches": busy,
        "images_per_second_to_driver_short_batches": ratio,
        "last_picture_after_gpu_short_batches": last,
    }


async def _measure(
    pace: tuple[float, float], *, batches: int, users: int, run: int
) -> tuple[float, float, float]:
    """The busy share, images/s as a share of the driver's, and how long the last picture was under way."""
    specs = [GpuSpec(batch=pace[0], picture=pace[1], seed=100 * run + n) for n in range(2)]
    async with rig(specs, users=users, limit=1000, MAX_BATCH_SIZE=str(BATCH)) as stand:
        await stand.warm_up()
        skipped = [len(await gpu.spans()) for gpu in stand.gpus]
        await stand.admin("pause")
        seeds = stand.new_seeds(2 * batches * BATCH)
        requests = [(stand.people[n % users], seed, "flux") for n, seed in enumerate(seeds)]
        await stand.ask_all(requests)
        began = time.monotonic()
        await stand.admin("resume")
        seen = await stand.see_all(requests)
        spans = await stand.spans(began)
        assert not stand.bot.trouble(), stand.bot.trouble()
    first = min(each[0].start for each in spans.values())
    assert min(map(len, spans.values())) > batches // 2, (
        "a GPU was left out, which its own share would not show"
    )
    sizes = [[span.rows for span in each] for each in spans.values()]
    async with gpu_servers(specs) as fresh:
        taken = await drive(fresh, sizes, skip=skipped)
    busy = busy_share({url: [(s.start, s.end) for s in each] for url, each in spans.items()})
    return busy, taken / (seen - first), seen - max(span.end for each in spans.values() for span in each)


LONG_BATCHES = Subject(
    name="gpu_busy_long",
    measure=measure_long,
    figures=(
        Figure(
            name="gpu_busy_share_long_batches",
            unit="",
            about="GPU time / (last end − first start), full queue, 2 GPUs, batches of about 4.5 s",
            target=0.99,
            better="at least",
        ),
        Figure(
            name="images_per_second_to_driver_long_batches",
            unit="",
            about="images/s, posted, as a share of a driver's that hands in the same batches back to back",
            target=0.98,
            better="at least",
        ),
        Figure(
            name="last_picture_after_gpu_long_batches",
            unit="s",
            about="from the end of the last run until its last picture was seen, 0.08 s of encoding included",
        ),
    ),
)
SHORT_BATCHES = Subject(
    name="gpu_busy_short",
    measure=measure_short,
    figures=(
        Figure(
            name="gpu_busy_share_short_batches",
            unit="",
            about="the same with batches of about 1.2 s",
            target=0.98,
            better="at least",
        ),
        Figure(
            name="images_per_second_to_driver_short_batches",
            unit="",
            about="the same with batches of about 1.2 s",
            target=0.98,
            better="at least",
        ),
        Figure(
            name="last_picture_after_gpu_short_batches",
            unit="s",
            about="the same with batches of about 1.2 s",
        ),
    ),
)
