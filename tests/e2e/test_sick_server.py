"""A server that answers but fails what it is given: people get their pictures all the same."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from modules.demo.comfy_server import ComfyServer, Timing, mark_of, read_mark
from modules.demo.comfy_server.failure_texts import LACKS_OF_MEMORY
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import SimulatedUser, files_of, text_of
from modules.queue_manager.backports import timeout
from tests.bare_cards import bot_without_memory
from tests.bot_process import BotProcess
from tests.e2e.operated import TOKEN, Stage, result_of, run_bot, staged

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")

PEOPLE, EACH = 8, 3
SICKNESSES: dict[str, dict[str, Any]] = {
    "cuda": {"fail_at": ["*"], "fail_with": "cuda"},
    "full disk": {"fail_at": ["SaveImage", "SaveImageBatch"], "fail_with": "disk full"},
    "broken node": {"fail_at": ["UnetLoaderGGUF"], "fail_with": "broken install"},
}
NOT_THERE = "** offline ·"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    world = default_world(PEOPLE, bot=BotSpec(token=TOKEN))
    async with staged(tmp_path, world=world, timing=Timing(step=0.02, row=0.01)) as made:
        both = ",".join(gpu.url for gpu in made.gpus)
        made.write(COMFY_URLS=both, MAX_JOBS_PER_USER=str(EACH))
        yield made


class Crowd:
    """Eight people before #general; the first of them runs the server."""

    def __init__(self, stage: Stage, people: Sequence[SimulatedUser]) -> None:
        self.stage, self.people = stage, people
        self.general = stage.discord.channel("general").id

    async def ask(self, prompts: Sequence[str], *, model: str = "flux", of: int | None = None) -> None:
        """Each person in turn asks for one of these, or number ``of`` for all."""
        for number, prompt in enumerate(prompts):
            user = self.people[number % len(self.people) if of is None else of]
            await (await user.command("imagine", self.general, model=model, prompt=prompt)).reply(timeout=30)

    async def get(self, prompts: Sequence[str]) -> None:
        """Everybody's pictures come, and are their own."""
        for number, prompt in enumerate(prompts):
            user = self.people[number % len(self.people)]
            found = await user.wait_for_message(
                lambda m, prompt=prompt: result_of(prompt)(m) and files_of(m), 60
            )
            data = await user.download(files_of(found)[0]["url"])
            (seed,) = re.findall(r"seed `(\d+)`", text_of(found))
            with Image.open(io.BytesIO(data)) as image:
                assert read_mark(image.convert("RGB")) == mark_of(prompt, int(seed))

    async def told(self, command: str) -> str:
        """What the operator is told."""
        asked = await self.people[0].command(f"admin {command}", self.general)
        return text_of(await asked.reply(20))

    async def figures(self) -> dict[str, float]:
        """Prometheus' figures by name and labels."""
        url = f"http://127.0.0.1:{self.stage.metrics_port}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def ended(self, count: int) -> dict[str, float]:
        """The figures once so many jobs are accounted for."""
        async with timeout(60):
            while True:
                figures = await self.figures()
                ways = ("delivered", "failed")
                if sum(figures.get(f'fullet_jobs_total{{outcome="{way}"}}', 0) for way in ways) == count:
                    return figures
                await asyncio.sleep(0.05)


def failed(figures: dict[str, float]) -> float:
    return figures.get('fullet_jobs_total{outcome="failed"}', 0)


def named(count: int, what: str = "a lighthouse") -> list[str]:
    return [f"{what}, number {number}" for number in range(count)]


def line_of(gpu: ComfyServer, told: str) -> str:
    """What ``/admin gpus`` says about a server."""
    start = told.index(f"127.0.0.1:{gpu.port}")
    return told[start:].partition("\n**")[0]


def broken_runs(gpu: ComfyServer) -> int:
    """How many runs of this life of a server ended in an error."""
    return sum(not record.success for record in gpu.core.queue.history.values())


@contextlib.asynccontextmanager
async def gathered(stage: Stage) -> AsyncIterator[Crowd]:
    async with contextlib.AsyncExitStack() as stack:
        people = []
        for person in stage.discord.hub.people:
            user = await SimulatedUser.connect(stage.discord.url, person.id)
            people.append(await stack.enter_async_context(user))
        crowd = Crowd(stage, people)
        await people[0].until(lambda: any(c["name"] == "imagine" for c in people[0].commands), 30)
        yield crowd


