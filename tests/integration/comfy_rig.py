"""What the tests of the GPU side share: an engine before an embedded ComfyUI, over real sockets."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from PIL import Image

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.http import Limits
from modules.ai.comfy.runs import ComfyRun, RunTimes
from modules.ai.engines import ComfyEngine
from modules.ai.workflows.templates import WorkflowTemplate
from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing, mark_of, read_mark
from modules.demo.comfy_server.nodes.workbench import Drawing
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.jobs import (
    Batch,
    GenerationRequest,
    Job,
    JobId,
    Picture,
    Size,
    SourceImage,
    batch_key,
)
from modules.queue_manager.ports import RunEvent, RunProgress, RunStarted
from tests import fakes
from tests.workflow_graphs import SHIPPED

SMALL = Size(width=128, height=128)
BRISK = RunTimes(first_poll=0.02, longest_poll=0.1, silence=0.5, refused=0.4, silent=0.6, doubt=0.3)
SLOW = Timing(step=0.1)
SLUGGISH = Timing(step=0.4)


@dataclass
class Rig:
    """One server, and engines before it."""

    server: ComfyServer
    session: aiohttp.ClientSession
    templates: Mapping[str, WorkflowTemplate]
    limits: Limits
    sources: dict[str, bytes] = field(default_factory=dict)
    api_key: str | None = None
    engines: list[ComfyEngine] = field(default_factory=list)

    def client(self, url: str | None = None) -> ComfyClient:
        """A client of the server, at its own address or at ``url``."""
        return ComfyClient(
            session=self.session, url=url or self.server.url, api_key=self.api_key, limits=self.limits
        )

    def engine(self, url: str | None = None, **more: Any) -> ComfyEngine:
        """A new engine, as another process would have it."""

        async def read_source(key: str) -> bytes:
            return self.sources[key]

        parts: dict[str, Any] = {"templates": self.templates, "times": BRISK, **more}
        engine = ComfyEngine(client=self.client(url), read_source=read_source, clock=LoopClock(), **parts)
        self.engines.append(engine)
        return engine

    def batch(self, *requests: GenerationRequest) -> Batch:
        """The requests as one batch."""
        offer = self.templates[requests[0].model].offer()
        jobs = tuple(
            Job(id=JobId(uuid.uuid4().hex), number=n, request=r, key=batch_key(r, offer), queued_at=0.0)
            for n, r in enumerate(requests)
        )
        return Batch(id=str(uuid.uuid4()), key=jobs[0].key, jobs=jobs)

    def upload(self, image: Image.Image) -> SourceImage:
        """Keep a picture as the job store would."""
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        key = uuid.uuid4().hex * 2
        self.sources[key] = buffer.getvalue()
        return SourceImage(key=key, size=Size(width=image.width, height=image.height))


@contextlib.asynccontextmanager
async def comfy_rig(
    *,
    profile: ServerProfile | None = None,
    timing: Timing | None = None,
    templates: Mapping[str, WorkflowTemplate] = SHIPPED,
    api_key: str | None = None,
    limits: Limits | None = None,
    drawing: Drawing = "plain",
) -> AsyncIterator[Rig]:
    """A server and a session; engines are closed at the end."""
    server = ComfyServer(profile=profile, timing=timing, drawing=drawing)
    limits = limits or Limits(answer=8.0, submit=8.0, picture=8.0, upload=8.0, connect=4.0)
    async with server, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        rig = Rig(server=server, session=session, templates=templates, limits=limits, api_key=api_key)
        try:
            yield rig
        finally:
            for engine in rig.engines:
                await engine.aclose()


def ask(prompt: str = "a lighthouse", seed: int = 1, **more: Any) -> GenerationRequest:
    """A small picture."""
    return fakes.request(prompt=prompt, seed=seed, **{"size": SMALL, **more})


async def heard(run: ComfyRun) -> list[RunEvent]:
    """All events of a run, to its end."""
    async with timeout(60):
        return [event async for event in run.events()]


async def until_step(run: ComfyRun, step: int = 1) -> AsyncIterator[RunEvent]:
    """The rest of the events, once the sampler has done ``step`` steps."""
    events = run.events()
    async for event in events:
        if isinstance(event, RunProgress) and event.step >= step:
            break
    return events


async def until_begun(run: ComfyRun) -> AsyncIterator[RunEvent]:
    """The rest of the events, once the server has begun."""
    events = run.events()
    async for event in events:
        if isinstance(event, RunStarted):
            break
    return events


async def pictures(run: ComfyRun) -> list[Picture]:
    """Every picture of a run that has ended."""
    return [await run.fetch(index) for index in range(len(run.batch.jobs))]


def opened(picture: Picture) -> Image.Image:
    """The picture, decoded."""
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


def is_of(picture: Picture, request: GenerationRequest) -> bool:
    """Whether the pixels are what this prompt and seed give."""
    return read_mark(opened(picture)) == mark_of(request.full_prompt, request.seed)
