"""Whether one person with very much to do takes anything from the others."""

from __future__ import annotations

import asyncio

from tests.benchmarks.oracles import jain
from tests.benchmarks.rig import GpuSpec, rig, watched
from tests.benchmarks.subject import Figure, Measurement, Subject

OTHERS = 9
HEAVY = 200
AT_ONCE = 3
"""With this many active jobs, each of the others always has one waiting: at most two are in flight."""
WINDOW = 40.0


async def measure(run: int) -> Measurement:
    specs = [GpuSpec(batch=1.0, picture=0.25, seed=110 + 10 * run + n) for n in range(2)]
    async with rig(specs, users=1 + OTHERS, limit=1000, MAX_BATCH_SIZE="4") as stand:
        await stand.warm_up()
        heavy, others = stand.people[0], stand.people[1:]
        await stand.admin("pause")
        await stand.ask_all([(heavy, stand.next_seed(), "flux") for _ in range(HEAVY)])
        busy = [asyncio.ensure_future(stand.keep_asking(person)) for person in others for _ in range(AT_ONCE)]
        await asyncio.sleep(3)
        await stand.admin("resume")
        await asyncio.sleep(6)
        began, end = await watched(busy, WINDOW)
        assert not stand.bot.trouble(), stand.bot.trouble()
        got = [sum(began <= at < end for at in person.seen.values()) for person in stand.people]
    return {"jain_index": jain(got), "heavy_user_share": got[0] / (sum(got) / len(got))}


SUBJECT = Subject(
    name="fairness",
    measure=measure,
    figures=(
        Figure(
            name="jain_index",
            unit="",
            about="pictures in a saturated window of 40 s: 1 user with 200 jobs, 9 with always one waiting",
            target=0.98,
            better="at least",
        ),
        Figure(name="heavy_user_share", unit="×", about="pictures of the one with 200 jobs over the mean"),
    ),
)
