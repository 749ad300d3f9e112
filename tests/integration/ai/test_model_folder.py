"""Models come, change and go with the files of the folder, and nobody's job is disturbed."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modules.ai.models.model_folder import EVERY_SECONDS, ModelFolder
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.reduced_table import packed, reduced, unpacked
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.offers import ModelChange
from tests.workflow_graphs import FLUJOS

ROOT = Path(__file__).parents[3]


@dataclass
class House:
    """A folder with one model, and what is heard of it."""

    path: Path
    needed: set[str] = field(default_factory=set)
    kept: list[str] = field(default_factory=list)
    changes: int = 0

    def put(self, name: str, source: str = "z-image", **replaced: str) -> None:
        for ending in (".toml", ".json"):
            text = (FLUJOS / f"{source}{ending}").read_text(encoding="utf-8")
            for old, new in replaced.items():
                text = text.replace(old, new)
            (self.path / f"{name}{ending}").write_text(text, encoding="utf-8")

    def folder(self, table: str | None = None) -> ModelFolder:
        async def keep(text: str) -> None:
            self.kept.append(text)

        def changed() -> None:
            self.changes += 1

        return ModelFolder(
            path=self.path,
            clock=LoopClock(),
            in_use=lambda: self.needed,
            on_change=changed,
            kept_table=unpacked(table),
            keep_table=keep,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    path = tmp_path / "flujos"
    path.mkdir()
    made = House(path)
    made.put("first")
    return made


@asynccontextmanager
async def watched(folder: ModelFolder) -> AsyncIterator[None]:
    folder.load()
    watching = asyncio.create_task(folder.watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """The seconds until something is so."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


def names(folder: ModelFolder) -> list[str]:
    return [offer.name for offer in folder.offers]


async def test_a_file_is_a_model_within_two_seconds_and_none_when_it_has_gone(house: House) -> None:
    folder = house.folder()
    async with watched(folder):
        assert names(folder) == ["first"]
        shutil.copy(FLUJOS / "flux.json", house.path / "My Flux.json")  # no card
        assert await until(lambda: "my-flux" in names(folder)) < 2
        assert house.changes == 1
        (house.path / "My Flux.json").unlink()
        assert await until(lambda: names(folder) == ["first"]) < 2
        assert house.changes == 2


