"""A ComfyUI server as an `ImageEngine`: fuse, submit, follow, fetch."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from modules.ai.comfy.client import ComfyClient, PromptState
from modules.ai.comfy.errors import ServerLacks, Unreachable
from modules.ai.comfy.inputs import read_upload
from modules.ai.comfy.preflight import ServerReport, inspect
from modules.ai.comfy.runs import ComfyRun, RunTimes
from modules.ai.comfy.socket import EventStream
from modules.ai.fusion.fuse import PictureFormat, fuse, plain
from modules.ai.fusion.output_locations import FusedGraph, SavedFile, read_locations
from modules.ai.fusion.samplers import Unfusible
from modules.ai.fusion.sources import SourceNeeded
from modules.ai.workflows.graph import JSON, write_graph
from modules.ai.workflows.node_table import respelled
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.backports import gather_or_cancel, timeout
from modules.queue_manager.errors import (
    EngineUnauthorized,
    EngineUnavailable,
    StoreUnavailable,
    WorkflowRejected,
)
from modules.queue_manager.jobs import Batch, Elastic, FusionCheck
from modules.queue_manager.ports import Capabilities, Clock, SourceReader

logger = logging.getLogger(__name__)

_UPLOAD_FOLDER = "fullet"
_MOST_PREVIEWS = 10
_READING_SECONDS = 5.0
_PLAIN_NO = (EngineUnauthorized, ServerLacks, Unreachable)

LearnTable = Callable[[str, Mapping[str, JSON]], Awaitable[None]]
"""Takes a server's name and its answer to ``GET /object_info``."""

ReadChecks = Callable[[str], Awaitable[Mapping[str, FusionCheck]]]
"""What ``check --fusion`` found on the server of this name, by model. Raises `StoreUnavailable`."""


