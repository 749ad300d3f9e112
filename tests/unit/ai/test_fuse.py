"""Fusion: whatever people write reaches their own row unaltered, and whatever was drawn is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.ai.fusion.fuse import fuse, fusible, plain
from modules.ai.fusion.output_locations import KeptPicture, SavedFile, read_locations
from modules.ai.fusion.row_safety import KNOWN, MIXING, refuse_mixing
from modules.ai.fusion.samplers import Unfusible
from modules.ai.fusion.sources import scaling
from modules.ai.workflows.graph import Link, Node, read_graph, upstream, write_graph
from modules.queue_manager.jobs import GenerationRequest, Size, SourceImage, Variation, batch_key
from tests.examples import examples
from tests.fakes import request
from tests.workflow_graphs import SHIPPED, Exported, exported, node, refusals, template

NASTY = (
    'a "quoted" prompt', "back\\slash \\n \\u0041", "</s> <|endoftext|> <|im_end|>", "(weights:1.3) [[deep]]",
    "embedding:somebody:1.2", '", "another row', "]\n[", "\x00\x07\u2028\u202e\U0001f600",
    "@everyone **bold**",    "", "   ", "é" * 10_000, "9", "null", '["4", 0]', "{prompt}", "%batch_num%",
)  # fmt: skip
PROMPTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=60), st.text(alphabet='"\\[], \n', max_size=20))
SEEDS = st.integers(0, 2**53 - 1)
KEYS = [f"{n:032x}" for n in range(16)]


def fused(
    model: Any, requests: list[GenerationRequest], sources: list[list[str]] | None = None, **more: Any
) -> dict[str, Any]:
    """The graph as it is sent."""
    names = sources or [[] for _ in requests]
    return write_graph(fuse(model, requests, keys=KEYS[: len(requests)], source_names=names, **more).graph)


def of_class(graph: dict[str, Any], class_type: str) -> list[dict[str, Any]]:
    """The inputs of the nodes of one class."""
    return [node["inputs"] for node in graph.values() if node["class_type"] == class_type]


def each_row(graph: dict[str, Any], link: list[Any], *names: str) -> list[dict[str, Any]]:
    """The inputs of the node of each row before a join, reached from there by the inputs ``names``."""
    joined = graph[link[0]]
    assert joined["class_type"] == "JoinRows"
    rows = [joined["inputs"][f"row{row}"] for row in range(len(joined["inputs"]))]
    return [following(graph, row, *names)["inputs"] for row in rows]


def encoders(graph: dict[str, Any], link: list[Any]) -> list[str]:
    """The text of each row's conditioning that is joined in ``link``."""
    rows = each_row(graph, link)
    while any("text" not in row for row in rows):
        rows = [graph[row["conditioning"][0]]["inputs"] if "text" not in row else row for row in rows]
    return [row["text"] for row in rows]


def following(graph: dict[str, Any], link: list[Any], *names: str) -> dict[str, Any]:
    """The node reached from a link by the inputs ``names``."""
    for name in names:
        link = graph[link[0]]["inputs"][name]
    found: dict[str, Any] = graph[link[0]]
    return found


# ── prompts are data ────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(60))
@given(st.sampled_from(["flux", "z-image"]), st.lists(st.tuples(PROMPTS, SEEDS), min_size=1, max_size=8))
def test_every_prompt_and_seed_reaches_its_own_row_unaltered(
    model: str, asked: list[tuple[str, int]]
) -> None:
    graph = fused(SHIPPED[model], [request(prompt=prompt, model=model, seed=seed) for prompt, seed in asked])
    sent = json.loads(json.dumps(graph))
    (guider,) = of_class(sent, "CFGGuider")
    (noise,) = of_class(sent, "RandomNoiseBatch")
    (sampler,) = of_class(sent, "SamplerBatch")
    (save,) = of_class(sent, "SaveImageBatch")
    assert encoders(sent, guider["positive"]) == [prompt for prompt, _ in asked]
    assert json.loads(noise["seeds"]) == json.loads(sampler["seeds"]) == [seed for _, seed in asked]
    assert json.loads(save["keys"]) == KEYS[: len(asked)]
    assert refusals(fuse(
        SHIPPED[model], [request(prompt=prompt, model=model, seed=seed) for prompt, seed in asked],
        keys=KEYS[: len(asked)], source_names=[[]] * len(asked),
    ).graph) == []  # fmt: skip


@given(st.lists(PROMPTS, min_size=1, max_size=4, unique=True))
def test_no_prompt_changes_the_shape_of_the_graph(prompts: list[str]) -> None:
    """Prompts are told from structure by their place alone: with other texts the graph is the same."""
    harmless = fused(SHIPPED["flux"], [request(prompt=f"x{i}") for i in range(len(prompts))])
    graph = fused(SHIPPED["flux"], [request(prompt=prompt) for prompt in prompts])
    for sent in (graph, harmless):
        for encoder in of_class(sent, "CLIPTextEncode"):
            encoder["text"] = "…"
    assert graph == harmless


@given(PROMPTS, SEEDS)
def test_the_plain_graph_carries_the_prompt_as_the_stock_node_takes_it(prompt: str, seed: int) -> None:
    graph = write_graph(
        plain(SHIPPED["z-image"], request(prompt=prompt, seed=seed), key=KEYS[0], source_names=[]).graph
    )
    assert of_class(graph, "CLIPTextEncode") == [{"text": prompt, "clip": ["2", 0]}]
    assert of_class(graph, "KSampler")[0]["seed"] == seed


