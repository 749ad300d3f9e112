"""What Prometheus scrapes is what happened."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings, OutOfMemory
from modules.queue_manager.jobs import BatchKey, GenerationRequest, Job, JobId, Picture, Size
from modules.queue_manager.ports import (
    Cancelled,
    Delivered,
    Failed,
    Finished,
    Queued,
    Receipt,
    Requeued,
    RunReport,
    Started,
)
from modules.queue_manager.status import EngineStatus, QueuePosition, QueueStatus
from modules.utils.monitoring.health_server import HealthServer, View
from modules.utils.monitoring.metrics import JobMetrics, jain
from modules.utils.monitoring.status_history import StatusHistory
from tests.virtual_time import SteppedClock

SIZE = Size(width=64, height=64)


def job(number: int, user: int, at: float = 1000.0) -> Job:
    request = GenerationRequest(
        user_id=user, guild_id=1, channel_id=1, locale="en-US", kind="imagine", model="flux",
        prompt="a private prompt", size=SIZE, seed=1,
    )  # fmt: skip
    key = BatchKey(model="flux", kind="imagine", size=SIZE)
    return Job(id=JobId(f"{number:032x}"), number=number, request=request, key=key, queued_at=at)


def engine() -> EngineStatus:
    return EngineStatus(
        name="gpu-1:8188",
        state="busy",
        since=0.0,
        model="flux",
        running=(),
        pictures=2,
        busy_seconds=4.5,
        models=(),
    )


def metrics(clock: SteppedClock) -> JobMetrics:
    return JobMetrics(
        clock=clock,
        queue=lambda: QueueStatus(
            waiting=3, taken=0, running=1, arriving=0, users=2, paused=False, closed_because=None
        ),
        engines=lambda: [engine()],
        place=lambda job_id: QueuePosition(state="waiting", ahead=0, waiting=1, expected_at=1004.0),
        requests=lambda: {"200": 7, "429": 0},
    )


async def test_figures_are_scraped_as_they_happened() -> None:
    clock = SteppedClock(1000.0)
    figures = metrics(clock)
    first, second, third = job(1, 10), job(2, 20), job(3, 20)
    for each in (first, second, third):
        await figures.on_event(Queued(job=each))
    clock.time = 1001.5
    await figures.on_event(Started(job=first, engine="gpu-1:8188", batch_size=2))
    await figures.on_event(Started(job=second, engine="gpu-1:8188", batch_size=2))
    await figures.on_event(Requeued(job=third, error=OutOfMemory()))
    clock.time = 1006.0
    report = RunReport(engine="gpu-1:8188", batch_size=2, started_at=1001.5, ended_at=1005.5)
    for each in (first, second):
        picture = Picture(data=b"", media_type="image/png", size=SIZE)
        await figures.on_event(Finished(job=each, picture=picture, report=report))
        await figures.on_event(Delivered(job=each, receipt=Receipt(where="channel")))
    await figures.on_event(Failed(job=third, error=OutOfMemory()))
    await figures.on_event(Queued(job=job(4, 30)))
    await figures.on_event(Cancelled(job=job(4, 30), by=30))

    lines = figures.text().decode().splitlines()

    for line in (
        'fullet_jobs_total{outcome="queued"} 4.0',
        'fullet_jobs_total{outcome="delivered"} 2.0',
        'fullet_jobs_total{outcome="failed"} 1.0',
        'fullet_jobs_total{outcome="cancelled"} 1.0',
        'fullet_failures_total{error="OutOfMemory"} 1.0',
        'fullet_retries_total{error="OutOfMemory"} 1.0',
        'fullet_pictures_total{engine="gpu-1:8188",model="flux"} 2.0',
        "fullet_batch_size_count 1.0",
        "fullet_batch_size_sum 2.0",
        "fullet_wait_seconds_sum 3.0",
        "fullet_job_seconds_sum 12.0",
        "fullet_run_seconds_sum 4.0",
        "fullet_estimate_error_seconds_total 4.0",
        "fullet_estimate_actual_seconds_total 12.0",
        "fullet_queue_waiting 3.0",
        "fullet_queue_open 1.0",
        "fullet_fairness 1.0",
        'fullet_engine_state{engine="gpu-1:8188",state="busy"} 1.0',
        'fullet_engine_busy_seconds_total{engine="gpu-1:8188"} 4.5',
        'fullet_discord_requests_total{status="200"} 7.0',
    ):
        assert line in lines
    assert not any("private" in line for line in lines)


async def test_the_view_of_the_moment_is_shown_from_the_first_on() -> None:
    health_server, problem = HealthServer(), ["no GPU answers"]
    working = View(
        unready=lambda: next(iter(problem), None),
        metrics=metrics(SteppedClock(1000.0)).text,
        status=lambda: {"queue": {"waiting": 3}},
    )
    async with (
        health_server.serving(host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):

        async def get(path: str) -> tuple[int, str]:
            async with client.get(path) as answer:
                return answer.status, await answer.text()

        assert await get("/healthz") == (200, "ok\n")
        assert await get("/readyz") == (503, "starting\n")
        assert await get("/metrics") == (200, "")
        assert json.loads((await get("/status.json"))[1]) == {"unready": "starting"}
        with health_server.showing(working):
            assert await get("/healthz") == (200, "ok\n")
            assert await get("/readyz") == (503, "no GPU answers\n")
            assert "fullet_queue_waiting 3.0" in (await get("/metrics"))[1]
            problem.clear()
            assert await get("/readyz") == (200, "ready\n")
            assert json.loads((await get("/status.json"))[1]) == {"queue": {"waiting": 3}, "unready": None}
        assert await get("/readyz") == (503, "starting\n")


async def test_a_port_in_use_is_waited_for_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as first, aiohttp.ClientSession() as client:
        port = await first.enter_async_context(HealthServer().serving(host="127.0.0.1", port=0))
        async with HealthServer().serving(host="127.0.0.1", port=port):
            assert f"METRICS_PORT: 127.0.0.1:{port} is in use" in caplog.text
            await first.aclose()
            async with timeout(20):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        async with client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                            assert answer.status == 200
                            break
                    await asyncio.sleep(0.02)


async def test_a_port_that_cannot_be_had_after_all_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with HealthServer().serving(host="127.0.0.1", port=0) as port:
        errors, start = iter([OSError(errno.EADDRINUSE, "taken")]), web.TCPSite.start

        async def denied(site: web.TCPSite) -> None:
            with contextlib.suppress(OSError):
                await start(site)
            raise next(errors, OSError(errno.EACCES, "denied"))

        monkeypatch.setattr(web.TCPSite, "start", denied)
        async with HealthServer().serving(host="127.0.0.1", port=port), timeout(20):
            while "cannot be used (Permission denied)" not in caplog.text:
                await asyncio.sleep(0.01)


async def test_what_fairness_looks_back_on_is_not_kept_longer_though_nobody_asks() -> None:
    clock = SteppedClock(1000.0)
    kept = metrics(clock)
    for number in range(1000):
        clock.time += 10
        await kept.on_event(Delivered(job=job(number, user=number), receipt=Receipt(where="channel")))
    assert len(kept._served) == 61
    assert kept.fairness() == 1.0


async def test_servers_that_came_and_went_are_not_remembered_for_ever() -> None:
    clock = SteppedClock(1000.0)
    kept = StatusHistory(
        clock=clock,
        queue=lambda: QueueStatus(
            waiting=0, taken=0, running=0, arriving=0, users=0, paused=False, closed_because=None
        ),
        engines=lambda: [engine()],
    )
    for number in range(100):
        clock.time += 60
        name = "gpu-1:8188" if number == 99 else f"10.0.0.{number}:8188"
        began, each = clock.time, job(number, user=1)
        await kept.on_event(Started(job=each, engine=name, batch_size=1))
        clock.time += 1
        report = RunReport(engine=name, batch_size=1, started_at=began, ended_at=clock.time)
        picture = Picture(data=b"", media_type="image/png", size=SIZE)
        await kept.on_event(Finished(job=each, picture=picture, report=report))
    assert len(kept._lanes) == 30
    (shown,) = kept.snapshot()["engines"]  # type: ignore[misc]
    assert len(shown["batches"]) == 1


async def test_a_cancelled_picture_does_not_make_its_run_a_failed_one() -> None:
    kept = StatusHistory(
        clock=SteppedClock(1000.0),
        queue=lambda: QueueStatus(
            waiting=0, taken=0, running=0, arriving=0, users=0, paused=False, closed_because=None
        ),
        engines=lambda: [engine()],
    )
    one, other = job(1, user=1), job(2, user=2)
    for each in (one, other):
        await kept.on_event(Started(job=each, engine="gpu-1:8188", batch_size=2))
    await kept.on_event(Cancelled(job=one, by=1))
    report = RunReport(engine="gpu-1:8188", batch_size=2, started_at=1000.0, ended_at=1002.0)
    await kept.on_event(
        Finished(job=other, picture=Picture(data=b"", media_type="image/png", size=SIZE), report=report)
    )
    (shown,) = kept.snapshot()["engines"]  # type: ignore[misc]
    assert [batch["good"] for batch in shown["batches"]] == [True]


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_this_machines_is_told_by_the_settings_name(host: str) -> None:
    with pytest.raises(BadSettings, match=f"METRICS_PORT: {host}:9100 cannot be used .* METRICS_HOST"):
        async with HealthServer().serving(host=host, port=9100):
            pass


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_jains_index_lies_between_one_nth_and_one(shares: list[int]) -> None:
    assert 1 / max(1, len(shares)) - 1e-9 <= jain(shares) <= 1 + 1e-9
