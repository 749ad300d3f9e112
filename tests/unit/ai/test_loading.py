"""Models are data: what a card and a graph may be, and how the operator is told that they do not fit."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from modules.ai.fusion.fuse import fusible
from modules.ai.fusion.sources import scaling
from modules.ai.models import loading
from modules.ai.models.derivation import derive
from modules.ai.models.loading import load_model, read_models
from modules.ai.models.model_folder import marks
from modules.ai.workflows.cards import Memory, read_card
from modules.ai.workflows.graph import Link, read_graph, write_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.jobs import Scaling, Size
from tests.examples import examples
from tests.workflow_graphs import FLUJOS, SHIPPED, Exported, exported, node, refusals


def place(folder: Path, name: str = "flux", *, card: str | None = None, graph: Any = None) -> Path:
    """Copy a shipped model to a folder, its card or graph replaced; the workflow file."""
    shutil.copy(FLUJOS / f"{name}.toml", folder)
    shutil.copy(FLUJOS / f"{name}.json", folder)
    if card is not None:
        (folder / f"{name}.toml").write_text(card, encoding="utf-8")
    if graph is not None:
        (folder / f"{name}.json").write_text(json.dumps(graph), encoding="utf-8")
    return folder / f"{name}.json"


def load(file: Path) -> WorkflowTemplate:
    return load_model(file).template


CARD = (FLUJOS / "flux.toml").read_text(encoding="utf-8")


# ── the shipped ones ────────────────────────────────────────────────────────────────────────────


def test_the_shipped_models_offer_what_people_are_told() -> None:
    by_name = {name: template.offer() for name, template in SHIPPED.items()}
    assert set(by_name) == {"flux", "flux_edit", "z-image", "upscale"}
    assert (by_name["flux"].steps, by_name["z-image"].steps) == (4, 8)
    assert by_name["flux_edit"].source_count == (1, 2)
    assert by_name["flux_edit"].scalings == (Scaling(pixels=1024 * 1024),) * 2
    square = Size(width=512, height=384)
    assert by_name["upscale"].result_size(square) == Size(width=1024, height=768)
    for offer in by_name.values():
        assert {language for language, _ in offer.description} == {"en", "es"}


def test_a_model_and_its_editing_twin_share_their_weights() -> None:
    """Going from one to the other costs no loading, and the queue must know."""
    weights = {name: model.weights for name, model in SHIPPED.items()}
    assert weights["flux"] == weights["flux_edit"]
    assert len(set(weights.values())) == 3


def test_the_shipped_graphs_run_on_a_server_that_has_their_files() -> None:
    for model in SHIPPED.values():
        assert refusals(model.graph) == []


@pytest.mark.parametrize(("vram", "rows"), [(6, 1), (7.99, 2), (12, 4), (23.6, 4), (80, 4)])
def test_memory_decides_how_many_pictures_fit(vram: float, rows: int) -> None:
    memory = SHIPPED["flux"].card.memory
    assert memory is not None
    assert memory.rows(vram) == rows


def test_a_tiny_memory_still_takes_one() -> None:
    assert Memory(base_gb=40, per_image_gb=2).rows(8) == 1


# ── what is told ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('label = "FLUX.2 Klein"', "label = 3"), "label: 3 is given where a text in quotes is needed"),
        (('kind = "imagine"', 'kind = "paint"'), "kind: 'paint' is not one of imagine, edit, upscale"),
        (("steps = 4", "steps = 5"), "flux.toml: steps: 5, but the graph says 4 (node 9)"),
        (("steps = 4", "steps = 0"), "flux.toml: steps: 0 is not a whole number from 1 to 10000"),
        (("steps = 4", "steps = true"), "flux.toml: steps: True is given where a whole number is needed"),
        (("steps = 4", "steps = 4\nstesp = 4"), "flux.toml: stesp: no such field"),
        (("[roles]", "[roles]\nprmpt = 1"), "flux.toml: roles.prmpt: no such field"),
        (('"4.text"', '"44.text"'), "flux.toml: roles.prompt: 44.text: there is no node 44 in the graph"),
        (('"4.text"', '"4.txt"'), 'node 4 "Prompt" (CLIPTextEncode) has no such input (it has text, clip)'),
        (('"4.text"', '"text"'), "flux.toml: roles.prompt: 'text' is not of the form \"node.input\""),
        (('"4.text"', "4"), 'flux.toml: roles.prompt: "node.input" is needed, or a list of these'),
        (('prompt = "4.text"', ""), "flux.toml: roles.prompt is missing"),
        (('output = "13.images"', 'output = "13.filename_prefix"'), "nothing is connected there"),
        (('width = ["6.width", "9.width"]', ""), "flux.toml: roles.width and roles.height go together"),
        (('negative = "none"', 'negative = "own"'), "roles.negative is missing, and negative is 'own'"),
        (('"896x1152"', '"896x1150"'), "896×1150 is not a multiple of size_multiple (16)"),
        (('"896x1152"', '"896*1152"'), "flux.toml: sizes: '896*1152' is not a size such as 1024x1024"),
        (('default_size = "1024x1024"', 'default_size = "512x512"'), "512×512 is not among sizes"),
        (("base_gb = 4.4", 'base_gb = "x"'), "flux.toml: memory.base_gb: 'x' is not a number from 0 to 1000"),
        (("[roles]", "[roles"), "flux.toml: not TOML"),
        (('kind = "imagine"', 'kind = "imagine"\nsource_count = [0, 2]'), "does not go with kind 'imagine'"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_told_by_file_and_field(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    assert change[0] in CARD
    with pytest.raises(BadWorkflow, match=re.escape(told)):
        load(place(tmp_path, card=CARD.replace(*change)))


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        ([], "flux.json: there is no ComfyUI workflow in it"),
        ({"nodes": [], "links": []}, "flux.json: nothing in it is saved or shown"),
        ({"1": node("X"), "2": {}}, "flux.json: node 2 has no class_type"),
        ({"1": node("X", a=["2", 0])}, "node 1, input a: it links to node 2, which does not exist"),
        (
            {"1": node("X", a=["2", 0]), "2": node("X", a=["1", 0]), "3": node("SaveImage", images=["1", 0])},
            "depends on itself",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_graph_is_told(tmp_path: Path, graph: Any, told: str) -> None:
    with pytest.raises(BadWorkflow, match=re.escape(told)):
        load(place(tmp_path, graph=graph))


def test_two_numbers_are_a_size_and_a_name_with_a_number_is_a_link(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    last = graph["13"]["inputs"]["images"]
    graph["50"] = node("SomebodysSize", size=[1024, 1024], flag=["4", True], link=last)
    graph["13"]["inputs"]["images"] = ["50", 0]
    (kept,) = [n for n in load(place(tmp_path, graph=graph)).graph.values() if "size" in n.inputs]
    assert kept.inputs == {"size": [1024, 1024], "flag": ["4", True], "link": Link(*last)}


def test_a_source_that_cannot_be_left_out_is_told(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux_edit"].graph)
    graph["33"] = node("ControlNet", conditioning=["23", 0], image=["31", 0])
    with pytest.raises(BadWorkflow, match=r"source_count: node 30 .* cannot be left out"):
        load(place(tmp_path, "flux_edit", graph=graph))


def test_files_saved_on_windows_are_read(tmp_path: Path) -> None:
    workflow = place(tmp_path)
    for file in (workflow, workflow.with_suffix(".toml")):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert load(workflow).graph.keys() == SHIPPED["flux"].graph.keys()


# ── without a card ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_without_their_cards_the_shipped_models_offer_the_same(tmp_path: Path, name: str) -> None:
    shutil.copy(FLUJOS / f"{name}.json", tmp_path)
    ours, derived = SHIPPED[name].card, load(tmp_path / f"{name}.json").card
    assert derived.roles == ours.roles
    assert (derived.kind, derived.steps, derived.negative) == (ours.kind, ours.steps, ours.negative)
    assert (derived.source_count, derived.upscale) == (ours.source_count, ours.upscale)
    assert derived.default_size == ours.default_size


@settings(max_examples=examples(40))
@given(exported())
def test_the_roles_of_an_exported_workflow_are_derived(drawn: Exported) -> None:
    card = drawn.template.card
    derived = read_card(derive(read_graph(drawn.graph), bundled_table(), {}, label="mine").fields)
    for role in ("prompt", "seed", "width", "height", "batch"):
        assert set(derived.places(role)) == set(card.places(role)), role
    assert derived.negative in ("own", "none")


def test_a_card_overrides_single_fields_of_what_is_derived(tmp_path: Path) -> None:
    file = tmp_path / "flux.json"
    shutil.copy(FLUJOS / "flux.json", file)
    derived = load(file).card
    written = 'label = "Mine"\n[memory]\nbase_gb = 4\nper_image_gb = 1\n[roles]\nbatch = "6.batch_size"\n'
    file.with_suffix(".toml").write_text(written)
    assert load(file).card == replace(
        derived, label="Mine", memory=Memory(base_gb=4.0, per_image_gb=1.0), roles=load(file).card.roles
    )
    assert load(file).card.roles == derived.roles


@pytest.mark.parametrize(
    ("stem", "name", "label"),
    [
        ("dream", "dream", "Dream"),
        ("sdxl_simple", "sdxl_simple", "Sdxl Simple"),
        ("My Flux", "my-flux", "My Flux"),
        ("Ñandú (v2)", "nandu-v2", "Ñandú (v2)"),
        ("写真", "0e7bbf4a", "写真"),
        ("x" * 60, f"{'x' * 39}-", "X" + "x" * 59),
    ],
)
def test_a_file_with_any_name_makes_a_model(tmp_path: Path, stem: str, name: str, label: str) -> None:
    shutil.copy(FLUJOS / "flux.json", tmp_path / f"{stem}.json")
    template = load(tmp_path / f"{stem}.json")
    found = template.name
    assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,47}", found)
    assert found.startswith(name) or name == "0e7bbf4a"
    assert template.card.label == label


def test_two_files_with_one_name_are_told(tmp_path: Path) -> None:
    for stem in ("my-flux", "My Flux"):
        shutil.copy(FLUJOS / "flux.json", tmp_path / f"{stem}.json")
    models, faults = read_models(tmp_path)
    assert [model.template.workflow_file for model in models.values()] == ["my-flux.json"]
    assert faults == ["My Flux.json: its model would be called my-flux, like that of my-flux.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of them")
@pytest.mark.parametrize("ending", ["json", "toml"])
def test_what_is_no_file_is_told_and_the_other_models_go_on(tmp_path: Path, ending: str) -> None:
    made = ["folder", "itself", "nothing", "pipe", "toolong", "zeros"]
    for stem in made if ending == "toml" else ():
        shutil.copy(FLUJOS / "flux.json", tmp_path / f"{stem}.json")
    os.mkfifo(tmp_path / f"pipe.{ending}")
    (tmp_path / f"folder.{ending}").mkdir()
    (tmp_path / f"zeros.{ending}").symlink_to("/dev/zero")
    (tmp_path / f"itself.{ending}").symlink_to(f"itself.{ending}")
    (tmp_path / f"nothing.{ending}").symlink_to("gone")
    (tmp_path / f"toolong.{ending}").symlink_to("x" * 300)
    place(tmp_path)
    models, faults = read_models(tmp_path)
    assert list(models) == ["flux"]
    assert faults == [f"{stem}.{ending}: it is not a file" for stem in made]
    assert f"itself.{ending}" in (marks(tmp_path) or {})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
def test_a_file_whose_name_no_log_takes_is_told(tmp_path: Path) -> None:
    place(tmp_path)
    with open(os.fsencode(tmp_path) + b"/caf\xe9.json", "wb"):
        pass
    models, faults = read_models(tmp_path)
    assert (list(models), faults) == (["flux"], ["caf\\udce9.json: its name is not UTF-8"])


@pytest.mark.parametrize(("node_id", "name"), [("15", "denoise"), ("16", "scale_by"), ("12", "width")])
@pytest.mark.parametrize("number", ["9" * 400, "1e999", f"-{'9' * 400}"])
def test_no_number_in_a_file_takes_the_other_models_away(
    tmp_path: Path, node_id: str, name: str, number: str
) -> None:
    graph = {
        "10": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "11": node("CLIPTextEncode", text="a hill", clip=["10", 1]),
        "12": node("SomebodysLatent", width=64, height=64, batch_size=1),
        "13": node("LoadImage", image="a.png"),
        "14": node("VAEEncode", pixels=["13", 0], vae=["10", 2]),
        "15": node(
            "KSampler", model=["10", 0], positive=["11", 0], negative=["11", 0], seed=1, steps=20, cfg=7,
            latent_image=["12" if name == "width" else "14", 0], sampler_name="euler", scheduler="normal",
            denoise=0.4,
        ),
        "16": node(
            "ImageScaleBy", image=["17", 0], scale_by=1 if name == "width" else 2, upscale_method="area"
        ),
        "17": node("VAEDecode", samples=["15", 0], vae=["10", 2]),
        "18": node("SaveImage", images=["16", 0], filename_prefix="x"),
    }  # fmt: skip
    graph[node_id]["inputs"][name] = 77777
    (tmp_path / "big.json").write_text(json.dumps(graph).replace("77777", number))
    place(tmp_path)
    models, faults = read_models(tmp_path)
    assert "flux" in models
    assert all(fault.startswith("big.json: ") and "the bot itself" not in fault for fault in faults)


@pytest.mark.parametrize("megapixels", ["1.0", -1, 0, 10**300, [1, 2, 3]])
def test_a_picture_is_not_said_to_be_scaled_to_what_is_no_size(megapixels: Any) -> None:
    graph = read_graph({
        "1": node("LoadImage", image="a.png"),
        "2": node("ImageScaleToTotalPixels", image=["1", 0], megapixels=megapixels),
    })  # fmt: skip
    assert scaling(graph, "1") is None


@pytest.mark.parametrize("card", [f"steps = {'9' * 5000}", f"x = {'[' * 5000}"])
def test_a_card_that_cannot_be_read_is_told(tmp_path: Path, card: str) -> None:
    place(tmp_path, card=card)
    models, faults = read_models(tmp_path)
    assert (models, faults) == ({}, ["flux.toml: it is nested too deeply, or a number in it is too long"])


def test_a_graph_of_thousands_of_nodes_is_told_soon(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    text = next(node_id for node_id, each in graph.items() if each["class_type"] == "CLIPTextEncode")
    graph["t0"] = node("PrimitiveString", value="a hill")
    for number in range(1, 3000):
        graph[f"t{number}"] = node("SomebodysText", text=[f"t{number - 1}", 0])
    graph[text]["inputs"]["text"] = ["t2999", 0]
    (tmp_path / "chain.json").write_text(json.dumps(graph))
    saves = write_graph(SHIPPED["flux"].graph)
    picture = next(each["inputs"]["images"] for each in saves.values() if each["class_type"] == "SaveImage")
    for number in range(2000):
        saves[f"i{number}"] = node("ImageInvert", image=picture)
        saves[f"s{number}"] = node("SaveImage", images=[f"i{number}", 0])
    (tmp_path / "saves.json").write_text(json.dumps(saves))
    began = time.process_time()
    _, (chain, different) = read_models(tmp_path)
    assert time.process_time() - began < 3
    assert chain == "chain.json: it has too long a chain of nodes"
    assert "2001 different pictures are made" in different


def test_a_file_at_which_the_bot_itself_fails_takes_no_other_model_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path)
    place(tmp_path, "z-image")
    ours = loading.derive

    def failing(graph: Any, table: Any, written: Any, *, label: str) -> Any:
        if label == "Flux":
            raise KeyError("something that nobody thought of")
        return ours(graph, table, written, label=label)

    monkeypatch.setattr(loading, "derive", failing)
    for card in tmp_path.glob("*.toml"):
        card.unlink()
    models, faults = read_models(tmp_path)
    assert list(models) == ["z-image"]
    assert faults == ["flux.json: the bot failed while reading it; its log has the details"]


def test_sentences_name_the_file_that_is_there(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    graph["50"] = node("SomebodysPatch", model=graph["10"]["inputs"]["model"])
    graph["10"]["inputs"]["model"] = ["50", 0]
    (tmp_path / "My Flux.json").write_text(json.dumps(graph))
    template = load(tmp_path / "My Flux.json")
    assert str(fusible(template)).endswith("if it does, add it to rowwise in My Flux.toml")


def test_what_no_card_can_describe_is_told_by_node_and_field(tmp_path: Path) -> None:
    told: list[tuple[dict[str, Any], str]] = [
        (
            {"1": node("LoadAudio", audio="x.mp3"), "2": node("SaveAudio", audio=["1", 0])},
            "it saves no picture",
        ),
        ({"1": node("EmptyImage"), "2": node("SaveImage", images=["1", 0])}, "write kind and roles"),
    ]
    for graph, sentence in told:
        file = tmp_path / "x.json"
        file.write_text(json.dumps(graph))
        with pytest.raises(BadWorkflow, match=sentence):
            load(file)