# ── any exported workflow ───────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(80))
@given(exported(), st.lists(st.tuples(PROMPTS, PROMPTS, SEEDS), min_size=1, max_size=5))
def test_an_exported_workflow_fuses_by_itself(drawn: Exported, asked: list[tuple[str, str, int]]) -> None:
    model = drawn.template
    assert fusible(model) is None
    requests = [
        request(prompt=prompt, negative=negative if drawn.negative == "own" else asked[0][1], seed=seed,
                size=Size(width=128, height=192), model=model.name)
        for prompt, negative, seed in asked
    ]  # fmt: skip
    result = fuse(model, requests, keys=KEYS[: len(asked)], source_names=[[]] * len(asked))
    graph = write_graph(result.graph)
    assert refusals(result.graph) == []

    # what the author drew stands as it stood, but for the size, the rows and who feeds them
    for node_id in drawn.kept:
        before, after = drawn.graph[node_id], graph[node_id]
        assert after["class_type"] == before["class_type"]
        changed = {"width": 128, "height": 192, "batch_size": 1}
        expected = {name: changed.get(name, value) for name, value in before["inputs"].items()}
        assert after["class_type"] == "VAEDecode" or after["inputs"] == expected
    decoded = each_row(graph, of_class(graph, "SaveImageBatch")[0]["images"])
    assert [graph[row["samples"][0]]["inputs"]["row"] for row in decoded] == list(range(len(asked)))

    # one sampler, its noise by rows, its model fused right before it, everything upstream of that kept
    (sampling,) = of_class(graph, "SamplerCustomAdvanced")
    assert result.samplers == (next(n for n, v in graph.items() if v["inputs"] is sampling),)
    assert json.loads(following(graph, sampling["noise"])["inputs"]["seeds"]) == [s for _, _, s in asked]
    guider = following(graph, sampling["guider"])["inputs"]
    patched = following(graph, guider["model"])
    assert patched["class_type"] == "FusedModel"
    stock = next(
        v["inputs"] for v in drawn.graph.values()
        if v["class_type"] in ("KSampler", "SamplerCustom", "CFGGuider", "BasicGuider")
    )  # fmt: skip
    assert patched["inputs"]["model"] == stock["model"]
    assert patched["inputs"]["positive"] == guider.get("positive", guider.get("conditioning"))
    assert patched["inputs"].get("negative") == guider.get("negative")

    # texts: own rows, own negatives where the card says so
    assert encoders(graph, patched["inputs"]["positive"]) == [prompt for prompt, _, _ in asked]
    if drawn.negative != "none":
        negatives = encoders(graph, patched["inputs"]["negative"])
        assert negatives == [request.negative or "a constant negative" for request in requests]
    stock_classes = {
        "RandomNoise",
        "KSampler",
        "SamplerCustom",
        "SaveImage",
        "PreviewImage",
    }
    assert not stock_classes & {node["class_type"] for node in graph.values()}


@given(exported(), PROMPTS, SEEDS)
def test_the_plain_graph_of_an_exported_workflow_is_the_authors_own(
    drawn: Exported, prompt: str, seed: int
) -> None:
    asked = request(prompt=prompt, negative=prompt[::-1], seed=seed, size=Size(width=128, height=192))
    result = plain(drawn.template, asked, key=KEYS[0], source_names=[])
    assert refusals(result.graph) == []
    stock = {node["class_type"] for node in drawn.graph.values()} | {"SaveImage"}
    assert {node.class_type for node in result.graph.values()} <= stock
    assert result.places == (SavedFile("fullet_save", KEYS[0]),)
    if drawn.negative != "none":
        texts = [one["text"] for one in of_class(write_graph(result.graph), "CLIPTextEncode")]
        assert (prompt[::-1] or "a constant negative") in texts


CONSTANT = {"5": node("CLIPTextEncode", clip=["2", 0], text="the author's own")}
HELD = {
    "n8": node("PrimitiveString", value="the author's own"),
    "5": node("CLIPTextEncode", clip=["2", 0], text=["n8", 0]),
}
HELD_PROMPT = {**CONSTANT, "n8": HELD["n8"], "4": HELD["5"]}


def with_negative(nodes: dict[str, Any], role: str, use: str = "own") -> Any:
    """FLUX.2 Klein as somebody drew it who has a negative prompt."""
    graph = {**write_graph(SHIPPED["flux"].graph), **nodes}
    lines = [
        'label = "Drawn"', 'kind = "imagine"', f'negative = "{use}"', 'default_size = "1024x1024"',
        'sizes = ["1024x1024"]', "size_multiple = 16", "steps = 4", "[roles]", 'prompt = "4.text"',
        f'negative = "{role}"', 'seed = "7.noise_seed"', 'batch = "6.batch_size"', 'output = "13.images"',
    ]  # fmt: skip
    return template(graph, "\n".join(lines))


def encoded(model: Any, requests: list[GenerationRequest]) -> list[list[str]]:
    """The texts of each side, a row each."""
    graph = fused(model, requests)
    (guider,) = of_class(graph, "CFGGuider")
    return sorted(encoders(graph, guider[side]) for side in ("positive", "negative"))


