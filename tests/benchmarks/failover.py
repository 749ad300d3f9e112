"""What a dead GPU costs the people in the queue, against a scheduler that knows of it the same instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.benchmarks.oracles import Gpu, Loss, completions, noise, quantile
from tests.benchmarks.relay import Relay
from tests.benchmarks.rig import MEASURED, NOISE, GpuSpec, Rig, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

USERS, BATCH = 20, 2
PACE = (1.0, 0.5)
ONE_BATCH = PACE[0] + BATCH * PACE[1]
FAULT_AT = 3.0
"""Seconds after the first GPU's start: the second batch is half-way."""
PATIENCE = 150.0


async def measure(run: int) -> Measurement:
    """The three kinds of death side by side: they mostly wait."""
    kinds = {"refused": _refused, "dead_socket": _dead_socket, "stall": _stall}
    found = await asyncio.gather(
        *(_measure(kind, fail, 1000 * run + 100 * n) for n, (kind, fail) in enumerate(kinds.items()))
    )
    figures = {name: value for each in found for name, value in each.items() if name != "served"}
    return {"failover_served": min(each["served"] for each in found), **figures}


Fix = Callable[[], Awaitable[None]]
Break = Callable[[Rig, Relay], Awaitable[Fix]]


async def _refused(stand: Rig, between: Relay) -> Fix:
    await between.refuse()
    await stand.gpus[1].post("kill", back_after=0.0)
    return between.open


async def _dead_socket(stand: Rig, between: Relay) -> Fix:
    await between.vanish()
    return between.open


async def _stall(stand: Rig, between: Relay) -> Fix:
    await stand.gpus[1].post("faults", stall=True)
    return lambda: stand.gpus[1].post("faults", stall=False)


async def _measure(kind: str, fail: Break, seed: int) -> dict[str, float]:
    specs = [GpuSpec(batch=PACE[0], picture=PACE[1], seed=seed + n) for n in range(2)]
    async with rig(specs, users=USERS, relayed=1, MAX_BATCH_SIZE=str(BATCH)) as stand:
        between = stand.relay
        assert between is not None
        await stand.warm_up()
        gpus = [
            Gpu(batch=PACE[0], picture=PACE[1], limit=BATCH, factors=noise(s.seed, NOISE, 40, skip=made))
            for s, made in zip(specs, [len(await gpu.spans()) for gpu in stand.gpus], strict=True)
        ]
        seeds = stand.new_seeds(USERS)
        await stand.admin("pause")
        requests = [(p, s, "flux") for p, s in zip(stand.people, seeds, strict=True)]
        await stand.ask_all(requests)
        began = time.monotonic()
        await stand.admin("resume")
        started = await _first_start(stand, began)
        await asyncio.sleep(max(0.0, started + FAULT_AT - time.monotonic()))
        fault_at = time.monotonic()
        fix = await fail(stand, between)
        seen = await _all_seen(stand, requests)
        detected = await _detected(stand, fault_at, between)
        probes = await _until_back(stand, between, fix)
    ideal = completions(USERS, gpus, Loss(gpu=1, at=fault_at - started))
    delays = [at - started - best - MEASURED["encode"] for at, best in zip(sorted(seen), ideal, strict=False)]
    delay = quantile(delays, 0.95)
    return {
        "served": float(len(seen)),
        f"failover_{kind}_detection": detected,
        f"failover_{kind}_p95_delay": delay,
        f"failover_{kind}_batches_beyond_detection": (delay - detected) / ONE_BATCH,
        f"failover_{kind}_probes_until_back": probes,
    }


async def _first_start(stand: Rig, since: float) -> float:
    """When the first GPU began, by what the bot heard (the log lists runs that have ended)."""
    while not (lines := stand.bot.said("Dispatched", since)):
        await asyncio.sleep(0.02)
    return float(lines[0]["at"])


async def _all_seen(stand: Rig, requests: list[tuple[object, int, str]]) -> list[float]:
    """When each picture was seen; those that did not come are missing."""
    found = await asyncio.gather(
        *(person.picture(seed, PATIENCE) for person, seed, _ in requests),  # type: ignore[attr-defined]
        return_exceptions=True,
    )
    return [at for at in found if isinstance(at, float)]


async def _detected(stand: Rig, fault_at: float, between: Relay) -> float:
    """Seconds until the bot gave the GPU's batch up."""
    engine = between.url.removeprefix("http://")
    lines = [line for line in stand.bot.said("Run failed", fault_at) if line["engine"] == engine]
    return lines[0]["at"] - fault_at if lines else float("nan")


async def _until_back(stand: Rig, between: Relay, fix: Fix) -> float:
    """How often the bot asks a fixed server before it counts on it again."""
    engine = between.url.removeprefix("http://")
    await fix()
    fixed, before = time.monotonic(), between.probes
    while time.monotonic() < fixed + 90:
        back = [line for line in stand.bot.said("Engine is idle", fixed) if line["engine"] == engine]
        if back:
            return between.probes - before
        if not stand.bot.said("Engine is down"):
            return 0.0
        await asyncio.sleep(0.05)
    return float("inf")


def _figures(kind: str, about: str, detection: float) -> tuple[Figure, ...]:
    name = f"failover_{kind}"
    return (
        Figure(
            name=f"{name}_detection",
            unit="s",
            about=f"{about}: until the bot gives its batch up",
            target=detection,
        ),
        Figure(
            name=f"{name}_p95_delay",
            unit="s",
            about=f"{about}: delay of 95 of 100 people beyond a scheduler that knows at once",
        ),
        Figure(
            name=f"{name}_batches_beyond_detection",
            unit="batches",
            about=f"{about}: that delay without the time of detection",
            target=1.0,
        ),
        Figure(
            name=f"{name}_probes_until_back",
            unit="",
            about=f"{about}: probes after its recovery until it is used again",
            target=2,
        ),
    )


SUBJECT = Subject(
    name="failover",
    measure=measure,
    figures=(
        Figure(
            name="failover_served",
            unit="",
            about="of 20 people, one of two GPUs lost in mid-batch; the least of the three kinds",
            target=USERS,
            better="at least",
        ),
        *_figures("refused", "server killed, connections refused", 5.0),
        *_figures("dead_socket", "host gone without a word, packets dropped", 7.0),
        *_figures("stall", "server answers, sampler stands still", 12.0),
    ),
)
