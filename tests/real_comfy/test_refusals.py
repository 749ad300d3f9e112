"""What a node cannot do exactly is refused with a sentence that names the input, never passed over."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.real_comfy.comfy import Comfy, Graph, RunFailed
from tests.real_comfy.graphs import KLEIN, ZIMAGE, ImageRequest, Settings, fused

SMALL = Settings(family=ZIMAGE, steps=1, width=64, height=64)


def two() -> Graph:
    requests = [
        ImageRequest(prompt=text, seed=i, key=uuid.uuid4().hex) for i, text in enumerate(("fox", "owl " * 40))
    ]
    return fused(SMALL, requests)


def with_input(node: str, name: str, value: object) -> Graph:
    graph = two()
    graph[node]["inputs"][name] = value
    return graph


@pytest.mark.parametrize(
    ("node", "name", "value", "sentence"),
    [
        ("latent", "row1", ["noise", 0], "JoinRows: input row0: it cannot join values of type dict"),
        ("noise", "seeds", "[-1]", "RandomNoiseBatch: input seeds: a seed must be"),
        ("sampler", "seeds", "[[1, 2, 3]]", "SamplerBatch: input seeds: the strength"),
        ("save", "keys", '["x"]', "SaveImageBatch: input keys: every key"),
        ("noise", "seeds", "[1]", "RandomNoiseBatch: input seeds: 1 seeds for a batch of 2"),
        ("sampler", "seeds", "[1]", "SamplerBatch: input seeds: 1 seeds for a batch of 2"),
        ("save", "keys", json.dumps(["0" * 32]), "SaveImageBatch: input keys: 1 keys for 2 pictures"),
        ("latent1", "batch_size", 3, "JoinRows: input row0: each person has 3 latents"),
        ("select", "sampler_name", "dpm_adaptive", "SamplerBatch: input sampler: dpm_adaptive"),
        ("guider", "model", ["unet", 0], "JoinRows: input row0: texts or pictures are of unequal size"),
    ],
)
async def test_a_wrong_input_is_named(
    comfy: Comfy, node: str, name: str, value: object, sentence: str
) -> None:
    with pytest.raises(RunFailed) as failure:
        await comfy.run(with_input(node, name, value))
    assert sentence in str(failure.value)


async def test_the_last_seed_fits_all_but_samplers_that_need_the_next(comfy: Comfy) -> None:
    image_request = ImageRequest(prompt="fox", seed=2**64 - 1, key=uuid.uuid4().hex)
    await comfy.run(fused(SMALL, [image_request]))
    ancestral = Settings(family=ZIMAGE, steps=2, width=64, height=64, sampler="euler_ancestral")
    with pytest.raises(RunFailed, match="SamplerBatch: input seeds: 18446744073709551615"):
        await comfy.run(fused(ancestral, [image_request]))


async def test_text_changed_after_it_was_merged_is_refused(comfy: Comfy) -> None:
    graph = two()
    graph["more"] = {
        "class_type": "ConditioningConcat",
        "inputs": {"conditioning_to": ["positive", 0], "conditioning_from": ["positive", 0]},
    }
    graph["model"]["inputs"]["positive"] = graph["guider"]["inputs"]["positive"] = ["more", 0]
    with pytest.raises(RunFailed, match="FusedModel: input positive: its text was changed"):
        await comfy.run(graph)


async def test_more_prompts_than_latents_are_refused(comfy: Comfy) -> None:
    graph = two()
    graph["latent"]["inputs"]["row2"] = ["latent0", 0]
    graph["noise"]["inputs"]["seeds"] = graph["sampler"]["inputs"]["seeds"] = "[1, 2, 3]"
    with pytest.raises(RunFailed, match="FusedModel: input positive: it holds 2 prompts"):
        await comfy.run(graph)


async def test_a_model_fused_twice_is_fused_once(comfy: Comfy) -> None:
    settings = Settings(family=KLEIN, steps=1, width=64, height=64)
    requests = [ImageRequest(prompt=text, seed=1, key=uuid.uuid4().hex) for text in ("fox", "owl " * 600)]
    once = fused(settings, requests)
    twice = fused(settings, requests)
    twice["again"] = {
        "class_type": "FusedModel",
        "inputs": {**twice["model"]["inputs"], "model": ["model", 0]},
    }
    twice["guider"]["inputs"]["model"] = ["again", 0]
    latents = [await comfy.latent(await comfy.run(graph), "latents") for graph in (once, twice)]
    assert latents[0].values == latents[1].values


CACHE = {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}


def patched_by(node: str, inputs: dict[str, object], *, later: bool) -> Graph:
    """Two prompts through a model that a node patches, before FusedModel or after it."""
    graph = two()
    patched, after = ("guider", "model") if later else ("model", "patched")
    graph["patched"] = {"class_type": node, "inputs": {**inputs, "model": graph[patched]["inputs"]["model"]}}
    graph[patched]["inputs"]["model"] = ["patched", 0]
    assert graph[after]["inputs"]["model"] != ["patched", 0]
    return graph


@pytest.mark.parametrize("later", [False, True])
async def test_a_patch_that_is_not_known_is_refused_by_its_nodes_name(comfy: Comfy, later: bool) -> None:
    for node, inputs in (("EasyCache", CACHE), ("Mahiro", {})):
        with pytest.raises(RunFailed, match=rf"FusedModel: input model: it is patched by {node}"):
            await comfy.run(patched_by(node, inputs, later=later))


@pytest.mark.parametrize("later", [False, True])
async def test_comfyuis_own_exact_patches_are_known_as_the_server_loads_them(
    comfy: Comfy, later: bool
) -> None:
    for node, inputs in (("CFGZeroStar", {}), ("ModelSamplingAuraFlow", {"shift": 2.0})):
        await comfy.run(patched_by(node, inputs, later=later))


async def test_a_node_that_the_operator_vouches_for_passes(comfy: Comfy) -> None:
    graph = patched_by("Mahiro", {}, later=False)
    graph["model"]["inputs"]["vouched"] = json.dumps(["Mahiro", "NoSuchNode"])
    await comfy.run(graph)


async def test_a_person_alone_may_have_any_patch(comfy: Comfy) -> None:
    graph = fused(SMALL, [ImageRequest(prompt="fox", seed=1, key=uuid.uuid4().hex)])
    graph["patched"] = {
        "class_type": "EasyCache",
        "inputs": {**CACHE, "model": graph["model"]["inputs"]["model"]},
    }
    graph["model"]["inputs"]["model"] = ["patched", 0]
    await comfy.run(graph)