@pytest.mark.parametrize("use", ["own", "shared"])
@pytest.mark.parametrize(("nodes", "role"), [(CONSTANT, "5.text"), (HELD, "5.text"), (HELD, "n8.value")])
def test_who_writes_no_negative_prompt_has_the_authors(use: str, nodes: dict[str, Any], role: str) -> None:
    model = with_negative(nodes, role, use)
    written = ["", "fog"] if use == "own" else ["", ""]
    asked = [request(prompt=f"a {text}", negative=text) for text in written]
    found = str(write_graph(fuse(model, asked, keys=KEYS[:2], source_names=[[], []]).graph))
    assert all((text or "the author's own") in found for text in written)
    alone = plain(model, asked[0], key=KEYS[0], source_names=[]).graph
    assert "the author's own" in [value for one in alone.values() for value in one.inputs.values()]
    named = plain(model, request(negative="fog"), key=KEYS[0], source_names=[]).graph
    assert "fog" in [value for one in named.values() for value in one.inputs.values()]
    assert "the author's own" not in str(write_graph(named)["5"])


@pytest.mark.parametrize("nodes", [HELD, HELD_PROMPT])
def test_a_text_that_is_linked_to_its_encoder_is_replaced_where_the_card_names_the_encoder(
    nodes: dict[str, Any],
) -> None:
    """Else everybody would get the author's words, in silence."""
    asked = [request(prompt=text, negative=f"no {text}") for text in ("a", "b")]
    assert encoded(with_negative(nodes, "5.text"), asked) == [["a", "b"], ["no a", "no b"]]


def test_a_negative_prompt_that_the_graph_computes_stays_where_nobody_writes_one() -> None:
    nodes = {
        "n8": node("StringConcatenate", string_a="x", string_b="y", delimiter=""),
        "5": node("CLIPTextEncode", clip=["2", 0], text=["n8", 0]),
    }
    graph = fused(with_negative(nodes, "5.text"), [request(), request(prompt="b", negative="fog")])
    (guider,) = of_class(graph, "CFGGuider")
    assert encoders(graph, guider["negative"]) == [["n8", 0], "fog"]


def test_a_graph_that_was_exported_with_a_batch_of_four_makes_one_picture_for_each_person() -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    (place,) = SHIPPED["flux"].card.places("batch")
    graph[place.node]["inputs"][place.input] = 4
    model = template(graph, _card())
    alone = write_graph(plain(model, request(), key=KEYS[0], source_names=[]).graph)
    assert alone[place.node]["inputs"][place.input] == 1
    assert fused(model, [request(), request()])[place.node]["inputs"][place.input] == 1


def test_ksampler_becomes_its_exact_equivalent() -> None:
    graph = fused(SHIPPED["z-image"], [request(model="z-image"), request(model="z-image", seed=9)])
    (sampling,) = of_class(graph, "SamplerCustomAdvanced")
    sigmas = following(graph, sampling["sigmas"])
    assert sigmas == node(
        "SigmasLikeKSampler",
        model=["7", 0],
        sampler_name="res_multistep",
        scheduler="simple",
        steps=8,
        denoise=1,
    )
    assert following(graph, sampling["sampler"], "sampler") == node(
        "KSamplerSelect", sampler_name="res_multistep"
    )
    assert following(graph, sampling["guider"])["inputs"]["cfg"] == 1
    joined = graph[sampling["latent_image"][0]]
    assert joined == node("JoinRows", row0=["6", 0], row1=["6", 0])
    assert graph["6"]["inputs"]["batch_size"] == 1


def test_a_batch_of_one_takes_the_same_path() -> None:
    one = fused(SHIPPED["flux"], [request()])
    two = fused(SHIPPED["flux"], [request(), request(2, "a boat")])
    assert {n: v["class_type"] for n, v in one.items()}.items() <= {
        n: v["class_type"] for n, v in two.items()
    }.items()


def test_variations_mix_the_noise_of_their_row_alone() -> None:
    varied = request(seed=3, variation=Variation(seed=8, strength=0.25))
    graph = fused(SHIPPED["flux"], [request(seed=1), varied])
    assert json.loads(of_class(graph, "RandomNoiseBatch")[0]["seeds"]) == [1, [3, 8, 0.25]]
    with pytest.raises(Unfusible, match="node pack"):
        plain(SHIPPED["flux"], varied, key=KEYS[0], source_names=[])


@pytest.mark.parametrize("model", ["flux", "z-image"])
def test_a_lone_variation_starts_from_mixed_noise_and_changes_nothing_else(model: str) -> None:
    varied = request(seed=3, variation=Variation(seed=8, strength=0.25), model=model)
    lone = plain(SHIPPED[model], varied, key=KEYS[0], source_names=[], mixes_noise=True)
    stock = plain(SHIPPED[model], replace(varied, variation=None), key=KEYS[0], source_names=[])
    graph, before = write_graph(lone.graph), write_graph(stock.graph)
    assert json.loads(of_class(graph, "RandomNoiseBatch")[0]["seeds"]) == [[3, 8, 0.25]]
    assert not of_class(graph, "FusedModel")
    assert not of_class(graph, "SamplerBatch")
    assert lone.samplers == stock.samplers
    changed = {node_id for node_id in before if graph.get(node_id) != before[node_id]}
    assert {before[node_id]["class_type"] for node_id in changed} <= {
        "KSampler", "SamplerCustomAdvanced", "RandomNoise"
    }  # fmt: skip


def test_a_prompt_that_stands_in_a_node_of_its_own_is_found() -> None:
    graph = write_graph(SHIPPED["flux"].graph)
    graph["77"] = node("PrimitiveStringMultiline", value="")
    graph["4"]["inputs"]["text"] = ["77", 0]
    card = _card(prompt="77.value")
    result = fused(template(graph, card), [request(prompt="one"), request(prompt="two")])
    assert [result[n]["inputs"]["value"] for n in ("77", "77#1")] == ["one", "two"]
    (guider,) = of_class(result, "CFGGuider")
    assert encoders(result, guider["positive"]) == [["77", 0], ["77#1", 0]]
    alone = plain(template(graph, card), request(prompt="one"), key=KEYS[0], source_names=[])
    assert write_graph(alone.graph)["77"]["inputs"]["value"] == "one"


