"""What operators see of a whole run: figures, log lines and the status page tell it, and no secret."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from modules.demo.comfy_server import Timing
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import SimulatedUser, text_of
from modules.queue_manager.backports import timeout
from tests.e2e.chromium import launched
from tests.e2e.operated import KEY, TOKEN, Stage, result_of, run_bot, staged
from tests.postgres import Postgres
from tests.postgres_relay import relaying

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")

PEOPLE, EACH = 3, 2
WORDS = ("heron", "lantern", "quarry", "orchard", "glacier", "violin")
POISON = "nightshade"
TURNS = {"Queued", "Dispatched", "Started", "Requeued", "Finished", "Delivered", "Failed", "Cancelled"}
DATABASE_PASSWORD = "tide&pool/9182"
SECRETS = (
    TOKEN,
    "s3cr3t-part-of-the-token",
    KEY,
    KEY.partition(":")[2],
    base64.b64encode(KEY.encode()).decode(),
    DATABASE_PASSWORD,
    quote(DATABASE_PASSWORD),
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    world = default_world(PEOPLE, bot=BotSpec(token=TOKEN))
    async with staged(tmp_path, world=world, timing=Timing(step=0.05, row=0.02)) as made:
        made.write(COMFY_URLS=f"{made.gpus[0].url},{made.gpus[1].url}")
        yield made


async def fetch(stage: Stage, path: str) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{stage.metrics_port}{path}") as answer,
    ):
        return await answer.text()


def read(text: str) -> dict[str, float]:
    """Prometheus' text as values by name and labels."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def total(figures: dict[str, float], start: str) -> float:
    return sum(value for name, value in figures.items() if name.startswith(start))


def asked_of_discord(figures: dict[str, float]) -> float:
    """Requests to Discord's REST API: all but those that became the gateway's socket."""
    name = "fullet_discord_requests_total"
    return total(figures, name) - figures.get(f'{name}{{status="101"}}', 0)


async def settled(stage: Stage) -> dict[str, float]:
    """The figures once the last job is accounted for."""
    async with timeout(60):
        while True:
            figures = read(await fetch(stage, "/metrics"))
            ended = sum(
                figures.get(f'fullet_jobs_total{{outcome="{how}"}}', 0) for how in ("delivered", "failed")
            )
            if ended == PEOPLE * EACH + 1:
                return figures
            await asyncio.sleep(0.05)


async def act(stage: Stage) -> None:
    """Everybody asks for some pictures, and one of them for something on which the server breaks."""
    stage.gpus[0].faults.set(poison=POISON)
    stage.gpus[1].faults.set(poison=POISON)
    people = [await SimulatedUser.connect(stage.discord.url, user.id) for user in stage.discord.hub.people]
    try:
        for number, user in enumerate(people):
            await user.until(lambda user=user: any(c["name"] == "imagine" for c in user.commands), 30)
            general = stage.discord.channel("general").id
            for prompt in WORDS[number * EACH : number * EACH + EACH]:
                await (await user.command("imagine", general, model="flux", prompt=prompt)).reply()
        for number, user in enumerate(people):
            for prompt in WORDS[number * EACH : number * EACH + EACH]:
                await user.wait_for_message(result_of(prompt), 30)
        await (await people[0].command("imagine", general, model="flux", prompt=POISON)).reply()
        await settled(stage)
    finally:
        for user in people:
            await user.aclose()


def fields_of(line: str, style: str) -> dict[str, Any]:
    """A log line's message and context."""
    if style == "json":
        told: dict[str, Any] = json.loads(line)
        return told
    match = re.fullmatch(r"\S+ \S+ (\w+)\s+(\S+): (.*?)(?:  (\w+=.*))?", line)
    assert match is not None, line
    return {**dict(re.findall(r"(\w+)=(\S+)", match[4] or "")), "message": match[3]}


