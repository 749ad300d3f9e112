"""The bot's own templates, fused by the bot's own code, against each alone in stock nodes."""

from __future__ import annotations

import io
import random
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.ai.fusion.fuse import example, fuse, fusible, plain
from modules.ai.models.derivation import derive
from modules.ai.models.loading import load_model
from modules.ai.workflows.cards import read_card
from modules.ai.workflows.graph import Graph, read_graph, write_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest, SourceImage
from tests.real_comfy.comfy import Comfy, pixel_differences, pixels
from tests.real_comfy.graphs import FAMILIES, FLUX1, KLEIN, ZIMAGE, Family, ImageRequest, Settings, stock

PROMPTS = ("fox", "an owl under northern light in deep snow", "elk " * 70, "")
FOLDER = Path(__file__).parents[2] / "flujos"


@pytest.mark.parametrize(
    ("name", "sources"), [("flux", 0), ("z-image", 0), ("flux_edit", 1), ("flux_edit", 2)]
)
async def test_a_template_of_ours_gives_each_person_their_lone_picture(
    comfy: Comfy, name: str, sources: int
) -> None:
    template = load_model(FOLDER / f"{name}.json").template
    template = replace(template, graph=smaller(template.graph))
    request = example(template, sources)
    size = replace(request.size, width=192, height=160)
    people = [
        replace(
            request,
            prompt=prompt,
            seed=40 + i,
            size=size,
            sources=(SourceImage(key="", size=size),) * sources,
        )
        for i, prompt in enumerate(PROMPTS)
    ]
    uploads = [await upload(comfy) for _ in range(sources * len(people))]
    names = [uploads[sources * i : sources * (i + 1)] for i in range(len(people))]
    await compare(comfy, template, people, names)


@pytest.mark.parametrize(
    ("family", "sampler", "guidance"),
    [(FLUX1, "uni_pc", 4.0), (KLEIN, "dpmpp_2m_sde", 4.0), (FAMILIES[5], "euler_ancestral", 1.0)],
    ids=["KSampler", "SamplerCustomAdvanced", "GGUF and a model patch"],
)
async def test_an_authors_own_graph_fuses_by_the_card_that_is_derived(
    comfy: Comfy, family: Family, sampler: str, guidance: float
) -> None:
    if not family.files <= await comfy.models():
        pytest.skip(f"the server does not offer {family.name}")
    settings = Settings(family=family, sampler=sampler, guidance=guidance, width=192, height=160)
    exported = stock(settings, ImageRequest(prompt="a boat", seed=5, key="exported", negative="fog"))
    del exported["latents"]
    derived = derive(read_graph(exported), bundled_table(), {}, label="mine")
    card = read_card(derived.fields)
    template = WorkflowTemplate(name="mine", card=card, graph=derived.graph)
    assert fusible(template) is None
    assert card.negative == ("own" if guidance > 1 else "none")
    request = replace(example(template), size=replace(example(template).size, width=208, height=144))
    people = [
        replace(request, prompt=prompt, negative=PROMPTS[i - 1], seed=90 + i)
        for i, prompt in enumerate(PROMPTS)
    ]
    await compare(comfy, template, people, [[]] * len(people))


async def test_a_folded_graph_paints_what_its_author_drew(comfy: Comfy) -> None:
    """Switches, numbers, sizes and joined texts: worked out beforehand or, as drawn, by the server."""
    settings = Settings(family=ZIMAGE, width=192, height=160)
    drawn = stock(settings, ImageRequest(prompt="", seed=5, key=uuid.uuid4().hex))
    del drawn["latents"]
    drawn |= {
        "trigger": value("PrimitiveString", "oil on canvas, "),
        "prompt": {**value("PrimitiveStringMultiline", "a {animal} in snow"), "_meta": {"title": "Prompt"}},
        "animal": nodes("StringReplace", string=["prompt", 0], find="{animal}", replace="fox"),
        "joined": nodes("StringConcatenate", string_a=["trigger", 0], string_b=["animal", 0], delimiter=""),
        "shown": nodes("PreviewAny", source=["joined", 0]),
        "side": value("PrimitiveInt", 199),
        "across": nodes("ComfyMathExpression", **{"expression": "a & -16", "values.a": ["side", 0]}),
        "fast": value("PrimitiveBoolean", True),
        "steps": nodes("ComfySwitchNode", switch=["fast", 0], on_false=["side", 0], on_true=["few", 0]),
        "few": value("PrimitiveInt", 2),
    }
    drawn["text"]["inputs"]["text"] = ["shown", 0]
    drawn["latent"]["inputs"]["width"] = ["across", 1]
    drawn["sampled"]["inputs"]["steps"] = ["steps", 0]
    derived = derive(read_graph(drawn), bundled_table(), {}, label="mine")
    card = read_card(derived.fields)
    assert (card.steps, str(card.default_size)) == (2, "192×160")
    gone = {"trigger", "shown", "side", "across", "fast", "steps", "few"}
    assert set(derived.graph) == set(drawn) - gone
    template = WorkflowTemplate(name="mine", card=card, graph=derived.graph)
    request = replace(example(template), prompt="a {animal} in snow", seed=5)
    alone = plain(template, request, key=uuid.uuid4().hex, source_names=[])
    outputs = await comfy.run(write_graph(alone.graph))
    ours = await comfy.view(outputs[alone.places[0].node]["images"][0])
    outputs = await comfy.run(drawn)
    assert pixels(ours) == pixels(await comfy.view(outputs["save"]["images"][0]))


def nodes(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def value(class_type: str, content: object) -> dict[str, Any]:
    return nodes(class_type, value=content)


async def compare(
    comfy: Comfy, template: WorkflowTemplate, people: list[GenerationRequest], names: list[list[str]]
) -> None:
    """Everybody's picture of one fused run with the one that stock nodes make of their request alone."""
    missing = {node.class_type for node in template.graph.values()} - (
        await comfy.json("/object_info")
    ).keys()
    if missing:
        pytest.skip(f"the server has no {', '.join(sorted(missing))}")
    keys = [uuid.uuid4().hex for _ in people]
    await comfy.run(write_graph(fuse(template, people, keys=keys, source_names=names).graph))
    for person, theirs, key in zip(people, names, keys, strict=True):
        alone = plain(template, person, key=uuid.uuid4().hex, source_names=theirs)
        outputs = await comfy.run(write_graph(alone.graph))
        picture = await comfy.view(outputs[alone.places[0].node]["images"][0])
        largest, share = pixel_differences(pixels(await comfy.picture(key)), pixels(picture))
        assert largest <= 1
        assert share <= 0.0005


def smaller(graph: Graph) -> Graph:
    """With sources scaled to 0.03 megapixels instead of 1: the same graph, sooner done."""
    return {
        node_id: node.having(megapixels=0.03) if "megapixels" in node.inputs else node
        for node_id, node in graph.items()
    }


async def upload(comfy: Comfy) -> str:
    out = io.BytesIO()
    Image.frombytes("RGB", (96, 80), random.randbytes(96 * 80 * 3)).save(out, format="PNG")
    return await comfy.upload(f"{uuid.uuid4().hex}.png", out.getvalue())