def test_two_samplers_keep_their_order_and_their_seeds() -> None:
    graph = write_graph(SHIPPED["z-image"].graph)
    again = {**graph["8"]["inputs"], "denoise": 0.5, "seed": 77, "latent_image": ["20", 0]}
    graph["20"] = node("LatentUpscaleBy", samples=["8", 0], upscale_method="bislerp", scale_by=1.5)
    graph["21"] = node("KSampler", **again)
    graph["9"]["inputs"]["samples"] = ["21", 0]
    model = template(graph, _card(SHIPPED["z-image"]))
    result = fuse(model, [request(seed=1), request(seed=2)], keys=KEYS[:2], source_names=[[], []])
    assert result.samplers == ("8", "21")
    assert refusals(result.graph) == []
    seeds = {n: v.inputs["seeds"] for n, v in result.graph.items() if v.class_type == "RandomNoiseBatch"}
    assert seeds == {"fullet_8_noise": "[1, 2]", "fullet_21_noise": "[77, 77]"}


# ── edits ───────────────────────────────────────────────────────────────────────────────────────


def edits(count: int, rows: int = 2) -> list[GenerationRequest]:
    """Requests that start from ``count`` pictures each."""
    size = Size(width=1024, height=1024)
    return [
        request(n, f"edit {n}", model="flux_edit", kind="edit",
                sources=tuple(SourceImage(key=f"{n}{k}", size=size) for k in range(count)))
        for n in range(rows)
    ]  # fmt: skip


def test_two_references_are_chained_on_both_sides_and_each_row_has_its_own() -> None:
    graph = fused(SHIPPED["flux_edit"], edits(2), [["a1", "a2"], ["b1", "b2"]])
    (guider,) = of_class(graph, "CFGGuider")
    for side in ("positive", "negative"):
        names = [
            [row["image"] for row in each_row(graph, guider[side], *way, "latent", "pixels", "image")]
            for way in ((), ("conditioning",))
        ]
        assert names == [["a2", "b2"], ["a1", "b1"]]
    (sampling,) = of_class(graph, "SamplerCustomAdvanced")
    sizes = each_row(graph, sampling["latent_image"], "width", "image", "image")
    assert [size["image"] for size in sizes] == ["a1", "b1"]


def test_one_reference_leaves_nothing_of_the_second() -> None:
    result = fuse(SHIPPED["flux_edit"], edits(1), keys=KEYS[:2], source_names=[["a"], ["b"]])
    assert refusals(result.graph) == []
    graph = write_graph(result.graph)
    assert [loader["image"] for loader in of_class(graph, "LoadImage")] == ["a", "b"]
    assert len(of_class(graph, "ReferenceLatent")) == 4
    alone = plain(SHIPPED["flux_edit"], edits(1)[0], key=KEYS[0], source_names=["a"])
    assert [n.inputs["image"] for n in alone.graph.values() if n.class_type == "LoadImage"] == ["a"]


def test_pictures_of_unequal_size_are_each_scaled_by_their_own_node() -> None:
    graph = fused(SHIPPED["flux_edit"], edits(1), [["a"], ["b"]])
    assert [scaler["image"] for scaler in of_class(graph, "ImageScaleToTotalPixels")] == [
        ["20", 0], ["20#1", 0],
    ]  # fmt: skip


def test_who_asks_for_the_same_shares_the_nodes_that_make_it() -> None:
    graph = fused(SHIPPED["flux_edit"], edits(1)[:1] * 2, [["a"], ["a"]])
    assert len(of_class(graph, "LoadImage")) == len(of_class(graph, "CLIPTextEncode")) == 1


def test_two_nodes_that_say_the_same_stay_two() -> None:
    """Roles name nodes: what one of them is given must not reach the other."""
    graph = write_graph(SHIPPED["z-image"].graph)
    graph |= {"30": node("PrimitiveInt", value=0), "31": node("PrimitiveInt", value=0)}
    graph["8"]["inputs"]["seed"] = ["30", 0]
    again = {**graph["8"]["inputs"], "seed": ["31", 0], "latent_image": ["8", 0]}
    graph["21"] = node("KSampler", **again)
    graph["9"]["inputs"]["samples"] = ["21", 0]
    model = template(graph, _card(SHIPPED["z-image"], seed="30.value"))
    assert "node 21 (KSampler): its seed is not the one" in (fusible(model) or "")


def test_upscaling_fuses_without_a_sampler() -> None:
    size = Size(width=64, height=64)
    asked = [
        request(n, "", model="upscale", kind="upscale", sources=(SourceImage(key=str(n), size=size),))
        for n in range(3)
    ]
    result = fuse(SHIPPED["upscale"], asked, keys=KEYS[:3], source_names=[["a"], ["b"], ["c"]])
    assert refusals(result.graph) == []
    assert result.samplers == ()
    graph = write_graph(result.graph)
    rows = each_row(graph, of_class(graph, "SaveImageBatch")[0]["images"], "image")
    assert [row["image"] for row in rows] == ["a", "b", "c"]


def resized(way: str, **how: float) -> dict[str, Any]:
    inputs = {f"resize_type.{name}": value for name, value in how.items()}
    return node("ResizeImageMaskNode", resize_type=way, **inputs)


