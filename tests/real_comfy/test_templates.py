"""The bot's own templates, fused by the bot's own code, against each alone in stock nodes."""

from __future__ import annotations

import io
import random
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from modules.ai.fusion import example, fuse, plain
from modules.ai.graph import Graph, write_graph
from modules.ai.workflows import load_templates
from modules.queue_manager.jobs import SourceImage
from tests.real_comfy.comfy import Comfy, pixel_differences, pixels

PROMPTS = ("fox", "an owl under northern light in deep snow", "elk " * 70, "")
FOLDER = Path(__file__).parents[2] / "flujos"


@pytest.mark.parametrize(
    ("name", "sources"), [("flux", 0), ("z-image", 0), ("flux_edit", 1), ("flux_edit", 2)]
)
async def test_a_template_of_ours_gives_each_person_their_lone_picture(
    comfy: Comfy, name: str, sources: int
) -> None:
    template = load_templates(FOLDER)[name]
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