async def both_are_there(bot: BotProcess, stage: Stage) -> None:
    for gpu in stage.gpus:
        await bot.says(rf"Engine is idle.*{gpu.port}")


# ── a server that fails everything ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sickness", [pytest.param(kind, marks=[pytest.mark.long] * (kind != "cuda")) for kind in SICKNESSES]
)
async def test_a_sick_server_beside_a_healthy_one_costs_nobody_a_picture(stage: Stage, sickness: str) -> None:
    sick = stage.gpus[0]
    await sick.set_faults(**SICKNESSES[sickness])
    prompts = named(PEOPLE * EACH)
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await both_are_there(bot, stage)
        await crowd.ask(prompts)
        await crowd.get(prompts)
        assert failed(await crowd.ended(len(prompts))) == 0
        told = line_of(sick, await crowd.told("gpus"))
    assert re.search(r"(\d+ runs failed in a row|the last run failed): node ", told), told
    assert broken_runs(sick) < len(prompts) / 2


@pytest.mark.long
async def test_a_sick_server_that_is_fixed_is_used_again(stage: Stage) -> None:
    sick = stage.gpus[0]
    await sick.set_faults(**SICKNESSES["broken node"])
    prompts = named(PEOPLE * EACH)
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await both_are_there(bot, stage)
        await crowd.ask(prompts)
        await crowd.get(prompts)
        await sick.set_faults(fail_at=[])
        stage.gpus[1].faults.set(stall=True)
        more = named(2, "a windmill")
        await crowd.ask(more)
        async with timeout(60):
            while not sick.sampler_log:
                await asyncio.sleep(0.05)
        stage.gpus[1].faults.set(stall=False)
        await crowd.get(more)
        assert failed(await crowd.ended(len(prompts) + len(more))) == 0


async def test_with_one_server_alone_people_wait_until_it_is_fixed(stage: Stage) -> None:
    sick = stage.gpus[0]
    stage.write(MAX_JOBS_PER_USER=str(EACH))
    first, later = named(PEOPLE), named(PEOPLE, "a windmill")
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{sick.port}")
        await crowd.ask(first)
        await crowd.get(first)
        await sick.set_faults(**SICKNESSES["cuda"])
        await crowd.ask(later)
        await bot.says(r"runs failed in a row: ")
        lost = failed(await crowd.figures())
        assert lost <= 3
        await sick.restart()
        figures = await crowd.ended(len(first) + len(later))
    assert failed(figures) == lost


# ── a prompt that fails everywhere ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["poison", "poison_in_sampler"])
async def test_one_persons_poisoned_prompts_cost_nobody_else_anything(stage: Stage, where: str) -> None:
    for gpu in stage.gpus:
        gpu.faults.set(**{where: "venom"})
    guilty, prompts = [f"venom, number {n}" for n in range(EACH)], named(2 * (PEOPLE - 1))
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await both_are_there(bot, stage)
        await crowd.ask(guilty, of=PEOPLE - 1)
        innocent = Crowd(stage, crowd.people[:-1])
        await innocent.ask(prompts)
        await innocent.get(prompts)
        figures = await crowd.ended(len(guilty) + len(prompts))
        told = await crowd.told("gpus")
    assert failed(figures) == len(guilty)
    for gpu in stage.gpus:
        assert NOT_THERE not in line_of(gpu, told)
        assert "in a row" not in line_of(gpu, told)


# ── what does not go together ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "refused", "words"),
    [
        ("flux", "euler", "SamplerBatch: input sampler: euler"),
        ("z-image", "ModelSamplingAuraFlow", "FusedModel: input model: ModelSamplingAuraFlow"),
    ],
)
async def test_what_the_node_pack_refuses_runs_one_by_one_and_is_told_once(
    stage: Stage, model: str, refused: str, words: str
) -> None:
    gpu = stage.gpus[0]
    gpu.faults.set(refused=[refused])
    stage.write(MAX_JOBS_PER_USER=str(EACH))
    first, later = named(PEOPLE), named(PEOPLE, "a windmill")
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.ask(first, model=model)
        await crowd.get(first)
        assert failed(await crowd.ended(len(first))) == 0
        assert (await crowd.told("gpus")).count(words) == 1
        assert await bot.end() == 0
    assert sum("makes pictures one by one from now on" in line for line in bot.lines) == 1
    before = broken_runs(gpu)
    assert before <= 2  # the one that was refused, and one that was handed over behind it

    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.ask(later, model=model)
        await crowd.get(later)
        assert failed(await crowd.ended(len(later))) == 0
        assert (await crowd.told("gpus")).count(words) == 1
    assert broken_runs(gpu) == before