WIDE, TALL, LARGE = Size(width=1000, height=600), Size(width=300, height=900), Size(width=2000, height=1200)


@pytest.mark.parametrize(
    ("scaler", "sizes"),
    [
        (node("ImageScaleToTotalPixels", megapixels=1.0, upscale_method="area"), ["1322×793", "591×1774"]),
        (node("ImageScaleToTotalPixels", megapixels=1.0, resolution_steps=16), ["1328×800", "592×1776"]),
        (node("FluxKontextImageScale"), ["1328×800", "672×1568"]),
        (node("ImageScaleToMaxDimension", largest_size=512), ["512×307", "171×512"]),
        (node("ImageScale", width=640, height=480, crop="center"), ["640×480", "640×480"]),
        (resized("scale longer dimension", longer_size=512), ["512×307", "171×512"]),
        (resized("scale total pixels", megapixels=0.5), ["935×561", "418×1254"]),
        (resized("scale by multiplier", multiplier=2.0), None),
        (node("TextEncodeQwenImageEditPlus", clip=["2", 0], prompt="x"), ["1320×792", "592×1776"]),
        (node("ImageScale", width=0, height=480, crop="disabled"), None),
        (node("ImageScale", width=["6", 0], height=480, crop="disabled"), None),
        (node("ImageBlur", blur_radius=2), None),
    ],
)  # fmt: skip
def test_pictures_share_a_run_where_the_graph_brings_them_to_one_size(
    scaler: dict[str, Any], sizes: list[str] | None
) -> None:
    names = {"ResizeImageMaskNode": "input", "TextEncodeQwenImageEditPlus": "image2"}
    scaler["inputs"][names.get(scaler["class_type"], "image")] = ["20", 0]
    found = scaling(
        read_graph({"20": node("LoadImage", image="x"), "2": node("x"), "6": node("x"), "n": scaler}), "20"
    )
    offer = replace(SHIPPED["flux_edit"].offer(), scalings=(None, found))
    assert [str(offer.scaled(size, 1)) for size in (WIDE, TALL)] == (sizes or [str(WIDE), str(TALL)])
    assert (offer.scaled(WIDE, 1) == offer.scaled(LARGE, 1)) == (found is not None)
    keys = {
        batch_key(
            replace(edits(2)[0], sources=(SourceImage(key="", size=WIDE), SourceImage(key="", size=size))),
            offer,
        )
        for size in (WIDE, LARGE)
    }
    assert (len(keys) == 1) == (found is not None)


def test_a_picture_whose_mask_is_used_is_of_its_own_size() -> None:
    scaled = node("ImageScale", image=["20", 0], width=640, height=480, crop="center")
    graph = {"20": node("LoadImage", image="x"), "1": scaled, "2": node("MaskToImage", mask=["20", 1])}
    assert scaling(read_graph(graph), "20") is None


# ── what is refused, and why ────────────────────────────────────────────────────────────────────


def _card(of: Any = None, **roles: str) -> str:
    model = of or SHIPPED["flux"]
    written = {role: [str(place) for place in places] for role, places in model.card.roles.items()}
    lines = [f"{role} = {json.dumps(places)}" for role, places in {**written, **roles}.items()]
    head = [
        'label = "x"',
        'kind = "imagine"',
        f"steps = {model.card.steps}",
        'sizes = ["1024x1024"]',
        "[roles]",
    ]
    return "\n".join([*head, *lines])


def _changed(of: str, **nodes: Any) -> dict[str, Any]:
    return {**write_graph(SHIPPED[of].graph), **{name.lstrip("n"): value for name, value in nodes.items()}}


def _why(graph: dict[str, Any], card: str) -> str:
    why = fusible(template(graph, card))
    assert why is not None
    return why


def test_a_patch_that_might_mix_pictures_is_refused_unless_the_card_vouches_for_it() -> None:
    graph = _changed("z-image", n50=node("SomebodysPatch", model=["7", 0]))
    graph["8"]["inputs"]["model"] = ["50", 0]
    card = _card(SHIPPED["z-image"])
    assert "node 50 (SomebodysPatch): it is not known to keep the pictures of a batch apart" in _why(
        graph, card
    )
    assert fusible(template(graph, card.replace("[roles]", 'rowwise = ["SomebodysPatch"]\n[roles]'))) is None


# ── known, or alone ─────────────────────────────────────────────────────────────────────────────

UNKNOWN = st.sampled_from(["SomebodysPatch", "LatentInterpolate", "ImageGrid", *sorted(MIXING)])
ON_THE_WAY = ("model", "guider", "sampler")


@settings(max_examples=examples(60))
@given(exported(), UNKNOWN, st.data())
def test_a_class_that_nobody_knows_steers_no_batch_and_sees_one_person_anywhere_else(
    drawn: Exported, unknown: str, data: st.DataObject
) -> None:
    """Put into any link of any workflow: before the sampler, after it, in the model's or the text's path."""
    graph = json.loads(json.dumps(drawn.graph))
    output = drawn.template.card.places("output")[0].node
    used = upstream(read_graph(graph), [output])
    links = [(n, name) for n in sorted(used) for name, _ in read_graph(graph)[n].links()]
    user, name = data.draw(st.sampled_from(links))
    graph["unknown"] = node(unknown, anything=graph[user]["inputs"][name])
    graph[user]["inputs"][name] = ["unknown", 0]
    model = template(graph, drawn.card)
    why = fusible(model)
    alone = plain(model, request(), key=KEYS[0], source_names=[]).graph
    assert unknown in {n.class_type for n in alone.values()}
    if name in ON_THE_WAY and graph[user]["class_type"] != "BasicScheduler":
        assert why is not None
        assert f"({unknown})" in why or f"a {unknown}" in why
    elif name == "noise":
        assert f"a {unknown}" in (why or "")
    else:
        assert why is None
        sent = fused(model, [request(), request(2, "b", seed=9)])
        seen = [value for inputs in of_class(sent, unknown) for value in inputs.values()]
        batches = {
            n for n, each in sent.items() if each["class_type"] in ("JoinRows", "SamplerCustomAdvanced")
        }
        assert seen
        assert not batches & {value[0] for value in seen if isinstance(value, list)}


