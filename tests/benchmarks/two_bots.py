"""Two bots with a token, a Discord server and a database each, that share one GPU by its queue."""

from __future__ import annotations

import asyncio

from tests.benchmarks.oracles import jain
from tests.benchmarks.rig import GpuSpec, rig, watched
from tests.benchmarks.subject import Figure, Measurement, Subject

CROWDS = {"equal": (6, 6), "unequal": (12, 3)}
"""People of the two bots who always have ``COMING`` pictures coming."""
COMING = 2
WINDOW = 40.0


async def measure(run: int) -> Measurement:
    figures: Measurement = {}
    for name, crowds in CROWDS.items():
        one, two, busy = await _pictures(run, crowds)
        figures[f"two_bots_jain_{name}"] = jain([one, two])
        figures[f"two_bots_busy_{name}"] = busy
    return figures


async def _pictures(run: int, crowds: tuple[int, int]) -> tuple[int, int, float]:
    """How many pictures each bot's people got in the window, and the share of it in which the GPU worked."""
    specs = [GpuSpec(batch=1.0, picture=0.25, seed=160 + run)]
    given = {"limit": 1000, "MAX_BATCH_SIZE": "4"}
    async with (
        rig(specs, users=crowds[0], **given) as one,  # type: ignore[arg-type]
        rig([], users=crowds[1], shared=one.gpus, **given) as two,  # type: ignore[arg-type]
    ):
        bots = (one, two)
        await asyncio.gather(*(bot.warm_up() for bot in bots))
        busy = [
            asyncio.ensure_future(bot.keep_asking(person))
            for bot in bots
            for person in bot.people
            for _ in range(COMING)
        ]
        await asyncio.sleep(8)
        began, end = await watched(busy, WINDOW)
        for bot in bots:
            assert not bot.bot.trouble(), bot.bot.trouble()
        got = [sum(began <= at < end for person in bot.people for at in person.seen.values()) for bot in bots]
        spans = [span for span in await one.gpus[0].spans(began) if span.end <= end]
    return got[0], got[1], sum(span.end - span.start for span in spans) / WINDOW


SUBJECT = Subject(
    name="two_bots",
    measure=measure,
    figures=(
        Figure(
            name="two_bots_jain_equal",
            unit="",
            about="pictures of two bots that share one GPU, 6 people with 2 coming in each, 40 s",
            target=0.98,
            better="at least",
        ),
        Figure(
            name="two_bots_busy_equal", unit="", about="share of the time in which the GPU worked meanwhile"
        ),
        Figure(
            name="two_bots_jain_unequal",
            unit="",
            about="the same with 12 people in one bot and 3 in the other: the bots are equal, not the people",
            target=0.95,
            better="at least",
        ),
        Figure(
            name="two_bots_busy_unequal", unit="", about="share of the time in which the GPU worked meanwhile"
        ),
    ),
)
