"""Which graphs can start from a picture or paint a part of one, how, and why the others cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.ai import node_pack as pack
from modules.ai.fusion.fuse import fuse, mask_use, plain, why_no_mask, why_no_start
from modules.ai.fusion.samplers import Unfusible
from modules.ai.models.derivation import derive
from modules.ai.models.loading import read_models
from modules.ai.workflows.cards import read_card
from modules.ai.workflows.graph import Graph, Link, Node, read_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import (
    GenerationRequest,
    LoraUse,
    Size,
    SourceImage,
    Variation,
    batch_key,
)
from tests.examples import examples
from tests.fakes import request
from tests.workflow_graphs import SHIPPED, node

LIBRARY, _ = read_models(Path(__file__).parents[3] / "flujos" / "library")
SIZE = Size(width=1024, height=1024)
OWN = SourceImage(key="p", size=SIZE)
MASK = SourceImage(key="m", size=SIZE)
LORA = LoraUse(name="one", label="One", file="one.safetensors", strength=0.75)
LOADERS = ("LoadImage", "LoadImageMask")


def made(name: str, **how: Any) -> Graph:
    """What runs alone for a request of a shipped model."""
    template = SHIPPED[name]
    asked = request(model=name, kind=template.card.kind, sources=(OWN,), **how)
    names = ["p.png", *(["m.png"] if asked.mask is not None else [])]
    return plain(template, asked, key="0" * 32, source_names=names).graph


def test_all_models_of_the_library_can_but_upscalers() -> None:
    found = {name: (model.template.starts, model.template.masks) for name, model in LIBRARY.items()}
    painters = {name for name, model in LIBRARY.items() if model.template.card.kind == "imagine"}
    assert {name for name, (starts, _) in found.items() if starts} == painters
    assert {name for name, (_, masks) in found.items() if masks == "none"} == {"seedvr2-upscale"}
    assert {name for name, (_, masks) in found.items() if masks == "best"} == {"flux1-fill-wider"}


def test_ksampler_takes_the_strength_as_its_denoise() -> None:
    graph = made("z-image", strength=0.35)
    (sampler,) = [node for node in graph.values() if node.class_type == "KSampler"]
    assert sampler.inputs["denoise"] == 0.35
    start = sampler.inputs["latent_image"]
    assert graph[start.node] == Node(
        class_type="VAEEncode", inputs={"pixels": Link("fullet_start", 0), "vae": Link("3", 0)}
    )
    assert graph["fullet_start"].inputs == {"image": "p.png"}
    assert not any(node.class_type.startswith("Empty") for node in graph.values())


@pytest.mark.parametrize(("strength", "total"), [(0.05, 80), (0.6, 6), (1.0, 4)])
def test_a_scheduler_without_a_denoise_makes_more_steps_of_which_the_last_ones_run(
    strength: float, total: int
) -> None:
    graph = made("flux", strength=strength)
    (sampler,) = [node for node in graph.values() if node.class_type == "SamplerCustomAdvanced"]
    levels = sampler.inputs["sigmas"]
    late = graph[levels.node]
    assert (levels.slot, late.class_type, late.inputs["step"]) == (1, "SplitSigmas", total - 4)
    schedule = graph[late.inputs["sigmas"].node]
    assert (schedule.class_type, schedule.inputs["steps"]) == ("Flux2Scheduler", total)


def test_a_mask_lies_on_the_latent_and_the_rest_is_put_back_at_the_end() -> None:
    graph = made("flux", mask=MASK)
    (sampler,) = [node for node in graph.values() if node.class_type == "SamplerCustomAdvanced"]
    masked = graph[sampler.inputs["latent_image"].node]
    assert masked.class_type == "SetLatentNoiseMask"
    assert graph[masked.inputs["mask"].node].class_type == "ThresholdMask"
    kept = graph[graph["fullet_save"].inputs["images"].node]
    assert kept.class_type == "ImageCompositeMasked"
    assert kept.inputs["destination"] == Link("fullet_start", 0)
    assert graph[kept.inputs["mask"].node].inputs == {"image": "m.png", "channel": "red"}
    assert graph[sampler.inputs["sigmas"].node].class_type == "Flux2Scheduler"


def test_an_inpainting_model_gets_the_picture_and_the_mask_where_its_graph_has_them() -> None:
    template = LIBRARY["flux1-fill-wider"].template
    asked = request(model=template.name, kind="edit", sources=(OWN,), mask=MASK)
    graph = plain(template, asked, key="0" * 32, source_names=["p.png", "m.png"]).graph
    (filled,) = [node for node in graph.values() if node.class_type == "InpaintModelConditioning"]
    assert filled.inputs["pixels"] == Link("fullet_start", 0)
    assert graph[filled.inputs["mask"].node].class_type == "ThresholdMask"
    assert not any(node.class_type == "ImagePadForOutpaint" for node in graph.values())
    without = plain(template, replace(asked, mask=None), key="0" * 32, source_names=["p.png"]).graph
    assert any(node.class_type == "ImagePadForOutpaint" for node in without.values())


@pytest.mark.parametrize("encoder", ["VAEEncodeForInpaint", "SetLatentNoiseMask"])
def test_a_workflow_that_takes_its_mask_from_the_picture_gets_the_persons_mask_there(encoder: str) -> None:
    encoded: dict[str, Any] = {
        "VAEEncodeForInpaint": {"pixels": ["4", 0], "vae": ["1", 2], "grow_mask_by": 6},
        "SetLatentNoiseMask": {"samples": ["10", 0]},
    }[encoder]
    drawn = {
        "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "2": node("CLIPTextEncode", text="x", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="y", clip=["1", 1]),
        "4": node("LoadImage", image="a.png"),
        "5": node(encoder, mask=["4", 1], **encoded),
        "7": node(
            "KSampler", model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["5", 0], seed=1,
            steps=20, cfg=7.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "8": node("VAEDecode", samples=["7", 0], vae=["1", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
        "10": node("VAEEncode", pixels=["4", 0], vae=["1", 2]),
    }  # fmt: skip
    derived = derive(read_graph(drawn), bundled_table(), {}, label="Mine")
    template = WorkflowTemplate(name="mine", card=read_card(derived.fields), graph=derived.graph)
    assert mask_use(template) == "must"
    asked = request(model="mine", kind="edit", size=SIZE, sources=(OWN,), mask=MASK)
    graph = plain(template, asked, key="0" * 32, source_names=["p.png", "m.png"]).graph
    (sampler,) = [each for each in graph.values() if each.class_type == "KSampler"]
    latent = graph[sampler.inputs["latent_image"].node]
    assert latent.class_type == encoder
    assert graph[latent.inputs["mask"].node].class_type == "ThresholdMask"
    assert not any(link == Link("4", 1) for each in graph.values() for _, link in each.links())


def test_each_persons_own_picture_and_mask_are_in_a_fused_graph() -> None:
    people = [request(prompt=f"{i}", seed=i, sources=(OWN,), mask=MASK) for i in range(2)]
    names = [[f"p{i}.png", f"m{i}.png"] for i in range(2)]
    graph = fuse(SHIPPED["flux"], people, keys=["0" * 32, "1" * 32], source_names=names).graph
    loaded = {node.inputs["image"] for node in graph.values() if node.class_type.startswith("LoadImage")}
    assert loaded == {"p0.png", "p1.png", "m0.png", "m1.png"}
    assert sum(node.class_type == "ImageCompositeMasked" for node in graph.values()) == 2
    assert sum(node.class_type == "SamplerCustomAdvanced" for node in graph.values()) == 1


def changed(name: str, *changes: tuple[str, dict[str, Any]], **more: Node) -> Any:
    """A shipped model with inputs of nodes changed, by class."""
    template, classes = SHIPPED[name], dict(changes)
    graph = {
        node_id: node.having(**classes.get(node.class_type, {})) for node_id, node in template.graph.items()
    }
    return replace(template, graph={**graph, **more})


ODD = replace(
    SHIPPED["z-image"],
    card=replace(SHIPPED["z-image"].card, sizes=(Size(width=1016, height=1000),)),
)
LEVELS = Node(class_type="ManualSigmas", inputs={"sigmas": "1, 0.5, 0"})
LARGER = Node(
    class_type="ImageScaleBy", inputs={"image": Link("9", 0), "upscale_method": "area", "scale_by": 2.0}
)


@pytest.mark.parametrize(
    ("template", "start", "mask"),
    [
        (changed("z-image", ("KSampler", {"denoise": 0.8})), "it has a denoise of its own", None),
        (changed("flux", ("Flux2Scheduler", {"steps": Link("7", 0)})), "its steps is computed", None),
        (
            changed("flux", ("SamplerCustomAdvanced", {"sigmas": Link("levels", 0)}), levels=LEVELS),
            "node levels (ManualSigmas): the bot does not know how to change its noise levels for a strength",
            None,
        ),
        (ODD, None, "its sizes are not all multiples of 16"),
        (
            changed("z-image", ("SaveImage", {"images": Link("larger", 0)}), larger=LARGER),
            None,
            "node larger (ImageScaleBy): it changes the picture after its first sampler",
        ),
    ],
)  # fmt: skip
def test_what_a_graph_cannot_is_said_with_the_node_that_is_the_reason(
    template: Any, start: str | None, mask: str | None
) -> None:
    for why, said in ((why_no_start(template), start), (why_no_mask(template), mask)):
        assert why is None if said is None else said in (why or "")
    if mask is not None:
        assert mask_use(template) == "none"


def test_a_request_that_its_graph_cannot_serve_is_refused_before_it_runs() -> None:
    template = changed("z-image", ("SaveImage", {"images": Link("larger", 0)}), larger=LARGER)
    with pytest.raises(Unfusible, match="changes the picture"):
        plain(template, request(sources=(OWN,), mask=MASK), key="0" * 32, source_names=["p", "m"])


def asked_of(name: str, masked: bool, **how: Any) -> GenerationRequest:
    starts = masked or how["strength"] is not None or SHIPPED[name].card.kind == "edit"
    how |= {"kind": SHIPPED[name].card.kind, "size": SIZE, "sources": (OWN,) if starts else ()}
    return request(model=name, prompt="fox", mask=MASK if masked else None, **how)


HOWS = st.fixed_dictionaries({
    "strength": st.sampled_from([None, 0.05, 0.4, 1.0]),
    "masked": st.booleans(),
    "lora": st.sampled_from([None, LORA, replace(LORA, strength=0.5), replace(LORA, clip=True)]),
    "seed": st.integers(0, 2**53 - 1),
    "variation": st.none() | st.builds(Variation, seed=st.integers(0, 9), strength=st.just(0.15)),
})  # fmt: skip


@settings(max_examples=examples(80), deadline=None)
@given(st.sampled_from(["flux", "z-image", "flux_edit"]), HOWS, HOWS)
def test_people_share_a_graph_only_under_one_key_and_each_row_has_their_own_pictures(
    name: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    template = SHIPPED[name]
    if template.card.kind == "edit":
        first, second = ({**each, "strength": None} for each in (first, second))
    people = [asked_of(name, **each) for each in (first, second)]
    names = [[f"{n}{i}.png" for i, _ in enumerate(each.inputs)] for n, each in zip("ab", people, strict=True)]
    keys = ["0" * 32, "1" * 32]
    if len({batch_key(each, template.offer()) for each in people}) > 1:
        with pytest.raises(Unfusible):
            fuse(template, people, keys=keys, source_names=names)
        return
    joint = fuse(template, people, keys=keys, source_names=names).graph
    pairs = zip(people, names, keys, strict=True)
    graphs = [joint, *[plain(template, *each[:1], key=each[2], source_names=each[1], mixes_noise=True).graph
                       for each in pairs]]  # fmt: skip
    loaded = [
        sorted(str(node.inputs["image"]) for node in graph.values() if node.class_type in LOADERS)
        for graph in graphs
    ]
    assert loaded[0] == sorted(loaded[1] + loaded[2])
    kept = [sum(node.class_type == "ImageCompositeMasked" for node in graph.values()) for graph in graphs]
    assert kept == [2 * first["masked"], first["masked"], first["masked"]]
    (save,) = [node for node in joint.values() if node.class_type == pack.SAVE]
    for i in range(2 if first["masked"] else 0):
        shown = joint[joint[save.inputs["images"].node].inputs[f"row{i}"].node].inputs
        assert [joint[shown[place].node].inputs["image"] for place in ("destination", "mask")] == names[i]