@given(st.lists(st.sampled_from(sorted(KNOWN)), min_size=1), UNKNOWN, st.data())
def test_refusing_depends_on_the_classes_that_steer_alone(
    classes: list[str], unknown: str, data: st.DataObject
) -> None:
    """Any chain of known classes before a sampler passes; with one unknown class in any place it does not."""

    def graph(classes: list[str]) -> dict[str, Node]:
        chain = {
            str(n): Node(class_type=name, inputs={"model": Link(str(n - 1), 0)} if n else {})
            for n, name in enumerate(classes)
        }
        return {**chain, "end": Node(class_type="KSampler", inputs={"model": Link(str(len(classes) - 1), 0)})}

    refuse_mixing(graph(classes), SHIPPED["flux"])
    classes[data.draw(st.integers(0, len(classes) - 1))] = unknown
    with pytest.raises(Unfusible, match=unknown):
        refuse_mixing(graph(classes), SHIPPED["flux"])


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("EasyCache", "decides for the whole batch which steps"), ("LazyCache", "which steps"),
        ("TeaCache", "which steps"), ("PathchSageAttentionKJ", "masks"), ("Mahiro", "measures"),
        ("HyperTile", "one random stream"), ("TomePatchModel", "one random stream"),
        ("NAGuidance", "a longer prompt"), ("RenormCFG", "measures"), ("CLIPHooks", "not known"),
        ("SetClipHooks", "not known"), ("TorchCompileModel", "not known"),
    ],
)  # fmt: skip
def test_what_patches_the_model_is_known_or_runs_one_by_one(patch: str, reason: str) -> None:
    graph = _changed("z-image", n50=node(patch, model=["7", 0]))
    graph["8"]["inputs"]["model"] = ["50", 0]
    why = _why(graph, _card(SHIPPED["z-image"]))
    assert why.startswith(f"node 50 ({patch}): ")
    assert reason in why


@pytest.mark.parametrize(
    "patch",
    [
        "LoraLoaderModelOnly", "ModelSamplingSD3", "ModelSamplingFlux", "CFGNorm", "RescaleCFG", "FreeU_V2",
        "PerturbedAttentionGuidance", "SkipLayerGuidanceDiT", "CFGZeroStar", "Power Lora Loader (rgthree)",
    ],
)  # fmt: skip
def test_what_was_measured_goes_on_running_together(patch: str) -> None:
    graph = _changed("z-image", n50=node(patch, model=["7", 0]))
    graph["8"]["inputs"]["model"] = ["50", 0]
    assert fusible(template(graph, _card(SHIPPED["z-image"]))) is None


@pytest.mark.parametrize(
    ("of", "at", "name", "value"),
    [
        ("flux", "8", "sampler_name", "res_2s"), ("flux", "8", "sampler_name", ["9", 0]),
        ("flux", "8", "sampler_name", ["euler"]), ("z-image", "8", "sampler_name", "res_2s"),
    ],
)  # fmt: skip
def test_samplers_that_other_packs_add_run_one_by_one(of: str, at: str, name: str, value: Any) -> None:
    graph = write_graph(SHIPPED[of].graph)
    graph[at]["inputs"][name] = value
    assert f"node {at} (" in (why := _why(graph, _card(SHIPPED[of])))
    assert f"its {name} is not known to be exact in a batch" in why


def test_a_schedule_that_another_pack_adds_is_computed_once_for_all() -> None:
    graph = write_graph(SHIPPED["z-image"].graph)
    graph["8"]["inputs"]["scheduler"] = "bong_tangent"
    sent = fused(template(graph, _card(SHIPPED["z-image"])), [request(), request(2)])
    assert [inputs["scheduler"] for inputs in of_class(sent, "SigmasLikeKSampler")] == ["bong_tangent"]


@pytest.mark.parametrize(
    "sampler", ["SamplerDPMAdaptative", "SamplerLCMUpscale", "SamplerRES4LYF", "ClownSampler"]
)
def test_a_sampler_that_is_not_one_of_comfyuis_exact_ones_runs_one_by_one(sampler: str) -> None:
    assert f"node 8 ({sampler}): " in _why(_changed("flux", n8=node(sampler)), _card())


@pytest.mark.parametrize(
    ("sampler", "name", "value", "known"),
    [
        ("SamplerLCM", "noise_clip_std", 0.0, True), ("SamplerLCM", "noise_clip_std", 1.5, False),
        ("SamplerEulerCFGpp", "version", "regular", True),
        ("SamplerEulerCFGpp", "version", "alternative", False),
        ("SamplerEulerCFGpp", "version", ["9", 0], False),
    ],
)  # fmt: skip
def test_a_sampler_that_is_exact_with_some_settings_alone_is_known_with_those(
    sampler: str, name: str, value: Any, *, known: bool
) -> None:
    why = fusible(template(_changed("flux", n8=node(sampler, **{name: value})), _card()))
    assert (why is None) if known else (f"only with {name}" in (why or ""))


