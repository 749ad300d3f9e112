"""A workflow without a card: what its graph says is used, and what it does not say is reported."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from modules.ai.fusion.fuse import fusible
from modules.ai.models.derivation import derive, label_of
from modules.ai.models.drawing import Underivable
from modules.ai.models.matching import mismatches
from modules.ai.workflows.cards import BadCard, ModelCard, read_card
from modules.ai.workflows.graph import BadGraph, read_graph, write_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from tests.workflow_graphs import node

_DATA = Path(__file__).parents[2] / "data"
EXPORTS: dict[str, Any] = json.loads(gzip.decompress((_DATA / "frontend_exports.json.gz").read_bytes()))
EXPECTED: dict[str, dict[str, Any]] = json.loads((_DATA / "derived_cards.json").read_text(encoding="utf-8"))
MADE = [name for name, told in EXPECTED.items() if "told" not in told]


def derived(graph: dict[str, Any], **written: Any) -> tuple[ModelCard, dict[str, Any], tuple[str, ...]]:
    """The card, the graph it speaks of, and the notes."""
    found = derive(read_graph(json.loads(json.dumps(graph))), bundled_table(), written, label="x")
    card = read_card(found.fields)
    assert list(mismatches(card, found.graph)) == []
    return card, write_graph(found.graph), found.notes


def places(card: ModelCard, role: Any) -> list[str]:
    return [str(place) for place in card.places(role)]


# ── ComfyUI's own templates ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MADE)
def test_a_template_of_comfyuis_gets_the_card_that_a_person_would_write(name: str) -> None:
    card, _, _ = derived(EXPORTS[name])
    told: dict[str, Any] = {"kind": card.kind, "steps": card.steps, "least": card.source_count[0]}
    told |= {role: places(card, role) for role in ("prompt", "negative")}
    told["sources"] = [place.node for place in card.places("sources")]
    told["size"] = str(card.default_size).replace("×", "x") if card.kind == "imagine" else ""
    told["upscale"] = card.upscale if card.kind == "upscale" else 0
    assert {key: value for key, value in told.items() if value} == EXPECTED[name]


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in MADE])
def test_a_template_that_is_no_model_is_told_by_node_and_field(name: str) -> None:
    with pytest.raises(Underivable, match=re.escape(EXPECTED[name]["told"])):
        derived(EXPORTS[name])


@pytest.mark.parametrize("name", [name for name in EXPORTS if name not in EXPECTED])
def test_a_template_of_videos_or_sounds_is_told(name: str) -> None:
    with pytest.raises(Underivable):
        derived(EXPORTS[name])


# ── kinds of graphs ─────────────────────────────────────────────────────────────────────────────


def painting(**more: Any) -> dict[str, Any]:
    """A graph that paints, with some nodes put in place of its own (or taken out, by None)."""
    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "2": node("CLIPTextEncode", text="a hill", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="fog", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
        "5": sampler(),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="x"),
        **{name.lstrip("n"): more[name] for name in more},
    }
    return {name: there for name, there in graph.items() if there is not None}


def sampler(class_type: str = "KSampler", **inputs: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": 1,
        "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, **inputs,
    }  # fmt: skip
    return node(class_type, **{name: value for name, value in values.items() if value is not None})


def titled(title: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    return {**node(class_type, **inputs), "_meta": {"title": title}}


def test_a_prompt_is_never_put_where_something_may_leave_it_out() -> None:
    prompt = titled("Prompt", "PrimitiveStringMultiline", value="a cat")
    style = titled("Style", "PrimitiveStringMultiline", value="oil painting of a castle")
    ways = [
        node("Any Switch (rgthree)", any_01=["9", 0], any_02=["10", 0]),
        node("SomebodysTexts", text1=["9", 0], text2=["10", 0], select=1),
        node("JsonExtractString", json_string=["10", 0], key="prompt"),
        node(
            "RegexExtract", string=["10", 0], regex_pattern="<p>(.*)</p>", mode="First Group", group_index=1
        ),
        node("StringSubstring", string=["10", 0], start=0, end=4),
    ]
    for way in ways:
        card, _, notes = derived(painting(
            n8=way, n9=style, n10=prompt, n2=node("CLIPTextEncode", text=["8", 0], clip=["1", 1])
        ))  # fmt: skip
        assert places(card, "prompt") == ["2.text"], way
        assert "replace its whole text" in notes[0]
    joined = node("StringConcatenate", string_a=["11", 0], string_b=["10", 0], delimiter="")
    cut = node("StringSubstring", string=["9", 0], start=0, end=4)
    card, _, _ = derived(painting(
        n8=joined, n9=style, n10=prompt, n11=cut, n2=node("CLIPTextEncode", text=["8", 0], clip=["1", 1])
    ))  # fmt: skip
    assert places(card, "prompt") == ["10.value"]  # the author's own text may well be cut


def test_a_second_prompt_of_a_guider_is_a_second_prompt() -> None:
    def guided(cond2: list[Any], **more: Any) -> dict[str, Any]:
        return painting(
            n5=node("SamplerCustomAdvanced", noise=["20", 0], guider=["21", 0], sampler=["22", 0],
                    sigmas=["23", 0], latent_image=["4", 0]),
            n20=node("RandomNoise", noise_seed=5), n22=node("KSamplerSelect", sampler_name="euler"),
            n21=node("DualCFGGuider", model=["1", 0], cond1=["2", 0], cond2=cond2, negative=["3", 0],
                     cfg_conds=5.0, cfg_cond2_negative=2.0, style="regular"),
            n23=node("BasicScheduler", model=["1", 0], scheduler="normal", steps=20, denoise=1.0), **more,
        )  # fmt: skip

    fox = node("CLIPTextEncode", text="a red fox", clip=["1", 1])
    with pytest.raises(Underivable, match=r"node 24 .* each hold a prompt: write roles.prompt"):
        derived(guided(["24", 0], n24=fox))
    card, _, _ = derived(guided(["24", 0], n24=node("ReferenceLatent", conditioning=["3", 0])))
    assert (places(card, "prompt"), places(card, "negative")) == (["2.text"], ["3.text"])


def test_one_number_for_both_sides_offers_no_other_size() -> None:
    number = node("SomebodysNumber", value=1024)
    card, _, notes = derived(painting(
        n8=number, n4=node("EmptyLatentImage", width=["8", 0], height=["8", 0], batch_size=1)
    ))  # fmt: skip
    assert ([str(size) for size in card.sizes], places(card, "width")) == (["1024×1024"], [])
    assert "fits only one size" in notes[0]


def test_a_number_that_is_more_than_a_seed_is_no_place_for_a_seed() -> None:
    number = node("SomebodysNumber", value=20)
    with pytest.raises(Underivable, match="its seed cannot be set"):
        derived(painting(n8=number, n5=sampler(seed=["8", 0], denoise=["8", 0])))
    card, _, _ = derived(painting(n8=number, n5=sampler(seed=["8", 0])))
    assert places(card, "seed") == ["8.value"]


def test_a_switch_between_pictures_stays_as_its_author_set_it() -> None:
    card, graph, _ = derived(painting(
        n8=node("TextGenerate", clip=["1", 1], prompt="a cat", max_length=256),
        n2=node("CLIPTextEncode", text=["8", 0], clip=["1", 1]), n9=node("LoadImage", image="a.png"),
        n10=node("ComfySwitchNode", switch=True, on_true=["6", 0], on_false=["9", 0]),
        n7=node("SaveImage", images=["10", 0], filename_prefix="x"),
    ))  # fmt: skip
    assert (card.kind, graph["7"]["inputs"]["images"]) == ("imagine", ["6", 0])
    words = node("ComfySwitchNode", switch=True, on_true=["2", 0], on_false=["11", 0])
    card, graph, _ = derived(painting(
        n8=node("TextGenerate", clip=["1", 1], prompt="a cat", max_length=256), n10=words,
        n2=node("CLIPTextEncode", text=["8", 0], clip=["1", 1]), n5=sampler(positive=["10", 0]),
        n11=node("CLIPTextEncode", text="a cat", clip=["1", 1]),
    ))  # fmt: skip
    assert (places(card, "prompt"), graph["5"]["inputs"]["positive"]) == (["11.text"], ["11", 0])


def test_more_pictures_than_can_be_given_are_told() -> None:
    loaders = {f"n2{number}": node("LoadImage", image="a.png") for number in range(1000, 1009)}
    graph = painting(**loaders)
    last = ["21000", 0]
    for number in range(1001, 1009):
        graph[f"3{number}"] = node("ImageBatch", image1=last, image2=[f"2{number}", 0])
        last = [f"3{number}", 0]
    graph["4"] = node("VAEEncode", pixels=last, vae=["1", 2])
    with pytest.raises(Underivable, match=r"from 9 pictures, and at most 8 .* write roles\.sources"):
        derived(graph)


def test_what_stays_of_several_texts_and_pictures_is_said() -> None:
    told = titled("Background prompt", "CLIPTextEncode", text="a forest", clip=["1", 1])
    both = node("ConditioningCombine", conditioning_1=["2", 0], conditioning_2=["9", 0])
    card, _, notes = derived(painting(n9=told, n8=both, n5=sampler(positive=["8", 0])))
    assert places(card, "prompt") == ["9.text"]
    assert notes == ("node 2 (CLIPTextEncode): its text 'a hill' is the author's, and stays",)
    card, _, notes = derived(painting(
        n8=node("ImageScaleBy", image=["6", 0], scale_by=2.0, upscale_method="area"),
        n9=node("SaveImage", images=["8", 0], filename_prefix="y"),
    ))  # fmt: skip
    assert places(card, "output") == ["9.images"]
    assert notes == ("node 9 (SaveImage): of several pictures, this one is delivered",)


def test_sizes_are_followed_through_primitives_and_arithmetic() -> None:
    card, graph, _ = derived(painting(
        n20=node("PrimitiveInt", value=1085), n21=node("PrimitiveInt", value=1920),
        n22=node("ComfyMathExpression", **{"expression": "a & -8", "values.a": ["20", 0]}),
        n4=node("EmptyLatentImage", width=["22", 1], height=["21", 0], batch_size=1),
    ))  # fmt: skip
    assert (str(card.default_size), card.size_multiple) == ("1080×1920", 8)
    assert places(card, "width") == ["4.width"]
    assert graph["4"]["inputs"]["width"] == 1080
    assert all(size.width % 8 == 0 and size.height % 8 == 0 for size in card.sizes)


def test_every_node_that_knows_the_size_is_told_the_chosen_one() -> None:
    encoder = node(
        "CLIPTextEncodeSDXL", clip=["1", 1], text_g="a hill", text_l="a hill", width=4096, height=4096,
        crop_w=0, crop_h=0, target_width=832, target_height=1216,
    )  # fmt: skip
    card, _, _ = derived(painting(n2=encoder))
    assert places(card, "width") == ["2.target_width", "4.width"]
    assert places(card, "prompt") == ["2.text_g", "2.text_l"]


def test_a_graph_drawn_for_one_size_has_only_that_one() -> None:
    larger = node(
        "LatentUpscale", samples=["5", 0], upscale_method="area", width=1248, height=1824, crop="disabled"
    )
    second = sampler(latent_image=["8", 0], denoise=0.5)
    decode = node("VAEDecode", samples=["9", 0], vae=["1", 2])
    card, _, notes = derived(painting(n8=larger, n9=second, n6=decode))
    assert [str(size) for size in card.sizes] == ["1248×1824"]
    assert not card.places("width")
    assert "node 8 (LatentUpscale): it fits only one size" in notes[0]
    assert card.steps == 40


def test_a_size_that_the_author_worked_something_else_out_of_cannot_be_chosen() -> None:
    graph = painting(
        n20=node("PrimitiveInt", value=512),
        n4=node("EmptyLatentImage", width=["20", 0], height=768, batch_size=1),
        n21=node("ComfyMathExpression", **{"expression": "a * 2", "values.a": ["20", 0]}),
        n22=node("ImageScaleToMaxDimension", image=["6", 0], upscale_method="area", largest_size=["21", 1]),
        n7=node("SaveImage", images=["22", 0], filename_prefix="x"),
    )  # fmt: skip
    card, folded, (note,) = derived(graph)
    assert ([str(size) for size in card.sizes], card.places("width")) == (["512×768"], ())
    assert folded["22"]["inputs"]["largest_size"] == 1024
    assert note.startswith("node 22 (ImageScaleToMaxDimension): it fits only one size")


def test_a_picture_with_something_at_a_certain_place_has_one_size() -> None:
    other = node("EmptyLatentImage", width=832, height=1216, batch_size=1)
    put = node("LatentComposite", samples_to=["4", 0], samples_from=["8", 0], x=64, y=0, feather=0)
    card, _, (note,) = derived(painting(n8=other, n9=put, n5=sampler(latent_image=["9", 0])))
    assert (len(card.sizes), note) == (
        1, "node 9 (LatentComposite): it fits only one size, so people cannot choose another",
    )  # fmt: skip


def test_numbers_are_found_in_nodes_of_other_packs_that_hold_one() -> None:
    graph = painting(
        n20=node("Int", Number=640), n21=node("easy int", value=960), n22=node("Steps", steps=7, name="x"),
        n4=node("EmptyLatentImage", width=["20", 0], height=["21", 0], batch_size=1),
        n5=sampler(steps=["22", 0]),
    )  # fmt: skip
    card, _, _ = derived(graph)
    assert (places(card, "width"), places(card, "height")) == (["20.Number"], ["21.value"])
    assert (str(card.default_size), card.steps) == ("640×960", 7)


@pytest.mark.parametrize(
    ("parts", "steps"),
    [
        ({"sigmas": node("BasicScheduler", model=["1", 0], scheduler="normal", steps=30, denoise=0.4)}, 30),
        ({"sigmas": node("SplitSigmas", sigmas=["21", 0], step=12)}, 12),
        ({"sigmas": node("ManualSigmas", sigmas="14.6, 3.1, 1, 0")}, 3),
        ({"sigmas": node("FlipSigmas", sigmas=["21", 0])}, 25),
    ],
)
def test_steps_are_those_that_the_sampler_takes(parts: dict[str, Any], steps: int) -> None:
    custom = sampler(
        "SamplerCustom",
        steps=None,
        seed=None,
        noise_seed=1,
        add_noise=True,
        sampler=["22", 0],
        sigmas=["20", 0],
    )
    card, _, _ = derived(painting(
        n5=custom, n20=parts["sigmas"], n22=node("KSamplerSelect", sampler_name="euler"),
        n21=node("KarrasScheduler", steps=25, sigma_max=14.6, sigma_min=0.03, rho=7.0),
    ))  # fmt: skip
    assert card.steps == steps


def test_a_refiners_steps_add_up_and_both_read_the_same_prompt() -> None:
    base = sampler(
        "KSamplerAdvanced", seed=None, denoise=None, noise_seed=3, add_noise="enable", steps=25,
        start_at_step=0, end_at_step=20, return_with_leftover_noise="enable",
    )  # fmt: skip
    refiner = sampler(
        "KSamplerAdvanced", seed=None, denoise=None, noise_seed=0, add_noise="disable", steps=25,
        positive=["8", 0], start_at_step=20, end_at_step=10000, return_with_leftover_noise="disable",
        latent_image=["5", 0],
    )  # fmt: skip
    card, _, _ = derived(painting(
        n5=base, n9=refiner, n8=node("CLIPTextEncode", text="a hill, sharp", clip=["1", 1]),
        n6=node("VAEDecode", samples=["9", 0], vae=["1", 2]),
    ))  # fmt: skip
    assert (card.steps, places(card, "seed"), places(card, "prompt")) == (
        25,
        ["5.noise_seed"],
        ["2.text", "8.text"],
    )


def test_the_authors_text_stays_around_a_persons() -> None:
    graph = painting(
        n20=titled("LoRA trigger", "PrimitiveString", value="xyz style, "),
        n21=titled("Your prompt", "PrimitiveStringMultiline", value="a hill"),
        n22=node("StringConcatenate", string_a=["20", 0], string_b=["21", 0], delimiter=""),
        n2=node("CLIPTextEncode", text=["22", 0], clip=["1", 1]),
    )
    card, folded, notes = derived(graph)
    assert places(card, "prompt") == ["21.value"]
    assert folded["22"]["inputs"] == {"string_a": "xyz style, ", "string_b": ["21", 0], "delimiter": ""}
    assert notes == ()


def test_which_of_joined_texts_is_the_persons_may_be_told_by_the_words() -> None:
    graph = painting(
        n22=node("StringConcatenate", string_a="a hill", string_b="in oil style, 8k", delimiter=", "),
        n2=node("CLIPTextEncode", text=["22", 0], clip=["1", 1]),
    )
    card, _, (note,) = derived(graph)
    assert places(card, "prompt") == ["22.string_a"]
    assert "a person's words replace 'a hill' in it, and the rest stays" in note


def test_a_form_that_a_prompt_is_filled_into_stays_and_another_description_does_not() -> None:
    graph = painting(
        n20=titled("Form", "PrimitiveStringMultiline", value="You are a painter. {prompt} {mood}"),
        n21=node("PrimitiveStringMultiline", value="a hill"),
        n22=node("StringReplace", string=["20", 0], find="{prompt}", replace=["21", 0]),
        n23=node("StringReplace", string=["22", 0], find="{mood}", replace="calm"),
        n2=node("CLIPTextEncode", text=["23", 0], clip=["1", 1]),
    )
    assert places(derived(graph)[0], "prompt") == ["21.value"]
    graph["23"]["inputs"]["replace"] = "a witch in a wide hat, " * 20
    card, _, (note,) = derived(graph)
    assert places(card, "prompt") == ["2.text"]
    assert "a person's words replace its whole text" in note


def test_where_nothing_tells_them_apart_a_person_replaces_the_whole_text() -> None:
    graph = painting(
        n22=node("StringConcatenate", string_a="a hill", string_b="a tree", delimiter=", "),
        n2=node("CLIPTextEncode", text=["22", 0], clip=["1", 1]),
    )
    card, folded, (note,) = derived(graph)
    assert places(card, "prompt") == ["2.text"]
    assert folded["2"]["inputs"]["text"] == "a hill, a tree"
    assert "a person's words replace its whole text; to keep some of it, write roles.prompt" in note
    card, folded, _ = derived(graph, roles={"prompt": "22.string_b"})
    assert folded["22"]["inputs"]["string_a"] == "a hill"


def test_two_prompts_are_told_apart_by_their_titles_or_refused() -> None:
    area = node("ConditioningSetArea", conditioning=["8", 0], width=512, height=512, x=0, y=0, strength=1.0)
    second = node("CLIPTextEncode", text="a lake", clip=["1", 1])
    both = node("ConditioningCombine", conditioning_1=["2", 0], conditioning_2=["9", 0])
    graph = painting(n8=second, n9=area, n10=both, n5=sampler(positive=["10", 0]))
    with pytest.raises(Underivable, match=r"node 2 .* and node 8 .* each hold a prompt: write roles\.prompt"):
        derived(graph)
    graph["2"]["_meta"], graph["8"]["_meta"] = {"title": "Prompt"}, {"title": "Style"}
    assert places(derived(graph)[0], "prompt") == ["2.text"]


def test_an_empty_text_beside_a_prompt_is_not_another_prompt() -> None:
    empty = node("CLIPTextEncode", text=" ", clip=["1", 1])
    both = node("ConditioningConcat", conditioning_to=["2", 0], conditioning_from=["8", 0])
    assert places(derived(painting(n8=empty, n9=both, n5=sampler(positive=["9", 0])))[0], "prompt") == [
        "2.text"
    ]


def test_a_negative_prompt_that_is_computed_stays_so() -> None:
    graph = painting(
        n3=node("CLIPTextEncode", text=["8", 0], clip=["1", 1]), n8=node("Tagger", threshold=0.3)
    )
    assert (derived(graph)[0].negative, places(derived(graph)[0], "prompt")) == ("none", ["2.text"])


def test_a_negative_prompt_is_read_where_guidance_makes_use_of_it() -> None:
    assert (derived(painting())[0].negative, places(derived(painting())[0], "negative")) == (
        "own",
        ["3.text"],
    )
    assert derived(painting(n5=sampler(cfg=1.0)))[0].negative == "none"
    zeroed = painting(n3=node("ConditioningZeroOut", conditioning=["2", 0]))
    assert derived(zeroed)[0].negative == "none"


def test_a_prompt_is_enhanced_only_if_the_card_says_so() -> None:
    graph = painting(
        n20=node("PrimitiveStringMultiline", value="a hill"),
        n21=node("TextGenerate", clip=["1", 1], prompt=["20", 0], max_length=9, sampling_mode="off"),
        n22=node("ComfySwitchNode", switch=True, on_false=["20", 0], on_true=["21", 0]),
        n2=node("CLIPTextEncode", text=["22", 0], clip=["1", 1]),
    )
    assert derived(graph)[1]["2"]["inputs"]["text"] == ["20", 0]
    card, folded, _ = derived(graph, enhance_prompt=True)
    assert (folded["2"]["inputs"]["text"], places(card, "prompt")) == (["21", 0], ["20.value"])


def test_the_last_of_several_outputs_is_the_picture_and_two_different_ones_are_told() -> None:
    enlarged = node("ImageScaleBy", image=["6", 0], upscale_method="lanczos", scale_by=2.0)
    last = node("SaveImage", images=["8", 0], filename_prefix="x")
    assert places(derived(painting(n8=enlarged, n9=last))[0], "output") == ["9.images"]
    inverted = node("ImageInvert", image=["6", 0])
    other = node("SaveImage", images=["10", 0], filename_prefix="x")
    with pytest.raises(Underivable, match=r"3 different pictures are made .*: write roles\.output"):
        derived(painting(n8=enlarged, n9=last, n10=inverted, n11=other))
    second = sampler(latent_image=["5", 0], denoise=0.5)
    decoded = node("VAEDecode", samples=["8", 0], vae=["1", 2])
    fixed = painting(n8=second, n10=decoded, n9=node("SaveImage", images=["10", 0], filename_prefix="x"))
    assert places(derived(fixed)[0], "output") == ["9.images"]
    shown = node("PreviewImage", images=["6", 0])
    assert places(derived(painting(n7=shown))[0], "output") == ["7.images"]
    with pytest.raises(Underivable, match=r"node 8 \(SaveVideo\): it saves more than pictures"):
        derived(painting(n8=node("SaveVideo", video=["6", 0])))


def test_an_output_that_something_settled_takes_is_still_one() -> None:
    graph = painting(
        n8=node("ComfySwitchNode", switch=True, on_true="a", on_false=["7", 0]),
        n9=node("PreviewAny", source=["8", 0]),
    )
    assert places(derived(graph)[0], "output") == ["7.images"]


def test_a_picture_out_of_a_video_is_told() -> None:
    frames = node("EmptyHunyuanLatentVideo", width=832, height=480, length=33, batch_size=1)
    with pytest.raises(Underivable, match="it makes a video of 33 frames"):
        derived(painting(n4=frames))
    assert derived(painting(n4={**frames, "inputs": {**frames["inputs"], "length": 1}}))[0].kind == "imagine"


def test_several_pictures_of_one_request_are_noted() -> None:
    repeated = node("RepeatLatentBatch", samples=["4", 0], amount=4)
    (note,) = derived(painting(n8=repeated, n5=sampler(latent_image=["8", 0])))[2]
    assert note == "node 8 (RepeatLatentBatch): it makes several pictures for each request; only one is kept"


def edit(**more: Any) -> dict[str, Any]:
    encoded = node("VAEEncode", pixels=["20", 0], vae=["1", 2])
    return painting(n20=node("LoadImage", image="a.png"), n4=encoded, **more)


def test_a_mask_beside_a_picture_stays_the_authors() -> None:
    masked = node("SetLatentNoiseMask", samples=["4", 0], mask=["21", 1])
    graph = edit(n21=node("LoadImage", image="mask.png"), n22=masked, n5=sampler(latent_image=["22", 0]))
    card, _, (note,) = derived(graph)
    assert (card.kind, places(card, "sources"), card.source_count) == ("edit", ["20.image"], (1, 1))
    assert note == "node 21 (LoadImage): its picture mask.png is the author's, and stays"


def test_a_picture_that_can_be_left_out_is_given_after_those_that_are_needed() -> None:
    graph = edit(
        n2=node(
            "TextEncodeQwenImageEditPlus", clip=["1", 1], prompt="a hill", image1=["20", 0], image2=["10", 0]
        ),
        n10=node("LoadImage", image="b.png"),
    )
    card, _, _ = derived(graph)
    assert (places(card, "sources"), card.source_count) == (["20.image", "10.image"], (1, 2))
    assert places(card, "prompt") == ["2.prompt"]


@pytest.mark.parametrize(
    ("file", "factor"),
    [("4x-UltraSharp.pth", 4), ("RealESRGAN_x2plus.pth", 2), ("8x_NMKD.pt", 8), ("nobody.pth", None)],
)
def test_an_upscalers_factor_is_that_of_its_model(file: str, factor: int | None) -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("UpscaleModelLoader", model_name=file),
        "3": node("ImageUpscaleWithModel", upscale_model=["2", 0], image=["1", 0]),
        "4": node("ImageScaleBy", image=["3", 0], upscale_method="area", scale_by=0.5),
        "5": node("SaveImage", images=["4", 0], filename_prefix="x"),
    }
    if factor is None:
        with pytest.raises(Underivable, match=r"node 3 .*: write upscale"):
            derived(graph)
        assert derived(graph, upscale=2)[0].upscale == 2
    else:
        graph["4"]["inputs"]["scale_by"] = 1.0
        card, _, _ = derived(graph)
        assert (card.kind, card.upscale, card.steps) == ("upscale", factor, 1)


def test_an_upscaler_that_retouches_reads_no_words() -> None:
    whole = sampler(
        "UltimateSDUpscale", latent_image=None, image=["20", 0], upscale_by=2.0, denoise=0.2, vae=["1", 2],
        upscale_model=["21", 0],
    )  # fmt: skip
    graph = painting(
        n4=None, n6=None, n20=node("LoadImage", image="a.png"), n5=whole,
        n21=node("UpscaleModelLoader", model_name="4x.pth"), n7=node("SaveImage", images=["5", 0]),
    )  # fmt: skip
    card, _, _ = derived(graph)
    assert (card.kind, card.upscale, places(card, "prompt"), places(card, "seed")) == (
        "upscale",
        2.0,
        [],
        ["5.seed"],
    )


def test_what_another_pack_loads_and_paints_is_read_by_the_names_of_its_inputs() -> None:
    graph = {
        "1": node(
            "Efficient Loader", ckpt_name="a.safetensors", positive="a hill", negative="fog", batch_size=4,
            empty_latent_width=512, empty_latent_height=768,
        ),
        "2": sampler(
            "KSampler (Efficient)", positive=["1", 1], negative=["1", 2], latent_image=["1", 3], seed=["3", 0]
        ),
        "3": node("Seed (rgthree)", seed=5),
        "4": node("Image Save", images=["2", 5], output_path=""),
    }  # fmt: skip
    card, _, _ = derived(graph)
    told = {role: places(card, role) for role in card.roles}
    assert told == {
        "prompt": ["1.positive"], "negative": ["1.negative"], "seed": ["3.seed"], "batch": ["1.batch_size"],
        "width": ["1.empty_latent_width"], "height": ["1.empty_latent_height"], "output": ["4.images"],
    }  # fmt: skip
    assert (str(card.default_size), card.steps) == ("512×768", 20)


# ── what is written beside it ───────────────────────────────────────────────────────────────────


def test_what_is_written_is_not_derived() -> None:
    unknown = painting(n4=node("SomebodysLatent", shape="square"))
    with pytest.raises(Underivable, match=r"node 4 \(SomebodysLatent\): .* how large .*: write sizes"):
        derived(unknown)
    card, _, _ = derived(unknown, sizes=["640x640"], steps=20, label="Mine", max_batch=2)
    assert (card.label, str(card.default_size), card.max_batch) == ("Mine", "640×640", 2)
    assert places(card, "prompt") == ["2.text"]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"kind": "paint"}, "kind: 'paint' is not one of"),
        ({"kind": 3}, "kind: 3 is given where a"),
        ({"roles": 3}, "roles: 3 is given where a"),
        ({"roles": {"prompt": 3}}, "roles.prompt: "),
        ({"roles": {"output": "99.images"}}, "roles.output: 99.images: there is no node 99"),
        ({"colour": "red"}, "colour: no such field"),
        ({"label": 3}, "label: 3 is given where a"),
    ],
)
def test_a_card_that_is_wrong_is_told_by_its_field(written: dict[str, Any], told: str) -> None:
    with pytest.raises(BadCard, match=re.escape(told)):
        derived(painting(), **written)


def test_a_label_is_the_name_of_its_file() -> None:
    assert [label_of(stem) for stem in ("my_flux", "My Flux 2", "sdxl  turbo")] == [
        "My Flux",
        "My Flux 2",
        "Sdxl Turbo",
    ]
    assert len(label_of("x" * 99)) == 60


# ── graphs that nobody would draw ───────────────────────────────────────────────────────────────

_ODD = [0, -1, 1.5, True, None, "", "x", [1, 2], {"a": 1}, {"__value__": [1]}, 2**70, "512"]


@pytest.mark.parametrize("seed", range(300))
def test_a_spoiled_graph_is_a_card_or_a_sentence(seed: int) -> None:
    drawn = random.Random(seed)
    graph = json.loads(json.dumps(EXPORTS[drawn.choice(MADE)]))
    for _ in range(drawn.randint(1, 6)):
        spoiled, names = graph[drawn.choice(list(graph))], list(bundled_table())
        name = drawn.choice(list(spoiled["inputs"]) or ["x"])
        link = [drawn.choice(list(graph)), drawn.randint(-1, 4)]
        drawn.choice([
            lambda spoiled=spoiled, name=name: spoiled["inputs"].pop(name, None),
            lambda spoiled=spoiled, name=name: spoiled["inputs"].update({name: drawn.choice(_ODD)}),
            lambda spoiled=spoiled, name=name, link=link: spoiled["inputs"].update({name: link}),
            lambda spoiled=spoiled, names=names: spoiled.update(class_type=drawn.choice([*names, "Nobody"])),
        ])()  # fmt: skip
    written = drawn.choice(
        [{}, {"kind": drawn.choice(["imagine", "edit", "upscale"])}, {"enhance_prompt": True}]
    )
    with contextlib.suppress(Underivable, BadCard, BadGraph):
        found = derive(read_graph(graph), bundled_table(), written, label="x")
        card = read_card(found.fields)
        if next(mismatches(card, found.graph), None) is None:
            fusible(WorkflowTemplate(name="x", card=card, graph=found.graph))
