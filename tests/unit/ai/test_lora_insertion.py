"""A LoRA reaches all that uses the model, and where that is not certain, it is refused in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.ai.fusion.fuse import fuse, fusible, plain
from modules.ai.fusion.samplers import Unfusible
from modules.ai.inspection import inspect_models
from modules.ai.workflows.graph import Link, read_graph, write_graph
from modules.ai.workflows.lora_insertion import LORA_NODE, NoPlaceForLora, with_lora
from modules.queue_manager.jobs import LoraUse
from tests.examples import examples
from tests.fakes import request
from tests.workflow_graphs import FLUJOS, SHIPPED, Exported, exported, node, refusals

ONE = LoraUse(name="one", label="One", file="one.safetensors", strength=0.75)
BOTH = replace(ONE, clip=True)
LIBRARY = inspect_models(FLUJOS / "library")[0]


@settings(max_examples=examples(60), deadline=None)
@given(exported())
def test_whatever_was_drawn_gets_it_once_behind_the_loader_and_still_fuses(drawn: Exported) -> None:
    model = drawn.template
    for lora in (ONE, BOTH):
        graph = with_lora(model.graph, lora)
        (loader,) = [link for _, link in graph[LORA_NODE].links() if graph[link.node].class_type == LOADER]
        assert [name for name, each in graph.items() if loader in dict(each.links()).values()] == [LORA_NODE]
        assert graph[LORA_NODE].inputs["lora_name"] == ONE.file
        assert graph[LORA_NODE].inputs["strength_model"] == 0.75
        assert graph[LORA_NODE].inputs.get("strength_clip") == (0.75 if lora.clip else None)
        assert refusals(graph) == []
        assert fusible(replace(model, graph=graph)) == fusible(model)
        if fusible(model) is None:
            asked = [request(prompt=words, seed=n, lora=lora) for n, words in enumerate(("fox", "owl"))]
            joint = fuse(model, asked, keys=["0" * 32, "1" * 32], source_names=[[], []]).graph
            assert [each.class_type for each in joint.values()].count(graph[LORA_NODE].class_type) >= 1
            assert refusals(joint) == []


LOADER = "UnetLoaderGGUF"


@settings(max_examples=examples(60), deadline=None)
@given(exported(), st.permutations([None, ONE, BOTH, replace(ONE, strength=0.5)]))
def test_people_with_unequal_loras_never_share_a_graph_and_each_gets_their_own_alone(
    drawn: Exported, loras: list[LoraUse | None]
) -> None:
    model = drawn.template
    people = [request(prompt="fox", seed=n, lora=lora) for n, lora in enumerate(loras[:2])]
    with pytest.raises(Unfusible):
        fuse(model, people, keys=["0" * 32, "1" * 32], source_names=[[], []])
    for person in people:
        found = plain(model, person, key="0" * 32, source_names=[]).graph.get(LORA_NODE)
        assert (found and found.inputs["strength_model"]) == (person.lora and person.lora.strength)


@pytest.mark.parametrize("name", sorted(SHIPPED | LIBRARY))
def test_every_model_of_ours_that_draws_takes_one(name: str) -> None:
    model = (SHIPPED | LIBRARY)[name]
    if name == "upscale":
        with pytest.raises(NoPlaceForLora, match="no node of the workflow loads a model"):
            with_lora(model.graph, ONE)
        return
    graph = with_lora(model.graph, ONE)
    assert graph[LORA_NODE].class_type == "LoraLoaderModelOnly"
    assert fusible(replace(model, graph=graph)) == fusible(model)


def drawn(**more: dict[str, Any]) -> Any:
    return read_graph(
        {
            "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
            "2": node("CLIPTextEncode", text="", clip=["1", 1]),
            "3": node("KSampler", model=["1", 0], positive=["2", 0]),
            **more,
        }
    )


def test_a_checkpoints_text_encoder_is_changed_only_if_that_is_asked_for() -> None:
    graph = with_lora(drawn(), ONE)
    assert (graph["3"].inputs["model"], graph["2"].inputs["clip"]) == (Link(LORA_NODE, 0), Link("1", 1))
    graph = with_lora(drawn(), BOTH)
    assert (graph["3"].inputs["model"], graph["2"].inputs["clip"]) == (Link(LORA_NODE, 0), Link(LORA_NODE, 1))
    assert write_graph(graph)[LORA_NODE] == {
        "class_type": "LoraLoader",
        "inputs": {
            "model": ["1", 0],
            "clip": ["1", 1],
            "lora_name": "one.safetensors",
            "strength_model": 0.75,
            "strength_clip": 0.75,
        },
    }


def test_every_user_of_the_model_gets_it() -> None:
    graph = with_lora(drawn(**{"4": node("BasicScheduler", model=["1", 0])}), ONE)
    assert graph["4"].inputs["model"] == Link(LORA_NODE, 0)


REFINED = {
    "5": node("UNETLoader", unet_name="b.safetensors"),
    "6": node("KSampler", model=["5", 0], positive=["2", 0]),
}


@pytest.mark.parametrize(
    ("more", "lora", "words"),
    [
        (REFINED, ONE, "node 1 (CheckpointLoaderSimple) and node 5 (UNETLoader) each load a model"),
        (
            {"5": node("SomebodysLoader"), "3": node("KSampler", model=["5", 0], positive=["2", 0])},
            ONE,
            "it is not known how node 5 (SomebodysLoader) loads the model",
        ),
        (
            {
                "5": node("DualCLIPLoader"),
                "6": node("CLIPTextEncode", text="", clip=["5", 0]),
            },
            BOTH,
            "each load a text encoder",
        ),
        (
            {
                "5": node("UNETLoader", unet_name="b.safetensors"),
                "6": node("SomebodysMerge", model=["1", 0], refiner=["5", 0]),
                "3": node("KSampler", model=["6", 0], positive=["2", 0]),
            },
            ONE,
            "each load a model",
        ),
        ({"3": node("SaveImage")}, ONE, "no node of the workflow loads a model"),
    ],
)
def test_where_it_is_not_certain_it_is_refused(more: dict[str, Any], lora: LoraUse, words: str) -> None:
    with pytest.raises(NoPlaceForLora) as refused:
        with_lora(drawn(**more), lora)
    assert words in str(refused.value)