@pytest.mark.parametrize(
    ("patch", "name", "value", "known"),
    [
        ("SkipLayerGuidanceDiT", "rescaling_scale", 0.0, True),
        ("SkipLayerGuidanceDiT", "rescaling_scale", 0.3, False),
        ("ModelAttentionBackend", "attention", "pytorch attention", True),
        ("ModelAttentionBackend", "attention", "sage", False),
    ],
)
def test_a_patch_that_is_exact_with_some_settings_alone_is_known_with_those(
    patch: str, name: str, value: Any, *, known: bool
) -> None:
    graph = _changed("z-image", n50=node(patch, model=["7", 0], **{name: value}))
    graph["8"]["inputs"]["model"] = ["50", 0]
    why = fusible(template(graph, _card(SHIPPED["z-image"])))
    assert (why is None) if known else (f"only with {name}" in (why or ""))


def test_the_pack_is_told_what_the_card_vouches_for_and_nothing_if_it_vouches_for_nothing() -> None:
    graph = _changed("z-image", n50=node("SomebodysPatch", model=["7", 0]))
    graph["8"]["inputs"]["model"] = ["50", 0]
    card = _card(SHIPPED["z-image"])
    vouched = card.replace("[roles]", 'rowwise = ["SomebodysPatch", "ImageGrid"]\n[roles]')
    sent = fused(template(graph, vouched), [request()])
    assert json.loads(of_class(sent, "FusedModel")[0]["vouched"]) == ["ImageGrid", "SomebodysPatch"]
    assert "vouched" not in of_class(fused(SHIPPED["z-image"], [request()]), "FusedModel")[0]


def test_nobody_can_vouch_for_what_is_known_to_mix_pictures() -> None:
    graph = _changed("z-image", n50=node("EasyCache", model=["7", 0]))
    graph["8"]["inputs"]["model"] = ["50", 0]
    card = _card(SHIPPED["z-image"]).replace("[roles]", 'rowwise = ["EasyCache"]\n[roles]')
    assert "node 50 (EasyCache)" in _why(graph, card)


# ── what else is refused ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n8": node("KSamplerSelect", sampler_name="dpm_adaptive")}, "dpm_adaptive chooses its steps"),
        ({"n10": node("PerpNegGuider", model=["1", 0], positive=["4", 0], negative=["5", 0],
                      empty_conditioning=["5", 0], cfg=1, neg_scale=1)}, "node 10 (PerpNegGuider): it is"),
        ({"n50": node("RepeatLatentBatch", samples=["6", 0], amount=4),
          "n11": node("SamplerCustomAdvanced", noise=["7", 0], guider=["10", 0], sampler=["8", 0],
                      sigmas=["9", 0], latent_image=["50", 0])}, "of the 4 pictures that it makes, one is"),
        ({"n7": node("SomeNoise", noise_seed=0)}, "its noise comes from a SomeNoise"),
        ({"n50": node("IPAdapter", model=["1", 0], image=["51", 0]), "n51": node("ByWords", text=["4", 0]),
          "n10": node("CFGGuider", cfg=1, model=["50", 0], positive=["4", 0], negative=["5", 0])},
         "node 50 (IPAdapter)"),
        ({"n50": node("ModelSamplingSD3", model=["1", 0], shift=["51", 0]),
          "n51": node("ByWords", text=["4", 0]),
          "n10": node("CFGGuider", cfg=1, model=["50", 0], positive=["4", 0], negative=["5", 0])},
         "node 50 (ModelSamplingSD3): shift differs from person to person there"),
    ],
)  # fmt: skip
def test_what_cannot_be_exact_runs_one_by_one_and_says_why(change: dict[str, Any], reason: str) -> None:
    graph = _changed("flux", **change)
    assert reason in _why(graph, _card())
    alone = plain(template(graph, _card()), request(), key=KEYS[0], source_names=[])
    assert alone.places == (SavedFile("fullet_save", KEYS[0]),)


def test_a_chain_of_ranges_draws_noise_once_and_hands_on_what_is_left() -> None:
    inputs = write_graph(SHIPPED["z-image"].graph)["8"]["inputs"]
    how = {name: value for name, value in inputs.items() if name not in ("seed", "denoise")}
    first = {"noise_seed": 0, "add_noise": "enable", "start_at_step": 0, "end_at_step": 5}
    second = {"noise_seed": 3, "add_noise": "disable", "start_at_step": 5, "end_at_step": 10000}
    graph = _changed(
        "z-image",
        n8=node("KSamplerAdvanced", **how, **first, return_with_leftover_noise="enable"),
        n20=node("KSamplerAdvanced", **{**how, "latent_image": ["8", 0]}, **second,
                 return_with_leftover_noise="disable"),
        n9=node("VAEDecode", samples=["20", 0], vae=["3", 0]),
    )  # fmt: skip
    model = template(graph, _card(SHIPPED["z-image"], seed="8.noise_seed"))
    result = fuse(model, [request(seed=1), request(2, "b", seed=2)], keys=KEYS[:2], source_names=[[], []])
    sent = write_graph(result.graph)
    assert result.samplers == ("8", "20")
    assert sent["fullet_8_noise"] == node("RandomNoiseBatch", seeds="[1, 2]")
    assert sent["fullet_20_noise"] == node("DisableNoise")
    assert sent["fullet_20_sampler"]["inputs"]["seeds"] == "[3, 3]"
    ranges = [sent[f"fullet_{n}_sigmas"]["inputs"] for n in ("8", "20")]
    assert [(r["start_at_step"], r["end_at_step"], r["return_with_leftover_noise"]) for r in ranges] == [
        (0, 5, "enable"), (5, 10000, "disable"),
    ]  # fmt: skip
    taken = each_row(sent, sent["20"]["inputs"]["latent_image"])
    assert taken == [{"samples": ["8", 0], "row": 0}, {"samples": ["8", 0], "row": 1}]


