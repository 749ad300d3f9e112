"""An address of Comfy API v2 as an `ImageEngine`: stock graphs that end in SaveImage, one picture each, many
at once."""

from __future__ import annotations

import logging
import secrets
from asyncio import Event
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from modules.ai.comfy.errors import ServerLacks
from modules.ai.comfy.inputs import read_upload
from modules.ai.comfy_v2.client import ComfyV2Client, KeyUsed, Labels, NotFound, OutcomeUnknown, RemoteJob
from modules.ai.comfy_v2.offered import Offered, offered
from modules.ai.comfy_v2.run import ComfyV2Run, V2Times, patiently
from modules.ai.fusion.fuse import plain
from modules.ai.fusion.output_locations import SAVE_NODE, FusedGraph, SavedFile
from modules.ai.fusion.samplers import Unfusible
from modules.ai.fusion.sources import SourceNeeded
from modules.ai.workflows.graph import JSON, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import EngineForgot, EngineFull, EngineUnavailable, WorkflowRejected
from modules.queue_manager.jobs import Batch, Elastic
from modules.queue_manager.ports import Capabilities, Clock, SourceReader

logger = logging.getLogger(__name__)

LONGEST_ID = 36
"""The longest run id that the journal keeps; a run with a longer one is found only by its label."""


@dataclass(kw_only=True, eq=False, repr=False)
class ComfyV2Engine:
    """``models``: the names of those that the operator says it has; empty: all that need only ComfyUI's own
    nodes."""

    client: ComfyV2Client
    elastic: Elastic
    templates: Mapping[str, WorkflowTemplate]
    read_source: SourceReader
    clock: Clock
    models: tuple[str, ...] = ()
    times: V2Times = field(default_factory=V2Times)

    def __post_init__(self) -> None:
        self._labels: Labels = "none"
        self._refused: dict[str, str] = {}
        self._full: tuple[float, str] = (0.0, "")

    @property
    def name(self) -> str:
        return self.client.name

    async def probe(self) -> Capabilities:
        await self.client.check()
        self._labels = await self.client.labels()
        found = self.offered()
        full = (self._full[1],) if self.clock.now() < self._full[0] else ()
        return Capabilities(
            batch_limits=dict.fromkeys(found.models, 1),
            versions={model: self.templates[model].fingerprint[:32] for model in found.models},
            notes=(*found.notes, *full),
            varies=False,
        )

    def offered(self) -> Offered:
        """The models that it offers now."""
        return offered(self.name, dict(self.templates), named=self.models, refused=self._refused)

    async def submit(self, batch: Batch) -> ComfyV2Run:
        template = self.templates.get(batch.key.model)
        if template is None:
            raise WorkflowRejected(f"there is no model {batch.jobs[0].request.model}")
        if len(batch.jobs) > 1:
            raise EngineUnavailable(f"{self.name} makes pictures one by one")
        request = batch.jobs[0].request
        marks = [secrets.token_hex(16) for _ in request.inputs]
        try:
            fused = plain(template, request, key=secrets.token_hex(16), source_names=marks)
        except (Unfusible, SourceNeeded) as error:
            raise WorkflowRejected(str(error)) from error
        try:
            assets = [await self._asset(source.key) for source in request.inputs]
            graph = _with_assets(write_graph(fused.graph), dict(zip(marks, assets, strict=True)))
            job = await self._submitted(batch, graph, fused)
        except EngineFull as error:
            self._full = self.clock.now() + error.seconds, error.reason
            raise
        except ServerLacks as error:
            if template.id not in self._refused:
                logger.warning(
                    "%s is not offered there any more: %s", template.name, error, extra={"engine": self.name}
                )
                self._refused[template.id] = error.reason
            raise
        return self._run(batch, template, fused, job)

    async def resume(self, batch: Batch) -> ComfyV2Run | None:
        """Find the run by its id, or by its label if the process died before it knew the id."""
        template = self.templates.get(batch.key.model)
        if template is None:
            return None
        job = await patiently(self.clock, self.times, lambda: self._known(batch.id))
        return None if job is None else self._run(batch, template, _saved(), job)

    async def doubtful(self) -> None:
        await Event().wait()  # there is no socket that could tell

    async def aclose(self) -> None:
        await self.client.aclose()

    async def _known(self, name: str) -> RemoteJob | None:
        """The job with this id, or else with this label; None if the server shows neither."""
        try:
            return await self.client.job(name)
        except NotFound:
            found = await self.client.find(name, self._labels)
            return None if found is None else await self.client.job(found)

    async def _submitted(self, batch: Batch, graph: Mapping[str, JSON], fused: FusedGraph) -> RemoteJob:
        """Start the run exactly once, even if an answer is lost: the key makes another try harmless."""
        until = self.clock.now() + self.times.doubt
        while True:
            try:
                return await self.client.submit(
                    graph, key=batch.id, labels=self._labels, titles=fused.titles(), written=batch.written()
                )
            except OutcomeUnknown as error:
                logger.info("Cannot tell whether a run began: %s", error, extra={"engine": self.name})
                if self.clock.now() >= until:
                    raise
            except KeyUsed:
                found = await patiently(
                    self.clock, self.times, lambda: self.client.find(batch.id, self._labels)
                )
                if found is None:
                    raise EngineForgot(f"{self.name} accepted the run but did not say its id") from None
                return await patiently(self.clock, self.times, partial(self.client.job, found))
            await self.clock.sleep(self.times.first_poll)

    async def _asset(self, key: str) -> JSON:
        picture = await read_upload(self.read_source, key)
        return await self.client.upload(picture.data, picture.name, picture.media_type)

    def _run(self, batch: Batch, template: WorkflowTemplate, fused: FusedGraph, job: RemoteJob) -> ComfyV2Run:
        return ComfyV2Run(
            id=job.id if len(job.id) <= LONGEST_ID else batch.id,
            job=job,
            batch=batch,
            fused=fused,
            steps=template.card.steps,
            client=self.client,
            clock=self.clock,
            times=self.times,
        )


def _with_assets(graph: Mapping[str, JSON], assets: Mapping[str, JSON]) -> dict[str, JSON]:
    """The graph, with the uploaded assets in place of their placeholders."""
    return {
        node_id: {
            **node,
            "inputs": {
                name: assets.get(value, value) if isinstance(value, str) else value
                for name, value in node["inputs"].items()
            },
        }
        for node_id, node in graph.items()
    }


def _saved() -> FusedGraph:
    """Where to find the picture of a run that an earlier process submitted; its samplers are not known."""
    return FusedGraph(graph={}, places=(SavedFile(SAVE_NODE, ""),), samplers=())
