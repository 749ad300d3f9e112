"""Each workflow of the library is read without a card's help, and makes a picture in the demonstration."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.preflight import inspect
from modules.ai.engines import ComfyEngine
from modules.ai.models.loading import load_model, read_models
from modules.ai.workflows.reduced_table import reduced
from modules.demo.comfy_server import ComfyServer
from modules.demo.comfy_server.nodes.node_table import recorded
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.jobs import Batch, Job, JobId, SourceImage, batch_key
from tests.fakes import request

LIBRARY = Path(__file__).parents[3] / "flujos" / "library"
NAMES = sorted(file.stem for file in LIBRARY.glob("*.json"))


def test_every_workflow_is_in_order_described_in_both_languages_and_can_be_fetched() -> None:
    models, faults = read_models(LIBRARY)
    assert faults == []
    assert list(models) == NAMES
    assert len(NAMES) >= 10
    assert not {file.stem for file in LIBRARY.parent.glob("*.json")} & set(NAMES)
    for model in models.values():
        card, template = model.template.card, model.template
        assert model.derived
        assert {language for language, _ in card.description} == {"en", "es"}
        assert card.estimate is not None
        for file in template.weights.split():
            assert template.fetch_line(file), file
        assert f"`{template.name}`" in (LIBRARY / "README.md").read_text(encoding="utf-8")


def test_they_are_read_alike_by_the_nodes_of_the_demonstration() -> None:
    table = reduced(recorded())
    for name in NAMES:
        ours, theirs = load_model(LIBRARY / f"{name}.json"), load_model(LIBRARY / f"{name}.json", table)
        assert ours.template.card.roles == theirs.template.card.roles, name


@pytest.mark.parametrize("name", NAMES)
async def test_it_makes_a_picture(name: str) -> None:
    template = load_model(LIBRARY / f"{name}.json").template
    offer = template.offer()
    picture = io.BytesIO()
    Image.new("RGB", (96, 64), "teal").save(picture, "PNG")
    source = SourceImage(key="a" * 64, size=offer.default_size)

    async def read(key: str) -> bytes:
        return picture.getvalue()

    async with ComfyServer(drawing="plain") as comfy, aiohttp.ClientSession() as session:
        client = ComfyClient(session=session, url=comfy.url)
        report = await inspect(client, {name: template}, max_batch=None)
        assert not [finding for finding in report.findings if finding.level == "fault"]
        engine = ComfyEngine(client=client, templates={name: template}, read_source=read, clock=LoopClock())
        asked = request(
            prompt="a lighthouse",
            model=name,
            kind=offer.kind,
            size=offer.default_size,
            sources=(source,) * offer.source_count[0],
        )
        jobs = tuple(
            Job(
                id=JobId(uuid.uuid4().hex),
                number=n,
                request=asked,
                key=batch_key(asked, offer),
                queued_at=0.0,
            )
            for n in range(2 if name in report.fused else 1)
        )
        batch = Batch(id=str(uuid.uuid4()), key=jobs[0].key, jobs=jobs, fused=name in report.fused)
        try:
            run = await engine.submit(batch)
            async for _ in run.events():
                pass
            for index in range(len(jobs)):
                image = Image.open(io.BytesIO((await run.fetch(index)).data))
                image.load()
                if offer.kind == "imagine":
                    assert image.size == (offer.default_size.width, offer.default_size.height)
                elif offer.kind == "upscale":
                    assert image.size == (192, 128)
        finally:
            await engine.aclose()


def test_nothing_of_a_server_or_a_person_is_in_them() -> None:
    for file in LIBRARY.glob("*.json"):
        graph = json.loads(file.read_text(encoding="utf-8"))
        assert {
            node["inputs"].get("image", "example.png")
            for node in graph.values()
            if "LoadImage" in node["class_type"]
        } <= {"example.png"}
