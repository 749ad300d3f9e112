"""How soon a model whose card says nothing of memory serves several people at once."""

from __future__ import annotations

import time

from tests.benchmarks.rig import GpuSpec, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

USERS, EACH = 8, 3


async def measure(run: int) -> Measurement:
    """Eight people fill the queue of a GPU on which the model never ran."""
    specs = [GpuSpec(batch=0.6, picture=0.2, seed=run)]
    async with rig(specs, users=USERS, limit=EACH, bare_cards=True) as stand:
        await stand.admin("pause")
        requests = [(person, stand.next_seed(), "flux") for _ in range(EACH) for person in stand.people]
        await stand.ask_all(requests)
        began = time.monotonic()
        await stand.admin("resume")
        await stand.see_all(requests)
        rows = [span.rows for span in await stand.gpus[0].spans(began)]
        assert not stand.bot.trouble(), stand.bot.trouble()
    return {"cautious_growth_mean_rows": sum(rows[2:]) / len(rows[2:]), "cautious_growth_runs": len(rows)}


SUBJECT = Subject(
    name="cautious_growth",
    measure=measure,
    figures=(
        Figure(
            name="cautious_growth_mean_rows",
            unit="",
            about="24 jobs of 8 people, 1 GPU, a card without [memory]: mean rows from the third run on",
            target=2.0,
            better="at least",
        ),
        Figure(
            name="cautious_growth_runs", unit="", about="the same: runs it took; 6 of 4 would be the fewest"
        ),
    ),
)