@pytest.mark.long
async def test_what_fails_in_company_and_works_alone_is_run_alone(stage: Stage) -> None:
    gpu = stage.gpus[0]
    gpu.faults.set(lone_only=["flux"])
    stage.write(MAX_JOBS_PER_USER=str(EACH))
    first, later = named(PEOPLE * EACH), named(PEOPLE * EACH, "a windmill")
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.ask(first)
        await crowd.get(first)
        assert failed(await crowd.ended(len(first))) == 0
        before = broken_runs(gpu)
        await crowd.ask(later)
        await crowd.get(later)
        assert failed(await crowd.ended(len(first) + len(later))) == 0
        assert NOT_THERE not in line_of(gpu, await crowd.told("gpus"))
    assert broken_runs(gpu) == before


# ── memory ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", LACKS_OF_MEMORY)
async def test_a_lack_of_memory_in_any_words_makes_batches_smaller(stage: Stage, words: str) -> None:
    gpu = stage.gpus[0]
    gpu.faults.set(oom_above=2, oom_words=words)
    stage.write(MAX_JOBS_PER_USER=str(EACH))
    prompts = named(PEOPLE)
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.told("pause")
        await crowd.ask(prompts)
        await crowd.told("resume")
        await crowd.get(prompts)
        figures = await crowd.ended(len(prompts))
        assert NOT_THERE not in line_of(gpu, await crowd.told("gpus"))
    assert failed(figures) == 0
    assert max(span.rows for span in gpu.sampler_log) == 2
    reasons = {name for name in figures if name.startswith("fullet_retries_total{")}
    assert reasons == {'fullet_retries_total{error="OutOfMemory"}'}


async def test_a_small_paging_file_is_the_servers_trouble(stage: Stage) -> None:
    sick = stage.gpus[0]
    await sick.set_faults(fail_at=["UnetLoaderGGUF"], fail_with="paging file")
    prompts = named(PEOPLE)
    async with run_bot(stage.env_file) as bot, gathered(stage) as crowd:
        await both_are_there(bot, stage)
        await crowd.told("pause")  # so that there is something to fuse, however slowly they ask
        await crowd.ask(prompts)
        await crowd.told("resume")
        await crowd.get(prompts)
        assert failed(await crowd.ended(len(prompts))) == 0
    assert max(span.rows for span in stage.gpus[1].sampler_log) > 1


@pytest.mark.long
async def test_a_model_without_a_word_of_memory_grows_into_batches_and_keeps_its_size(
    stage: Stage, tmp_path: Path
) -> None:
    gpu, root = stage.gpus[0], bot_without_memory(tmp_path / "bot")
    gpu.faults.set(oom_above=3)
    stage.write(MAX_JOBS_PER_USER=str(EACH))
    first, later = named(PEOPLE * EACH), named(PEOPLE * EACH, "a windmill")
    async with run_bot(stage.env_file, root=root) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.told("pause")
        await crowd.ask(first)
        await crowd.told("resume")
        await crowd.get(first)
        assert failed(await crowd.ended(len(first))) == 0
        assert await bot.end() == 0
    rows = [span.rows for span in gpu.sampler_log if span.rows]  # without those that did not fit
    assert rows[0] == 1
    assert sum(rows[2:]) / len(rows[2:]) >= 2, rows
    assert max(rows) == 3

    async with run_bot(stage.env_file, root=root) as bot, gathered(stage) as crowd:
        await bot.says(rf"Engine is idle.*{gpu.port}")
        await crowd.told("pause")
        await crowd.ask(later)
        await crowd.told("resume")
        await crowd.get(later)
        assert failed(await crowd.ended(len(later))) == 0
    again = [span.rows for span in gpu.sampler_log if span.rows][len(rows) :]
    assert again[0] >= 2, again
    assert sum(again) / len(again) >= 2, again
