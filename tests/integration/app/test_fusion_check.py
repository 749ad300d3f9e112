"""``bot.py check --fusion`` on an embedded server: what it compares, times, tells and remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.findings import day
from modules.ai.inspection import inspect_models, inspect_server
from modules.app import fusion_check
from modules.app.fusion_check import CheckedServer, check_servers
from modules.demo.comfy_server import ComfyServer, Timing
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings
from modules.queue_manager.jobs import FusionCheck
from modules.utils.database.engine import Database
from modules.utils.inspection import Section, as_text
from modules.utils.settings.settings import Settings, read
from tests.e2e.known_or_alone import graphs
from tests.integration.embedded_comfy import stock_graph

SIZE = 'sizes = ["64x64"]\n'


@dataclass
class Bench:
    """A folder of models, a server, and what was said and shown."""

    folder: Path
    comfy: ComfyServer
    said: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        url = f"sqlite:///{self.folder / 'bot.db'}"
        return read({"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": self.comfy.url, "DATABASE_URL": url}, {})

    def write(self, name: str, graph: dict[str, Any], card: str = SIZE) -> None:
        models = self.folder / "flujos"
        models.mkdir(exist_ok=True)
        (models / f"{name}.json").write_text(json.dumps(graph))
        (models / f"{name}.toml").write_text(card)

    async def check(self, url: str | None = None) -> CheckedServer:
        templates, faults = inspect_models(self.folder / "flujos")
        assert all(fault.level == "ok" for fault in faults), faults

        def show(lines: Iterable[str]) -> None:
            self.shown.extend(lines)

        (server,) = await check_servers(
            self.settings, templates, url, sheets=self.folder / "sheets", say=self.said.append, show=show
        )
        return server

    async def kept(self) -> dict[str, FusionCheck]:
        async with Database.open(self.settings.database_url) as database:
            return dict(await database.fusion_checks.of(f"127.0.0.1:{self.comfy.port}"))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ComfyServer(timing=Timing(step=0.001), drawing="plain") as comfy:
        yield Bench(tmp_path, comfy)


def guided_graph(sampler: str) -> dict[str, Any]:
    graph = graphs()["zimage-plain"]
    graph["8"]["inputs"]["sampler_name"] = sampler
    graph["5"]["inputs"]["text"] = ""
    return graph


async def test_an_ancestral_sampler_with_a_negative_is_judged_with_euler_and_timed_as_it_is(
    bench: Bench,
) -> None:
    bench.write("mine", guided_graph("euler_ancestral"))
    server = await bench.check()
    (model,) = server.models
    trial = model.trial
    assert trial is not None
    assert server.sound
    assert trial.same
    assert (trial.euler, trial.negative) == (True, "own")
    assert [each.rows for each in trial.comparisons] == [2, 4]
    assert list(trial.batches) == [1, 2, 4, 8]
    samplers = [
        entry["inputs"]["sampler_name"]
        for record in bench.comfy.core.queue.history.values()
        for entry in record.prompt.graph.values()
        if "sampler_name" in entry["inputs"]
    ]
    assert set(samplers) == {"euler", "euler_ancestral"}
    text = "\n".join(bench.shown)
    assert "own negative prompts, judged with euler" in text
    assert "prompts of unequal length" in text


async def test_an_edit_has_a_picture_for_each_person_and_the_sheet_shows_them_all(bench: Bench) -> None:
    shipped = Path(__file__).parents[3] / "flujos"
    graph = json.loads((shipped / "flux_edit.json").read_text())
    for each in graph.values():
        if each["class_type"] == "ImageScaleToTotalPixels":
            each["inputs"]["megapixels"] = 0.02
    bench.write("edit", graph, (shipped / "flux_edit.toml").read_text())
    (model,) = (await bench.check()).models
    assert model.trial is not None
    assert (model.trial.same, model.trial.sources) == (True, 1)
    assert len(set(model.trial.columns["alone"])) == 4, "everybody has a picture of their own"
    with Image.open(model.sheet) as sheet:
        assert sheet.width > 5 * 256, "alone, two fused batches, two stock batches, the difference"
        assert sheet.height > 4 * 256


@pytest.mark.parametrize("fits", [4, 2, 1])
async def test_it_goes_on_until_memory_ends(bench: Bench, fits: int) -> None:
    bench.write("flux", stock_graph())
    bench.comfy.faults.set(oom_above=fits)
    server = await bench.check()
    (model,) = server.models
    trial = model.trial
    assert trial is not None
    assert trial.memory_ended == (None if fits == 1 else 2 * fits)
    assert max(trial.batches, default=0) == (fits if fits > 1 else 0)
    assert trial.same is (None if fits == 1 else True)
    assert list(await bench.kept()) == ([] if fits == 1 else ["flux"])
    text = "\n".join(bench.shown)
    assert ("could not be checked" if fits == 1 else "at once do not fit into memory") in text


async def test_it_waits_for_an_empty_queue_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.ai.fusion_check.trial.BETWEEN_LOOKS", 0.05)
    bench.write("flux", stock_graph())
    bench.comfy.faults.set(stall=True)
    async with aiohttp.ClientSession(bench.comfy.url) as other:
        body = {"prompt": stock_graph("somebody else's"), "client_id": "other"}
        async with other.post("/prompt", json=body) as answer:
            assert answer.status == 200
    checking = asyncio.create_task(bench.check())
    while not any("until the server is idle (1 in its queue)" in line for line in bench.said):
        await asyncio.sleep(0.01)
    assert len(bench.comfy.core.queue.history) == 0
    bench.comfy.faults.set(stall=False)
    assert (await checking).sound


async def test_a_check_that_is_ended_leaves_nothing_at_the_server(bench: Bench) -> None:
    bench.write("flux", stock_graph())
    bench.comfy.faults.set(stall=True)
    checking = asyncio.create_task(bench.check())
    queue = bench.comfy.core.queue
    async with timeout(30):
        while queue.running is None:
            await asyncio.sleep(0.01)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        bench.comfy.faults.set(stall=False)
        while queue.remaining:
            await asyncio.sleep(0.01)
    (record,) = queue.history.values()
    assert not record.success, "it was interrupted"
    assert await bench.kept() == {}


async def test_a_server_that_mixes_rows_is_found_out_and_remembered_until_the_next_check(
    bench: Bench,
) -> None:
    bench.write("flux", stock_graph())
    bench.comfy.faults.set(mixes_rows=True)
    assert not (await bench.check()).sound
    why = (await bench.kept())["flux"].why_alone
    assert why is not None
    assert "its pictures differ from those made alone" in why
    bench.comfy.faults.set(mixes_rows=False, oom_above=1)
    await bench.check()
    assert (await bench.kept())["flux"].why_alone == why, "what was not found out changes nothing"
    bench.comfy.faults.clear()
    assert (await bench.check()).sound
    kept = await bench.kept()
    assert kept["flux"].why_alone is None
    templates, _ = inspect_models(bench.folder / "flujos")
    async with aiohttp.ClientSession() as session:
        client = ComfyClient(session=session, url=bench.comfy.url)
        _, found = await inspect_server(client, templates, max_batch=None, checks=kept)
    told = as_text([Section(title="", findings=found)], everything=True)
    gain = f"{kept['flux'].gain:.1f}× as fast with {kept['flux'].rows} at once"
    assert f"✓ {client.name} fuses flux exactly, checked on {day(kept['flux'].checked_at)}, {gain}" in told


@pytest.mark.parametrize("mixes", [True, False])
async def test_a_check_that_fails_half_way_remembers_what_is_wrong_and_not_what_seemed_right(
    bench: Bench, mixes: bool
) -> None:
    bench.write("flux", stock_graph())
    bench.comfy.faults.set(mixes_rows=mixes, poison=", number 3")
    server = await bench.check()
    assert not server.sound
    kept = await bench.kept()
    assert ("flux" in kept) == mixes
    assert not mixes or kept["flux"].why_alone is not None
    text = "\n".join(bench.shown)
    assert ("it ended early" if mixes else "could not be checked") in text


async def test_a_model_that_is_not_fused_anyway_is_only_named(bench: Bench) -> None:
    graph = stock_graph()
    graph["8"]["inputs"]["sampler_name"] = "dpm_adaptive"
    bench.write("flux", graph)
    (model,) = (await bench.check()).models
    assert model.trial is None
    assert "chooses its steps from the whole batch" in model.alone
    assert len(bench.comfy.core.queue.history) == 0


async def test_a_server_that_goes_away_is_told(bench: Bench) -> None:
    bench.write("flux", stock_graph())
    await bench.comfy.stop()
    server = await bench.check()
    assert server.trouble is not None
    assert not server.sound
    await bench.comfy.start()


async def test_an_address_that_the_bot_does_not_use_is_told(bench: Bench) -> None:
    bench.write("flux", stock_graph())
    server = await bench.check(bench.comfy.url.replace("127.0.0.1", "localhost"))
    assert server.sound
    assert not server.known
    assert any("this address is not in COMFY_URLS" in line for line in bench.shown)


@pytest.mark.parametrize("wanted", [[], ["comfy+https://cloud.comfy.org"]])
async def test_an_address_of_comfy_api_v2_is_told_to_need_no_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: list[str]
) -> None:
    (tmp_path / ".env").write_text("DISCORD_TOKEN=a.b.c\nCOMFY_URLS=comfy+https://cloud.comfy.org?jobs=4\n")
    shipped = Path(__file__).parents[3] / "flujos"
    code = await fusion_check.report(tmp_path / ".env", shipped, wanted, sheets=tmp_path, as_json=False)
    told = capsys.readouterr().out
    assert code == 0
    assert "cloud.comfy.org\n" in told
    assert "Comfy API v2, which makes pictures one by one: there is nothing to check" in told


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (["nonsense"], "There is no model 'nonsense' in flujos/; the models there: flux"),
        (["flux", "z-image"], "at most one address and one model"),
        (["ftp://gpu"], "does not begin with http://"),
        ([], "no server was found"),
        (["dns+http://nobody.invalid:8188"], "no server was found"),
    ],
)
async def test_what_cannot_be_meant_is_one_sentence(tmp_path: Path, wanted: list[str], words: str) -> None:
    (tmp_path / ".env").write_text("DISCORD_TOKEN=a.b.c\n")
    shipped = Path(__file__).parents[3] / "flujos"
    with pytest.raises(BadSettings) as end:
        await fusion_check.report(tmp_path / ".env", shipped, wanted, sheets=tmp_path, as_json=False)
    assert words in str(end.value)