def test_a_seed_that_another_node_takes_is_each_persons_own_there() -> None:
    graph = _changed("flux", n50=node("Wildcards", seed=0, latent=["11", 0]))
    graph["12"]["inputs"]["samples"] = ["50", 0]
    card = _card(seed='["7.noise_seed", "50.seed"]').replace('"[', "[").replace(']"', "]").replace('\\"', '"')
    sent = fused(template(graph, card), [request(seed=4), request(2, seed=5)])
    assert [inputs["seed"] for inputs in of_class(sent, "Wildcards")] == [4, 5]


@pytest.mark.parametrize(("holder", "known"), [("SeedNode", True), ("Seed (rgthree)", True), ("Dice", False)])
def test_a_node_that_gives_a_seed_on_as_it_is_has_to_be_known(holder: str, *, known: bool) -> None:
    graph = _changed("flux", n51=node(holder, seed=0))
    graph["7"]["inputs"]["noise_seed"] = ["51", 0]
    why = fusible(template(graph, _card(seed="51.seed")))
    assert (why is None) if known else ("its seed is not the one" in (why or ""))


@pytest.mark.parametrize("role", ["prompt", "seed"])
def test_what_is_written_into_what_steers_the_sampler_is_no_persons_own(role: str) -> None:
    """It stands once, so that the second person would get what the first one wrote."""
    places = {"prompt": ["4.text", "50.block"], "seed": ["8.seed", "50.block"]}
    graph = _changed("z-image", n50=node("FreeU", model=["7", 0], block="x"))
    graph["8"]["inputs"]["model"] = ["50", 0]
    card = _card(SHIPPED["z-image"], **{role: places[role]})  # type: ignore[arg-type]
    assert "node 50 (FreeU): block differs from person to person there" in _why(graph, card)


def test_a_seed_that_is_computed_from_the_asked_one_is_refused() -> None:
    graph = _changed("flux", n51=node("PrimitiveInt", value=0), n50=node("Doubled", number=["51", 0]))
    graph["7"]["inputs"]["noise_seed"] = ["50", 0]
    assert "its seed is not the one that the card names" in _why(graph, _card(seed="51.value"))


def test_the_mask_of_a_source_is_its_owners() -> None:
    graph = _changed("flux_edit", n60=node("SetLatentNoiseMask", samples=["6", 0], mask=["20", 1]))
    graph["11"]["inputs"]["latent_image"] = ["60", 0]
    roles = {role: [str(p) for p in places] for role, places in SHIPPED["flux_edit"].card.roles.items()}
    lines = [f"{role} = {json.dumps(places)}" for role, places in roles.items()]
    head = ['label = "x"', 'kind = "edit"', "steps = 4", "source_count = [2, 2]", "[roles]"]
    sent = fused(template(graph, "\n".join([*head, *lines])), edits(2), [["a1", "a2"], ["b1", "b2"]])
    masked = each_row(sent, sent["11"]["inputs"]["latent_image"], "mask")
    assert [loader["image"] for loader in masked] == ["a1", "b1"]


# ── after a restart ─────────────────────────────────────────────────────────────────────────────


def test_the_places_are_read_back_from_what_the_server_kept() -> None:
    result = fuse(SHIPPED["z-image"], [request(), request(2)], keys=KEYS[:2], source_names=[[], []])
    kept = json.loads(json.dumps(write_graph(result.graph)))
    found = read_locations(kept, [0, 1])
    assert found is not None
    assert found.places == (KeptPicture(KEYS[0]), KeptPicture(KEYS[1]))
    assert found.samplers == result.samplers
    left = read_locations(kept, [1])  # the other one's job has ended
    assert left is not None
    assert left.places == (KeptPicture(KEYS[1]),)
    assert read_locations(kept, [0, 2]) is None
    alone = plain(SHIPPED["flux"], request(), key=KEYS[0], source_names=[])
    back = read_locations(json.loads(json.dumps(write_graph(alone.graph))), [0])
    assert back is not None
    assert back.places == alone.places


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(
    _JSON
    | st.fixed_dictionaries({
        "fullet_save": st.fixed_dictionaries({
            "class_type": st.sampled_from(["SaveImageBatch", "SaveImage", "x"]),
            "inputs": st.dictionaries(
                st.sampled_from(["keys", "filename_prefix", "images"]),
                _JSON | st.sampled_from(["[]", '["' + "0" * 32 + '"]', "fullet/../../x", "[" * 3000]),
            ),
        })
    }),
    st.integers(1, 3),
)  # fmt: skip
def test_what_a_hostile_server_kept_gives_keys_of_ours_or_nothing(stored: Any, count: int) -> None:
    found = read_locations(stored, range(count))
    if found is not None:
        assert len(found.places) == count
        for place in found.places:
            text = place.key if isinstance(place, KeptPicture) else place.prefix
            assert len(text) == 32
            assert set(text) <= set("0123456789abcdef")


def test_links_are_told_from_constants() -> None:
    """A list of two that is no link stays a list."""
    graph = fuse(SHIPPED["flux"], [replace(request(), prompt="x")], keys=KEYS[:1], source_names=[[]]).graph
    assert all(isinstance(link, Link) for n in graph.values() for _, link in n.links())