async def test_half_of_a_file_changes_nothing_and_is_not_even_read(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    folder = house.folder()
    whole = (FLUJOS / "flux.json").read_text(encoding="utf-8")
    async with watched(folder):
        with (house.path / "slow.json").open("w", encoding="utf-8") as file:
            for at in range(0, len(whole), len(whole) // 12):  # longer than two looks, and never still
                file.write(whole[at : at + len(whole) // 12])
                file.flush()
                await asyncio.sleep(EVERY_SECONDS / 4)
                assert names(folder) == ["first"]
        await until(lambda: "slow" in names(folder))
    assert not [record for record in caplog.records if "cannot be used" in record.message]


async def test_a_faulty_file_leaves_its_model_as_it_was_and_is_one_warning(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    folder = house.folder()
    async with watched(folder):
        before = folder.templates["first"]
        (house.path / "first.json").write_text("{ half", encoding="utf-8")
        (house.path / "broken.json").write_text("[]", encoding="utf-8")
        await until(lambda: len([r for r in caplog.records if "cannot be used" in r.message]) == 2)
        await asyncio.sleep(3 * EVERY_SECONDS)
        assert folder.templates == {"first": before}
        house.put("second")
        await until(lambda: "second" in names(folder))
        assert names(folder) == ["first", "second"]
    told = [record for record in caplog.records if "cannot be used" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING] * 2
    assert "first.json: not JSON" in caplog.text


async def test_what_jobs_were_accepted_with_stays_until_they_are_done(house: House) -> None:
    folder = house.folder()
    async with watched(folder):
        old = folder.templates["first"]
        house.needed = {"first"}
        house.put("first", **{"Z-Image Turbo": "Other"})
        await until(lambda: [offer.label for offer in folder.offers] == ["Other"])
        (new,) = (template for template in folder.templates.values() if template is not old)
        assert new.id != "first"
        assert new.name == "first"
        assert folder.templates["first"] is old
        assert folder.offers.by_id["first"].label == "Z-Image Turbo"
        assert folder.offers.named("first") == new.offer()
        house.needed = {new.id}
        await until(lambda: list(folder.templates) == [new.id])
        assert "first" not in folder.offers.by_id
        house.put("second")
        (house.path / "first.json").unlink()
        (house.path / "first.toml").unlink()
        await until(lambda: names(folder) == ["second"])
        assert folder.templates[new.id] is new
        house.put("first", **{"Z-Image Turbo": "Third"})  # no graph takes another one's id
        await until(lambda: len(folder.offers) == 2)
        assert folder.offers.named("first").id not in ("first", new.id)  # type: ignore[union-attr]


async def test_reload_says_what_is_other_than_before(house: House) -> None:
    house.put("second")
    house.put("third")
    folder = house.folder()
    folder.load()
    assert await folder.reload() == ()
    house.put("second", **{"Z-Image Turbo": "Other"})
    house.put("fourth")
    for ending in (".json", ".toml"):
        (house.path / f"third{ending}").unlink()
    (house.path / "fifth.json").write_text("{}", encoding="utf-8")
    added, changed, removed, faulty = await folder.reload()
    assert added == ModelChange(turn="added", what="fourth")
    assert changed == ModelChange(turn="changed", what="second")
    assert removed == ModelChange(turn="removed", what="third")
    assert faulty.turn == "faulty"
    assert faulty.what.startswith("fifth.json: ")
    assert await folder.reload() == (faulty,)  # it is still so


async def test_a_folder_that_is_away_changes_nothing(house: House) -> None:
    folder = house.folder()
    async with watched(folder):
        house.path.rename(house.path.with_name("away"))
        await asyncio.sleep(3 * EVERY_SECONDS)
        (change,) = await folder.reload()
        assert "cannot be read" in change.what
        assert names(folder) == ["first"]


def whole_table() -> dict[str, JSON]:
    """A server's answer, with a node of a pack that takes what a KSampler takes."""
    text = (ROOT / "modules/ai/workflows/node_table.json.gz").read_bytes()
    table: dict[str, JSON] = json.loads(gzip.decompress(text))
    return {**table, "PackSampler": table["KSampler"], "NotOne": "?"}


async def test_a_servers_nodes_make_a_file_readable_and_are_kept_for_the_next_start(house: House) -> None:
    (house.path / "packed.json").write_text(_in_editors_format(), encoding="utf-8")
    folder = house.folder()
    folder.load()
    assert names(folder) == ["first"]
    await folder.learn("gpu-1:8188", whole_table())
    assert names(folder) == ["first", "packed"]
    assert house.changes == 1
    await folder.learn("gpu-1:8188", whole_table())  # nothing new
    (kept,) = house.kept
    later = house.folder(kept)
    later.load()
    assert names(later) == ["first", "packed"]


async def test_a_table_that_is_none_is_no_trouble(house: House) -> None:
    folder = house.folder("no table at all")
    folder.load()
    await folder.learn("gpu-1:8188", {"KSampler": {"input": None, "output": 3}, "Empty": {}, "No": 7})
    assert names(folder) == ["first"]
    assert reduced({"No": 7}) == {}
    assert unpacked(packed({"A": {"output": ["IMAGE"]}})) == {"A": {"output": ["IMAGE"]}}


def test_without_any_model_the_start_ends_and_all_faults_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    House(tmp_path).put("z-image", **{"steps = 8": "steps = 9"})
    with pytest.raises(BadWorkflow) as caught:
        House(tmp_path).folder().load()
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["broken.json", "z-image.toml"]
    assert lines[2].endswith("no model there (a model is a workflow file, NAME.json)")


def test_at_the_start_faults_and_what_runs_one_by_one_are_told_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.put("alone", "flux", euler="dpm_adaptive")
    house.put("faulty", **{"steps = 8": "steps = 9"})
    (house.path / "lone.toml").write_text((house.path / "first.toml").read_text(encoding="utf-8"))
    folder = house.folder()
    folder.load()
    assert names(folder) == ["alone", "first"]
    *faults, alone = [record.getMessage() for record in caplog.records]
    assert faults == [
        "this cannot be used: faulty.toml: steps: 9, but the graph says 8 (node 8)",
        "this cannot be used: lone.toml: there is no workflow beside it (lone.json)",
    ]
    assert alone.startswith("alone makes pictures one by one: node 8 ")
    assert "dpm_adaptive chooses its steps" in alone


def _in_editors_format() -> str:
    """A picture from words, whose sampler is a pack's."""

    def made(number: int, kind: str, widgets: list[JSON], takes: dict[str, int], gives: str) -> JSON:
        return {
            "id": number,
            "type": kind,
            "pos": [0, 0],
            "mode": 0,
            "inputs": [{"name": name, "type": "*", "link": link} for name, link in takes.items()],
            "outputs": [{"name": gives, "type": gives, "links": []}],
            "properties": {"cnr_id": "some-pack", "ver": "1.0"} if kind == "PackSampler" else {},
            "widgets_values": widgets,
        }

    checkpoint = made(1, "CheckpointLoaderSimple", ["a.safetensors"], {}, "MODEL")
    checkpoint["outputs"] = [{"name": n, "type": n, "links": []} for n in ("MODEL", "CLIP", "VAE")]
    nodes = [
        checkpoint,
        made(2, "CLIPTextEncode", ["a hill"], {"clip": 1}, "CONDITIONING"),
        made(3, "CLIPTextEncode", ["blurry"], {"clip": 2}, "CONDITIONING"),
        made(4, "EmptyLatentImage", [512, 512, 1], {}, "LATENT"),
        made(
            5,
            "PackSampler",
            [7, "fixed", 20, 7.0, "euler", "normal", 1.0],
            {"model": 3, "positive": 4, "negative": 5, "latent_image": 6},
            "LATENT",
        ),
        made(6, "VAEDecode", [], {"samples": 7, "vae": 8}, "IMAGE"),
        made(7, "SaveImage", ["x"], {"images": 9}, "IMAGE"),
    ]
    links = [
        [1, 1, 1, 2, 0, "CLIP"],
        [2, 1, 1, 3, 0, "CLIP"],
        [3, 1, 0, 5, 0, "MODEL"],
        [4, 2, 0, 5, 1, "CONDITIONING"],
        [5, 3, 0, 5, 2, "CONDITIONING"],
        [6, 4, 0, 5, 3, "LATENT"],
        [7, 5, 0, 6, 0, "LATENT"],
        [8, 1, 2, 6, 1, "VAE"],
        [9, 6, 0, 7, 0, "IMAGE"],
    ]
    return json.dumps({"nodes": nodes, "links": links, "version": 0.4, "last_node_id": 7, "last_link_id": 9})


def test_inputs_are_kept_in_the_order_of_their_widgets() -> None:
    entry = {
        "input": {"required": {"b": ["INT"], "a": ["INT"], "c": ["INT"]}},
        "input_order": {"required": ["c", "a"]},
    }
    kept = reduced({"Node": {**entry, "output": []}})
    assert list(unpacked(packed(kept))["Node"]["input"]["required"]) == ["c", "a", "b"]  # type: ignore[index]


GRAIN = '[grain]\nlabel = "Film grain"\nfile = "grain.safetensors"\nmodels = ["first", "second"]\n'


async def test_loras_and_styles_come_change_and_go_with_their_files(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    folder = house.folder()
    async with watched(folder):
        assert (folder.offers.loras, folder.offers.styles) == ((), ())
        (house.path / "loras.toml").write_text(GRAIN, encoding="utf-8")
        await until(lambda: len(folder.offers.loras) == 1)
        assert house.changes == 1
        assert folder.offers.loras[0].models == ("first",)
        assert "loras.toml: grain: there is no model second" in caplog.text
        house.put("second")
        await until(lambda: folder.offers.loras[0].models == ("first", "second"))
        (house.path / "styles.toml").write_text(
            '[noir]\nprompt = "{prompt}"\nlabel.en = "N"\n', encoding="utf-8"
        )
        await until(lambda: [style.name for style in folder.offers.styles] == ["noir"])
        (house.path / "loras.toml").write_text(GRAIN.replace("file", "flie"), encoding="utf-8")
        await until(lambda: "loras.toml: grain.file is missing" in caplog.text)
        assert len(folder.offers.loras) == 1, "what was right before stays"
        for name in ("loras.toml", "styles.toml"):
            (house.path / name).unlink()
        await until(lambda: (folder.offers.loras, folder.offers.styles) == ((), ()))


async def test_a_reload_tells_of_them_and_no_model_may_be_called_so(house: House) -> None:
    folder = house.folder()
    folder.load()
    (house.path / "loras.toml").write_text(GRAIN.replace(', "second"', ""), encoding="utf-8")
    assert await folder.reload() == (ModelChange(turn="reread", what="loras.toml"),)
    shutil.copy(FLUJOS / "z-image.json", house.path / "styles.json")
    (fault,) = await folder.reload()
    assert fault.what == (
        "styles.json: rename it: its card would be styles.toml, and that file has another purpose"
    )
