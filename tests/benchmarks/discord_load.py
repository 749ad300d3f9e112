"""Many people at once, Discord's rate limits on: answers, and results one after another."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from modules.demo.users import InvocationFailed
from tests.benchmarks.oracles import quantile
from tests.benchmarks.process_use import cpu_seconds, resident_mb
from tests.benchmarks.rig import GpuSpec, Requester, Rig, rig
from tests.benchmarks.subject import Figure, Measurement, Subject

AT_ONCE = 50
COMMANDS, PEOPLE = 1_000, 100
RAMP = 10.0


async def measure_answers(run: int) -> Measurement:
    """50 people in the same instant; then 1,000 commands within a second."""
    specs = [GpuSpec(batch=2.0, picture=0.5, seed=run)]
    async with rig(specs, users=PEOPLE, limit=1000, MAX_BATCH_SIZE="4") as stand:
        await asyncio.gather(*(person.imagine(stand.next_seed()) for person in stand.people[:AT_ONCE]))
        await asyncio.sleep(3)
        await _reset(stand)
        asked = stand.people[:AT_ONCE]
        invocations = [await person.command("queue", person.general()) for person in asked]
        first = [await invocation.acknowledged(10) for invocation in invocations]
        p99 = quantile((await _control(stand))["acknowledge_seconds"], 0.99)
        await asyncio.sleep(2)
        await _reset(stand)
        began = time.monotonic()
        asking = [
            asyncio.ensure_future(_ask(person, began + number / COMMANDS))
            for number, person in enumerate(stand.people * (COMMANDS // PEOPLE))
        ]
        times = await asyncio.gather(*asking)
        told = await _control(stand)
    return {
        "acknowledge_p99_50_users": p99,
        "acknowledge_p99_50_users_seen": quantile(first, 0.99),
        "acknowledge_slowest_of_1000": max((at for at in times if at is not None), default=float("inf")),
        "acknowledge_lost_of_1000": float(sum(at is None for at in times)),
        "rate_limited_answers": float(told["counters"].get("429", 0)),
    }


async def _ask(person: Requester, at: float) -> float | None:
    """Seconds until the answer began; None if it never did."""
    await asyncio.sleep(at - time.monotonic())
    try:
        asked = await person.command("queue", person.general())
        return await asked.acknowledged(30)
    except (InvocationFailed, asyncio.TimeoutError):
        return None


async def measure_results(run: int, *, seconds: float) -> Measurement:
    """GPUs that are no limit, pictures of 1 MB, everybody wants the next one at once."""
    specs = [GpuSpec(batch=0.02, picture=0.01, seed=run + n, noise=0.0, heavy=True) for n in range(3)]
    options = ["--hashes-only"]
    async with rig(specs, users=PEOPLE, limit=1000, discord_options=options, MAX_BATCH_SIZE="4") as stand:
        wanting = [
            asyncio.ensure_future(stand.keep_asking(person, 300)) for person in stand.people for _ in "ab"
        ]
        await asyncio.sleep(RAMP)
        pid = stand.bot.process.pid
        cpu, began = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(seconds)
        end = time.monotonic()
        share = (cpu_seconds(pid) - cpu) / (end - began)
        done = len(stand.bot.said("Delivered", began))
        peak = resident_mb(pid, peak=True)
        told = await _control(stand)
        for task in wanting:
            task.cancel()
        await asyncio.gather(*wanting, return_exceptions=True)
    return {
        "results_per_second": done / (end - began),
        "results_cpu_share": share,
        "results_peak_memory": peak,
        "results_rate_limited": float(told["counters"].get("429", 0)),
    }


async def measure_requests(run: int) -> Measurement:
    """A queue that is always full: batches of 4.5 s, then of 1.2 s."""
    return {
        f"requests_per_picture_{name}_batches": await _requests_per_picture(batch, picture, run)
        for name, batch, picture in (("long", 2.5, 0.5), ("short", 0.4, 0.2))
    }


async def _requests_per_picture(batch: float, picture: float, run: int) -> float:
    specs = [GpuSpec(batch=batch, picture=picture, seed=run + n) for n in range(2)]
    async with rig(specs, users=24, MAX_BATCH_SIZE="4") as stand:
        wanting = [asyncio.ensure_future(stand.keep_asking(person, 300)) for person in stand.people]
        await asyncio.sleep(3 * (batch + 4 * picture))
        await _reset(stand)
        began = time.monotonic()
        await asyncio.sleep(8 * (batch + 4 * picture))
        done, told = len(stand.bot.said("Delivered", began)), await _control(stand)
        for task in wanting:
            task.cancel()
        await asyncio.gather(*wanting, return_exceptions=True)
        assert not stand.bot.trouble(), stand.bot.trouble()
    return float(told["counters"]["rest"]) / done


async def _control(stand: Rig) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.discord['url']}/control") as response:
        told: dict[str, Any] = await response.json()
        return told


async def _reset(stand: Rig) -> None:
    body = {"do": "reset_counters"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stand.discord['url']}/control", json=body) as response,
    ):
        response.raise_for_status()


ANSWERS = Subject(
    name="discord_answers",
    measure=measure_answers,
    figures=(
        Figure(
            name="acknowledge_p99_50_users",
            unit="s",
            about="50 commands at once: until Discord has the acknowledgement, 99 of 100",
            target=0.1,
        ),
        Figure(
            name="acknowledge_p99_50_users_seen",
            unit="s",
            about="the same until the person's client shows it",
        ),
        Figure(
            name="acknowledge_slowest_of_1000",
            unit="s",
            about="1,000 commands in a second: the slowest acknowledgement",
            target=3.0,
        ),
        Figure(name="acknowledge_lost_of_1000", unit="", about="never acknowledged", target=0),
        Figure(name="rate_limited_answers", unit="", about="answers of 429 meanwhile", target=0),
    ),
)
RESULTS = Subject(
    name="discord_results",
    measure=measure_results,
    sustained=True,
    figures=(
        Figure(
            name="results_per_second",
            unit="1/s",
            about="sustained (--seconds), 1 MB each, GPUs no limit; 25 by 2 of Discord's 50 requests each",
            target=23,
            better="at least",
        ),
        Figure(name="results_cpu_share", unit="", about="of one processor, the bot alone"),
        Figure(name="results_peak_memory", unit="MB", about="resident, the bot alone", target=400),
        Figure(name="results_rate_limited", unit="", about="answers of 429 meanwhile", target=0),
    ),
)
REQUESTS = Subject(
    name="discord_requests",
    measure=measure_requests,
    figures=tuple(
        Figure(
            name=f"requests_per_picture_{name}_batches",
            unit="",
            about=f"requests to Discord for a picture, of which a bot may make 50 a second: 24 people who "
            f"always want one more, 2 GPUs, batches of 4 in {seconds} s",
            target=target,
        )
        for name, seconds, target in (("long", "4.5", 8.0), ("short", "1.2", 6.0))
    ),
)
