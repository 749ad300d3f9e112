"""What one job costs beyond its GPU when nothing else is going on, from keystroke to picture."""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.benchmarks.rig import MEASURED, GpuSpec, Rig, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

JOBS = 7


async def measure(run: int) -> Measurement:
    specs = [GpuSpec(batch=0.6, picture=0.4, seed=10 * run + n) for n in range(2)]
    async with rig(specs, users=2) as stand:
        await stand.warm_up(rounds=2)
        seeds = stand.new_seeds(JOBS)
        beyond, answered = [], []
        for seed in seeds:
            await asyncio.sleep(0.7)
            over, told = await _one(stand, seed)
            beyond.append(over)
            answered.append(told)
        assert not stand.bot.trouble(), stand.bot.trouble()
    overhead = statistics.median(beyond)
    return {
        "single_job_overhead": overhead,
        "single_job_overhead_without_encoding": overhead - MEASURED["encode"],
        "single_job_answer": statistics.median(answered),
    }


async def _one(stand: Rig, seed: int) -> tuple[float, float]:
    """Seconds from the command to the picture without the GPU's, and to the answer that it is queued."""
    person, began = stand.people[1], time.monotonic()
    await person.imagine(seed)
    told = time.monotonic() - began
    seen = await person.picture(seed)
    (span,) = [span for each in (await stand.spans(began)).values() for span in each]
    return seen - began - (span.end - span.start), told


SUBJECT = Subject(
    name="single_job",
    measure=measure,
    figures=(
        Figure(
            name="single_job_overhead",
            unit="s",
            about="idle bot: from the command to the picture seen, beyond the GPU's time",
            target=0.15,
        ),
        Figure(
            name="single_job_overhead_without_encoding",
            unit="s",
            about="the same less the 0.08 s that the server's encoder takes",
        ),
        Figure(name="single_job_answer", unit="s", about="from the command to the answer that it is queued"),
    ),
)
