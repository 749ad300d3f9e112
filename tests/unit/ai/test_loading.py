"""Models are data: what a card and a graph may be, and how the operator is told that they do not fit."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from modules.ai.models.loading import cardless, load_template, load_templates, offers
from modules.ai.models.proposals import NoProposal, propose_card
from modules.ai.workflows.cards import Memory, read_card
from modules.ai.workflows.graph import Link, read_graph, write_graph
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.jobs import Size
from tests.workflow_graphs import FLUJOS, SHIPPED, Exported, exported, node, refusals


def place(folder: Path, name: str = "flux", *, card: str | None = None, graph: Any = None) -> Path:
    """Copy a shipped model to a folder, its card or graph replaced."""
    shutil.copy(FLUJOS / f"{name}.toml", folder)
    shutil.copy(FLUJOS / f"{name}.json", folder)
    if card is not None:
        (folder / f"{name}.toml").write_text(card, encoding="utf-8")
    if graph is not None:
        (folder / f"{name}.json").write_text(json.dumps(graph), encoding="utf-8")
    return folder / f"{name}.toml"


CARD = (FLUJOS / "flux.toml").read_text(encoding="utf-8")


# ── the shipped ones ────────────────────────────────────────────────────────────────────────────


def test_the_shipped_models_offer_what_people_are_told() -> None:
    by_name = {offer.name: offer for offer in offers(SHIPPED.values())}
    assert set(by_name) == {"flux", "flux_edit", "z-image", "upscale"}
    assert (by_name["flux"].steps, by_name["z-image"].steps) == (4, 8)
    assert by_name["flux_edit"].source_count == (1, 2)
    assert by_name["flux_edit"].source_megapixels == 1.0
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
        (('label = "FLUX.2 Klein"', ""), "flux.toml: label is missing"),
        (('label = "FLUX.2 Klein"', "label = 3"), "flux.toml: label: 3 is not of the right kind (str)"),
        (('kind = "imagine"', 'kind = "paint"'), "kind: 'paint' is not one of imagine, edit, upscale"),
        (("steps = 4", "steps = 5"), "flux.toml: steps: 5, but the graph says 4 (node 9)"),
        (("steps = 4", "steps = 0"), "flux.toml: steps: 0 is not from 1 to 10000"),
        (("steps = 4", "steps = true"), "flux.toml: steps: True is not of the right kind (int)"),
        (("steps = 4", "steps = 4\nstesp = 4"), "flux.toml: stesp: no such field"),
        (("[roles]", "[roles]\nprmpt = 1"), "flux.toml: roles.prmpt: no such field"),
        (('"4.text"', '"44.text"'), "flux.toml: roles.prompt: 44.text: there is no node 44 in the graph"),
        (('"4.text"', '"4.txt"'), 'node 4 "Prompt" (CLIPTextEncode) has no such input (it has text, clip)'),
        (('"4.text"', '"text"'), "flux.toml: roles.prompt: 'text' is not of the form \"node.input\""),
        (('"4.text"', "4"), 'flux.toml: roles.prompt: "node.input" is needed, or a list of such'),
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
        load_template(place(tmp_path, card=CARD.replace(*change)))


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        ([], "flux.json: this is not a graph in API format"),
        ({"nodes": [], "links": []}, "this is the editor's own format; in ComfyUI choose Export (API)"),
        ({"1": {"inputs": {}}}, "flux.json: node 1 has no class_type"),
        (
            {"1": node("X", a=["2", 0])},
            "flux.json: node 1, input a: it links to node 2, which does not exist",
        ),
        ({"1": node("X", a=["2", 0]), "2": node("X", a=["1", 0])}, "depends on itself"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_graph_is_told(tmp_path: Path, graph: Any, told: str) -> None:
    with pytest.raises(BadWorkflow, match=re.escape(told)):
        load_template(place(tmp_path, graph=graph))


def test_two_numbers_are_a_size_and_a_name_with_a_number_is_a_link(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    graph["50"] = node("SomebodysSize", size=[1024, 1024], flag=["4", True], link=["4", 0])
    (kept,) = [n for n in load_template(place(tmp_path, graph=graph)).graph.values() if "size" in n.inputs]
    assert kept.inputs == {"size": [1024, 1024], "flag": ["4", True], "link": Link("4", 0)}


def test_all_faults_are_told_together_and_a_missing_graph_by_name(tmp_path: Path) -> None:
    place(tmp_path, "flux", card=CARD.replace("steps = 4", "steps = 9"))
    place(tmp_path, "z-image")
    (tmp_path / "z-image.json").unlink()
    with pytest.raises(BadWorkflow) as caught:
        load_templates(tmp_path)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "flux.toml",
        "z-image.json",
    ]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadWorkflow, match=r"a model is NAME\.toml and NAME\.json"):
        load_templates(tmp_path)


def test_a_source_that_cannot_be_left_out_is_told(tmp_path: Path) -> None:
    graph = write_graph(SHIPPED["flux_edit"].graph)
    graph["33"] = node("ControlNet", conditioning=["23", 0], image=["31", 0])
    with pytest.raises(BadWorkflow, match=r"source_count: node 30 .* cannot be left out"):
        load_template(place(tmp_path, "flux_edit", graph=graph))


def test_files_saved_on_windows_are_read(tmp_path: Path) -> None:
    card_file = place(tmp_path)
    for file in (card_file, card_file.with_suffix(".json")):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_template(card_file).graph.keys() == SHIPPED["flux"].graph.keys()


def test_dropping_in_two_files_makes_one_more_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place(tmp_path)
    for kind in ("toml", "json"):
        shutil.copy(FLUJOS / f"z-image.{kind}", tmp_path / f"my-model.{kind}")
    shutil.copy(FLUJOS / "flux.json", tmp_path / "lonely.json")
    with caplog.at_level(logging.WARNING):
        assert list(load_templates(tmp_path)) == ["flux", "my-model"]
    assert cardless(tmp_path) == ["lonely"]
    assert "lonely.json has no card: python bot.py check suggests one" in caplog.text


def test_the_operator_is_told_once_what_runs_one_by_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    graph["8"]["inputs"]["sampler_name"] = "dpm_adaptive"
    place(tmp_path, graph=graph)
    load_templates(tmp_path)
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.getMessage().startswith("flux makes pictures one by one: node 8 (KSamplerSelect)")
    assert "dpm_adaptive chooses its steps" in told.getMessage()


# ── proposals ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_roles_of_the_shipped_models_are_guessed_right(name: str) -> None:
    card = SHIPPED[name].card
    guess = read_card(propose_card(SHIPPED[name].graph, name))
    assert guess.roles == card.roles
    assert (guess.kind, guess.steps) == (card.kind, card.steps)


@settings(max_examples=100)
@given(exported())
def test_the_roles_of_an_exported_workflow_are_guessed_right(drawn: Exported) -> None:
    guess = read_card(propose_card(read_graph(drawn.graph), "mine"))
    card = drawn.template.card
    for role in ("prompt", "seed", "width", "height", "batch"):
        assert set(guess.places(role)) == set(card.places(role)), role
    assert guess.negative in ("own", "none")


def test_a_graph_that_no_card_can_describe_is_refused_in_words() -> None:
    with pytest.raises(NoProposal, match="SaveImage"):
        propose_card(read_graph({"1": node("LoadImage", image="x.png")}), "x")
    with pytest.raises(NoProposal, match="CLIPTextEncode"):
        propose_card(read_graph({"1": node("Noise"), "2": node("SaveImage", images=["1", 0])}), "x")