AUDIT = """
import os, sys
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[1] if event == "socket.connect" else arguments
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{where[0]} {where[1]}\\n" if isinstance(where, tuple) else f"{where!r}\\n")
sys.addaudithook(note)
"""


async def test_it_connects_to_the_servers_that_were_named_and_to_nobody_else(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(AUDIT)
    told = tmp_path / "connections"
    spy = {"PYTHONPATH": str(tmp_path / "spy"), "CONNECTIONS": str(told)}
    async with run_bot(stage.env_file, cold=True, **spy) as bot:
        await act(stage)
        assert await bot.end() == 0
    ports = {server.url.rpartition(":")[2] for server in (stage.discord, *stage.gpus)}
    assert set(told.read_text().splitlines()) == {f"127.0.0.1 {port}" for port in ports}


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL by TCP and by a password (which it does not ask for)."""
    with relaying(postgres.socket) as relay:
        where = f"127.0.0.1:{relay.port}/{postgres.new_database()}"
        yield f"postgresql://postgres:{quote(DATABASE_PASSWORD, safe='')}@{where}?sslmode=disable"


@pytest.mark.parametrize(("style", "level"), [("text", "INFO"), ("json", "DEBUG")])
async def test_figures_and_lines_tell_what_happened_and_no_secret(
    stage: Stage, database_url: str, style: str, level: str
) -> None:
    urls = f"{stage.gpus[0].url},{stage.gpus[1].url}"
    stage.write(COMFY_URLS=urls, DATABASE_URL=database_url, LOG_FORMAT=style, LOG_LEVEL=level)
    async with run_bot(stage.env_file) as bot:
        await act(stage)
        figures = await settled(stage)
        status = json.loads(await fetch(stage, "/status.json"))
        assert await fetch(stage, "/readyz") == "ready\n"
        async with timeout(60):  # a request may be on its way
            while asked_of_discord(figures) != stage.discord.counters["rest"]:
                figures = read(await fetch(stage, "/metrics"))
        assert await bot.end() == 0

    # figures
    jobs, made = PEOPLE * EACH + 1, PEOPLE * EACH
    spans = [span for gpu in stage.gpus for span in gpu.sampler_log]
    assert figures['fullet_jobs_total{outcome="queued"}'] == jobs
    assert figures['fullet_jobs_total{outcome="delivered"}'] == made
    assert figures['fullet_jobs_total{outcome="failed"}'] == 1
    assert figures['fullet_failures_total{error="ExecutionFailed"}'] == 1
    assert total(figures, "fullet_pictures_total") == made
    assert figures["fullet_batch_size_sum"] == made == sum(span.rows for span in spans)
    assert figures["fullet_batch_size_count"] == len(spans)
    assert figures["fullet_wait_seconds_count"] == jobs + 1  # the poison was tried on both servers
    assert figures["fullet_job_seconds_count"] == made
    sampled = sum(span.end - span.start for span in spans)
    assert figures["fullet_run_seconds_sum"] == pytest.approx(sampled, abs=0.5 * len(spans))
    assert figures["fullet_run_seconds_sum"] <= total(figures, "fullet_engine_busy_seconds_total") + 1.0
    assert figures["fullet_estimate_actual_seconds_total"] <= figures["fullet_job_seconds_sum"] + 0.01
    assert figures["fullet_fairness"] == 1.0
    assert (figures["fullet_queue_waiting"], figures["fullet_queue_running"]) == (0, 0)
    assert total(figures, "fullet_engine_state{") == 2
    assert figures["fullet_journal_seconds_count"] > jobs
    assert not stage.discord.counters["429"]
    assert 'fullet_discord_requests_total{status="429"}' not in figures

    # the page's data
    batches = [batch for engine in status["engines"] for batch in engine["batches"]]
    assert sum(batch["size"] for batch in batches if batch["good"]) == made
    assert sum(not batch["good"] for batch in batches) >= 1
    assert len(status["waits"]) == jobs
    assert not any(word in json.dumps(status) for word in (*WORDS, POISON))
    assert not any(str(user.id) in json.dumps(status) for user in stage.discord.hub.people)

    # lines
    output = "\n".join(bot.lines)
    assert not [secret for secret in SECRETS if secret in output]
    if level == "INFO":
        assert not [word for word in (*WORDS, POISON) if word in output]
    lines = [fields_of(line, style) for line in bot.lines]
    numbers = [line["job"] for line in lines if line["message"] == "Queued"]
    assert numbers == [f"#{number}" for number in range(1, jobs + 1)]
    people = {str(user.id) for user in stage.discord.hub.people}
    about = [line for line in lines if "job" in line]
    assert {user for line in about for user in line["user"].split(",")} == people
    assert all(len(line["job_id"].split(",")) == len(line["job"].split(",")) for line in about)
    runs = {line["run"] for line in lines if line["message"] == "Dispatched"}
    assert {span.prompt_id for span in spans} <= runs, "the id that ComfyUI has is that of the run"
    endings = []
    for number in numbers:
        told = [line["message"].partition(":")[0] for line in about if number in line["job"].split(",")]
        *begun, last = [word for word in told if word in TURNS]
        assert begun[:3] == ["Queued", "Dispatched", "Started"]
        assert begun[3:] == ["Finished"] or last == "Failed"
        assert "Failed" not in begun
        endings.append(last)
    assert sorted(endings) == ["Delivered"] * made + ["Failed"]
    assert "Traceback" not in output


async def test_what_discord_refuses_for_coming_too_fast_is_counted(stage: Stage) -> None:
    general = stage.discord.channel("general").id
    async with (
        run_bot(stage.env_file),
        await SimulatedUser.connect(stage.discord.url) as admin,
        aiohttp.ClientSession(headers={"Authorization": f"Bot {TOKEN}"}) as other,
    ):
        await admin.until(lambda: bool(admin.commands), 30)
        left = "1"
        while left != "0":  # another program with this token uses the channel's limit up
            url = f"{stage.discord.api_url}/channels/{general}/messages"
            async with other.post(url, json={"content": "me too"}) as answer:
                left = answer.headers["X-RateLimit-Remaining"]
        await admin.say(general, "!getid")
        await admin.wait_for_message(lambda message: "This server's ID" in text_of(message))
        figures = read(await fetch(stage, "/metrics"))
    assert figures['fullet_discord_requests_total{status="429"}'] == stage.discord.counters["429"] > 0


async def test_the_status_page_shows_the_run(stage: Stage, tmp_path: Path) -> None:
    async with run_bot(stage.env_file), launched() as browser:
        troubles: list[str] = []
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        await act(stage)
        await page.goto(f"http://127.0.0.1:{stage.metrics_port}/")
        await page.wait_for_selector("body[data-ready]")
        assert await page.inner_text("#state") == "Accepting requests"
        figures = await page.inner_text("#figures")
        assert f"Pictures\n{PEOPLE * EACH}" in figures
        assert "Failed\n1" in figures
        lanes = await page.locator("[data-engine]").evaluate_all("all => all.map(e => e.dataset.engine)")
        assert lanes == [f"127.0.0.1:{gpu.port}" for gpu in stage.gpus]
        spans = sum(len(gpu.sampler_log) for gpu in stage.gpus)
        assert await page.locator(".batch.done").count() == spans
        assert await page.locator(".batch.failed").count() >= 1
        assert await page.locator(".wait-dot").count() == PEOPLE * EACH + 1
        content = await page.content()
        assert not [word for word in (*WORDS, POISON) if word in content]
        await page.get_by_role("button", name="2 min").click()
        assert await page.locator("#spans [aria-pressed=true]").inner_text() == "2 min"
        if folder := os.environ.get("STATUS_PICTURES"):
            await page.screenshot(path=f"{folder}/status.png")
        await page.set_viewport_size({"width": 360, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        if folder:
            await page.screenshot(path=f"{folder}/status-phone.png")
        assert troubles == []
