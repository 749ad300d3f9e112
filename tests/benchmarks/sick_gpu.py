"""What a GPU that answers and fails every run costs the people in the queue, beside a healthy one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.rig import GpuSpec, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

USERS, EACH, BATCH = 8, 3, 4
PACE = (1.0, 0.5)
PATIENCE = 120.0
SICKNESSES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cuda": ("every run dies at its first node of a CUDA error", {"fail_at": ["*"], "fail_with": "cuda"}),
    "full_disk": (
        "every run dies after its sampling, where it saves",
        {"fail_at": ["SaveImage", "SaveImageBatch"], "fail_with": "disk full"},
    ),
    "broken_node": (
        "the sampler's node raises in every run",
        {"fail_at": ["SamplerCustomAdvanced"], "fail_with": "broken install"},
    ),
}


async def measure(run: int) -> Measurement:
    """The healthy GPU alone, and beside it each kind of sick one: they mostly wait."""
    alone, *beside = await asyncio.gather(
        _measure(None), *(_measure(faults) for _, faults in SICKNESSES.values())
    )
    found = {
        f"sick_gpu_{kind}_makespan_to_healthy_alone": seconds / alone[0]
        for kind, (seconds, _) in zip(SICKNESSES, beside, strict=True)
    }
    return {"sick_gpu_served": min(float(served) for _, served in beside), **found}


async def _measure(faults: Mapping[str, Any] | None) -> tuple[float, int]:
    """Seconds from the first dispatch to the last picture, and how many came."""
    specs = [GpuSpec(batch=PACE[0], picture=PACE[1], noise=0.0)] * (1 if faults is None else 2)
    async with rig(specs, users=USERS, limit=EACH, MAX_BATCH_SIZE=str(BATCH)) as stand:
        await stand.warm_up()
        await stand.admin("pause")
        requests = [(person, stand.next_seed(), "flux") for _ in range(EACH) for person in stand.people]
        await stand.ask_all(requests)
        if faults is not None:
            await stand.gpus[0].post("faults", **faults)
        began = time.monotonic()
        await stand.admin("resume")
        found = await asyncio.gather(
            *(person.picture(seed, PATIENCE) for person, seed, _ in requests), return_exceptions=True
        )
        first = stand.bot.said("Dispatched", began)[0]["at"]
    seen = [at for at in found if isinstance(at, float)]
    return max(seen, default=float("inf")) - first, len(seen)


SUBJECT = Subject(
    name="sick_gpu",
    measure=measure,
    figures=(
        Figure(
            name="sick_gpu_served",
            unit="",
            about="24 jobs of 8 people, one healthy GPU and one that fails every run: pictures; the least of "
            "the three kinds",
            target=USERS * EACH,
            better="at least",
        ),
        *(
            Figure(
                name=f"sick_gpu_{kind}_makespan_to_healthy_alone",
                unit="×",
                about=f"{about}: until the last picture is seen, over the healthy GPU alone",
                target=1.25,
            )
            for kind, (about, _) in SICKNESSES.items()
        ),
    ),
)