@dataclass(kw_only=True, eq=False, repr=False)
class ComfyEngine:
    """One server. ``max_batch`` tells the operator's limit at each probe; None: as its memory and the cards
    say (``auto``). ``preview_every`` n: a preview of each picture at every n-th step, but at most
    `_MOST_PREVIEWS`; 0: none. ``learn`` is given the server's name and its whole node table whenever the
    server has come up, or come back. ``read_checks`` is asked at each probe."""

    client: ComfyClient
    templates: Mapping[str, WorkflowTemplate]
    read_source: SourceReader
    clock: Clock
    max_batch: Callable[[], int | None] = lambda: None
    picture_format: PictureFormat = "png"
    preview_every: int = 1
    times: RunTimes = field(default_factory=RunTimes)
    learn: LearnTable | None = None
    read_checks: ReadChecks | None = None
    elastic: ClassVar[Elastic | None] = None

    def __post_init__(self) -> None:
        self._stream = EventStream(client=self.client, clock=self.clock)
        self._report: ServerReport | None = None
        self._probing = asyncio.Lock()
        self._learning: asyncio.Task[None] | None = None
        self._checks: Mapping[str, FusionCheck] | None = None

    @property
    def name(self) -> str:
        return self.client.name

    async def probe(self) -> Capabilities:
        async with self._probing:
            # a copy, as models come and go meanwhile
            report = await inspect(self.client, dict(self.templates), max_batch=self.max_batch())
            self._report = report
        await self._stream.connect()
        checks = await self._known_checks()
        if self.learn is not None and self._learning is None:
            self._learning = asyncio.create_task(self._learn_table(self.learn))
        return Capabilities(
            batch_limits=report.limits,
            cautious=report.cautious,
            versions=report.versions,
            notes=report.notes,
            missing_files=report.missing_files,
            varies=report.pack,
            loras=report.loras,
            checks=report.valid(checks),
        )

    async def _known_checks(self) -> Mapping[str, FusionCheck]:
        """What was found last. While the database cannot be reached, what was read before holds."""
        if self.read_checks is None:
            return {}
        try:
            async with timeout(_READING_SECONDS):
                self._checks = await self.read_checks(self.name)
        except (StoreUnavailable, asyncio.TimeoutError) as trouble:
            if self._checks is None:  # it may hold that a model must not be fused
                raise EngineUnavailable(
                    "the database does not answer, so the results of check --fusion here are not known"
                ) from trouble
        return self._checks

    async def _learn_table(self, learn: LearnTable) -> None:
        try:
            await learn(self.name, await self.client.node_table())
        except (EngineUnavailable, RecursionError) as trouble:
            logger.info("Cannot read the node table: %s", trouble, extra={"engine": self.name})

    async def submit(self, batch: Batch) -> ComfyRun:
        template = self.templates.get(batch.key.model)
        if template is None:
            raise WorkflowRejected(f"there is no model {batch.jobs[0].request.model}")
        fused = await self._fused(template, batch)
        await self._stream.connect()
        run = self._run(batch, template, fused)
        stock = isinstance(fused.places[0], SavedFile)
        previews = "auto" if stock and self.preview_every else "none"
        try:
            await self.client.submit(
                write_graph(respelled(fused.graph, self._report.spellings if self._report else {})),
                prompt_id=batch.id,
                client_id=self._stream.client_id,
                titles=fused.titles(),
                written=batch.written(),
                extra={"preview_method": previews},
            )
        except BaseException as error:
            if not await self._arrived(batch, error):
                self._stream.leave(batch.id)
                raise
        return run

    async def resume(self, batch: Batch) -> ComfyRun | None:
        """The graph that the server keeps says where the pictures are."""
        template = self.templates.get(batch.key.model)
        standing = await self.client.look_up(batch.id)
        fused = read_locations(standing.graph, [batch.row(index) for index in range(len(batch.jobs))])
        if template is None or fused is None:
            return None
        await self._stream.connect()
        told = await self._stream.adopt(standing.client_id)
        return self._run(batch, template, fused, standing, told=told)

    async def doubtful(self) -> None:
        await self._stream.broken()
        self._forget_table()

    async def aclose(self) -> None:
        self._forget_table()
        await self._stream.aclose()

    def _forget_table(self) -> None:
        """A server that comes back may have other nodes."""
        if self._learning is not None:
            self._learning.cancel()
        self._learning = None

    async def _fused(self, template: WorkflowTemplate, batch: Batch) -> FusedGraph:
        if self._report is None:
            await self.probe()
        assert self._report is not None
        requests = [job.request for job in batch.jobs]
        keys = [secrets.token_hex(16) for _ in requests]
        names = await self._uploaded(batch)
        try:
            if batch.fused and template.id in self._report.fused:
                return fuse(
                    template, requests, keys=keys, source_names=names, picture_format=self.picture_format,
                    preview_every=self._previews(template),
                )  # fmt: skip
            if len(requests) > 1:
                raise EngineUnavailable(
                    f"{self.name} can make pictures with {template.name} only one by one now"
                )
            return plain(
                template, requests[0], key=keys[0], source_names=names[0], mixes_noise=self._report.pack,
            )  # fmt: skip
        except (Unfusible, SourceNeeded) as error:
            raise WorkflowRejected(str(error)) from error

    def _previews(self, template: WorkflowTemplate) -> int:
        """Steps from one preview to the next; SaveImageBatch takes 100 at most."""
        rarest = math.ceil(template.card.steps / _MOST_PREVIEWS)
        return min(100, max(self.preview_every, rarest)) if self.preview_every else 0

    async def _uploaded(self, batch: Batch) -> list[list[str]]:
        """The server's names of each job's pictures; equal ones are uploaded once."""
        keys = list(dict.fromkeys(source.key for job in batch.jobs for source in job.request.inputs))
        names = dict(zip(keys, await gather_or_cancel(map(self._upload, keys)), strict=True))
        return [[names[source.key] for source in job.request.inputs] for job in batch.jobs]

    async def _upload(self, key: str) -> str:
        picture = await read_upload(self.read_source, key)
        return await self.client.upload(picture.data, picture.name, _UPLOAD_FOLDER)

    def _run(
        self,
        batch: Batch,
        template: WorkflowTemplate,
        fused: FusedGraph,
        standing: PromptState | None = None,
        *,
        told: bool = True,
    ) -> ComfyRun:
        return ComfyRun(
            batch=batch,
            fused=fused,
            steps=template.card.steps,
            client=self.client,
            stream=self._stream,
            inbox=self._stream.enter(batch.id),
            clock=self.clock,
            times=self.times,
            standing=standing,
            told=told,
        )

    async def _arrived(self, batch: Batch, error: BaseException) -> bool:
        """Whether a submission that seemed to fail did arrive, if the error leaves that open. If it did not,
        it is taken out of the queue in case it still arrives: an id that is submitted twice runs twice."""
        if not isinstance(error, EngineUnavailable) or isinstance(error, _PLAIN_NO):
            return False
        until = self.clock.now() + self.times.doubt
        while True:
            try:
                if (await self.client.look_up(batch.id)).state != "unknown":
                    return True
                if self.clock.now() >= until:
                    await self.client.dequeue(batch.id)
                    return False
            except EngineUnavailable as trouble:
                logger.info("Cannot tell whether a batch arrived: %s", trouble, extra={"prompt_id": batch.id})
                if isinstance(trouble, Unreachable) or self.clock.now() >= until:
                    return False
            await self.clock.sleep(self.times.first_poll)
