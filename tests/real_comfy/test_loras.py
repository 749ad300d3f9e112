"""With a LoRA that the bot puts into a graph, a shared run gives everyone the picture that they get alone."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from modules.ai.fusion.fuse import example, fuse, plain
from modules.ai.fusion.output_locations import FusedGraph
from modules.ai.models.derivation import derive
from modules.ai.workflows.cards import read_card
from modules.ai.workflows.graph import read_graph, write_graph
from modules.ai.workflows.lora_insertion import with_lora
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import LoraUse
from tests.real_comfy.comfy import Comfy, Latent, largest_difference
from tests.real_comfy.conftest import Record
from tests.real_comfy.graphs import FLUX1, KLEIN, ZIMAGE, Family, ImageRequest, Settings, stock

LATENT = 1e-5
ANOTHER_PICTURE = 0.05
PROMPTS = ("fox", "an owl under northern light in deep snow", "elk " * 70)
FILES = {
    FLUX1.name: "tiny_flux1.safetensors",
    KLEIN.name: "tiny_klein.safetensors",
    ZIMAGE.name: "tiny_z_image.safetensors",
}


def drawn(family: Family) -> WorkflowTemplate:
    """A model as somebody exports it."""
    settings = Settings(family=family, width=192, height=160)
    exported = stock(settings, ImageRequest(prompt="a boat", seed=5, key="exported", negative="fog"))
    del exported["latents"]
    derived = derive(read_graph(exported), bundled_table(), {}, label="mine")
    return WorkflowTemplate(name="mine", card=read_card(derived.fields), graph=derived.graph)


async def latents_of(comfy: Comfy, graph: FusedGraph) -> Latent:
    """What its sampler makes."""
    sent = write_graph(graph.graph)
    sent["latents"] = {
        "class_type": "SaveLatent",
        "inputs": {"samples": [graph.samplers[0], 0], "filename_prefix": "real_comfy/latents"},
    }
    return await comfy.latent(await comfy.run(sent), "latents")


@pytest.mark.parametrize("clip", [False, True], ids=["model", "model and text encoder"])
@pytest.mark.parametrize("family", [FLUX1, KLEIN, ZIMAGE], ids=lambda family: family.name)
async def test_fused_equals_alone_and_the_lora_and_its_strength_count(
    comfy: Comfy, record: Record, family: Family, clip: bool
) -> None:
    bare = drawn(family)
    strong = LoraUse(name="tiny", label="Tiny", file=FILES[family.name], strength=0.75, clip=clip)
    people = [
        replace(example(bare), prompt=prompt, seed=70 + i, lora=strong) for i, prompt in enumerate(PROMPTS)
    ]

    async def alone(lora: LoraUse | None, who: int) -> Latent:
        template = bare if lora is None else replace(bare, graph=with_lora(bare.graph, lora))
        return await latents_of(comfy, plain(template, people[who], key=uuid.uuid4().hex, source_names=[]))

    template = replace(bare, graph=with_lora(bare.graph, strong))
    keys = [uuid.uuid4().hex for _ in people]
    together = await latents_of(comfy, fuse(template, people, keys=keys, source_names=[[]] * len(people)))
    solos = [await alone(strong, who) for who in range(len(people))]
    worst = max(largest_difference(together.row(i), solo.row(0)) for i, solo in enumerate(solos))
    weaker = largest_difference(solos[0].row(0), (await alone(replace(strong, strength=0.5), 0)).row(0))
    without = largest_difference(solos[0].row(0), (await alone(None, 0)).row(0))
    where = "the model and its text encoder" if clip else "the model"
    record.version = f"ComfyUI {(await comfy.json('/system_stats'))['system']['comfyui_version']}"
    record.loras.append(f"| {family.name} | {where} | {worst:.1e} | {weaker:.2f} | {without:.2f} |")
    assert worst <= LATENT
    assert min(weaker, without) > ANOTHER_PICTURE
