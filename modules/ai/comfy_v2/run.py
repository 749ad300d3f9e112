"""One job of Comfy API v2, followed by its events, or by polling if there are none."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeVar

from comfy_low import RawEvent

from modules.ai.comfy.errors import failure
from modules.ai.comfy.outputs import checked
from modules.ai.comfy.sampling_progress import SamplingProgress
from modules.ai.comfy_v2.client import ComfyV2Client, NotFound, RemoteJob
from modules.ai.fusion.output_locations import FusedGraph, SavedFile
from modules.ai.workflows.graph import JSON
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineForgot,
    EngineFull,
    EngineUnauthorized,
    EngineUnavailable,
    NoOutput,
)
from modules.queue_manager.jobs import Batch, Picture
from modules.queue_manager.ports import Clock, RunEvent, RunPreview, RunProgress, RunQueued, RunStarted

T = TypeVar("T")

_ENDINGS = ("succeeded", "failed", "canceled", "expired")


@dataclass(frozen=True, kw_only=True, slots=True)
class V2Times:
    """In seconds. Without events, the server is polled every ``first_poll``, later every ``longest_poll``. A
    server that does not answer is given up after ``patience``, which is long because the run may be paid for
    and goes on. A submission that may have arrived is repeated under the same key for ``doubt``. Events that
    broke off are asked for again after ``reopen``, and ever later, up to ``longest_reopen``, while none come.
    A job counts as expired once the server has said so twice, ``twice`` apart."""

    first_poll: float = 0.5
    longest_poll: float = 3.0
    patience: float = 120.0
    doubt: float = 20.0
    reopen: float = 5.0
    longest_reopen: float = 60.0
    twice: float = 1.0


async def patiently(clock: Clock, times: V2Times, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the server answers; raises if that takes too long."""
    since = clock.now()
    backoff = Backoff(first=times.first_poll, longest=times.longest_poll)
    while True:
        try:
            return await ask()
        except (EngineUnauthorized, NotFound):
            raise
        except EngineUnavailable as error:
            if clock.now() - since >= times.patience:
                raise EngineUnavailable(error.reason) from error
            pause = error.seconds if isinstance(error, EngineFull) else backoff.pause()
        await clock.sleep(min(pause, times.patience))


@dataclass(kw_only=True, eq=False, repr=False)
class ComfyV2Run:
    """``job``: its state when it was submitted or found again."""

    id: str
    job: RemoteJob
    batch: Batch
    fused: FusedGraph
    steps: int
    client: ComfyV2Client
    clock: Clock
    times: V2Times

    def __post_init__(self) -> None:
        self._titles = self.fused.titles()
        self._progress = SamplingProgress(self.fused.samplers, self.steps)
        self._polls = Backoff(first=self.times.first_poll, longest=self.times.longest_poll)
        self._heard: asyncio.Queue[RawEvent] = asyncio.Queue(maxsize=64)
        self._begun = self._ended = False

    async def events(self) -> AsyncIterator[RunEvent]:
        listening = asyncio.create_task(self._listen())
        try:
            for found in self._read(self.job):
                yield found
            while not self._ended:
                for found in await self._next():
                    yield found
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def fetch(self, index: int) -> Picture:
        asset = self._output()
        return checked(await patiently(self.clock, self.times, lambda: self.client.picture(asset)))

    async def withdraw(self, *, interrupt: bool) -> bool:
        before = await self.client.job(self.job.id)
        if before.status != "queued" and not interrupt:
            return False
        after = await self.client.cancel(self.job.id)
        # comfy-api-proxy only knows that the job is no longer in ComfyUI's queue.
        return before.status == "queued" and after.status in ("canceled", "canceling", "expired")

    async def running(self) -> bool:
        return (await self.client.job(self.job.id)).status in ("running", "canceling")

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        """Pass events on while there are any; polling finds what they missed."""
        pauses = Backoff(first=self.times.reopen, longest=self.times.longest_reopen)
        while True:
            with suppress(EngineUnavailable):
                async with aclosing(self.client.events(self.job.id)) as events:
                    async for event in events:
                        pauses.reset()
                        await self._heard.put(event)
            await self.clock.sleep(pauses.pause())

    async def _next(self) -> list[RunEvent]:
        """An event, or the job's state if no event came for a while."""
        try:
            async with timeout(self._polls.pause()):
                event = await self._heard.get()
        except asyncio.TimeoutError:
            return self._read(await self._asked())
        found = self._told(event)
        if found:
            self._polls.reset()
        if event.event == "status" and event.data.get("status") in _ENDINGS:
            return [*found, *self._read(await self._asked())]
        return found

    async def _asked(self) -> RemoteJob:
        try:
            job = await patiently(self.clock, self.times, lambda: self.client.job(self.job.id))
            if job.status == "expired":
                await self.clock.sleep(self.times.twice)
                job = await patiently(self.clock, self.times, lambda: self.client.job(self.job.id))
        except NotFound as error:
            raise EngineForgot(f"{self.client.name} has no record of the run") from error
        return job

    def _told(self, event: RawEvent) -> list[RunEvent]:
        if event.event == "status":
            status = event.data.get("status")
            if status == "queued" and not self._begun:
                return [RunQueued()]
            return self._start() if status == "running" else []
        if event.event == "progress":
            return [*self._start(), *self._stepped(event.data)]
        if event.event == "preview":
            image = _decoded(event.data.get("data_base64"))
            return [*self._start(), *([RunPreview(index=0, image=image)] if image else [])]
        return []

    def _read(self, job: RemoteJob) -> list[RunEvent]:
        """What follows from the job's state. Raises the error that it failed with."""
        self.job = job
        name = self.client.name
        if job.status == "queued":
            return [] if self._begun else [RunQueued()]
        if job.status == "running":
            progress = job.progress if isinstance(job.progress, dict) else {}
            return [*self._start(), *self._stepped(progress)]
        if job.status == "succeeded":
            self._ended = True
            return self._start()
        if job.status == "failed":
            told = job.error if isinstance(job.error, dict) else {}
            data = {
                "node_id": told.get("node_id"),
                "node_type": told.get("class_type"),
                "exception_message": told.get("message"),
            }
            raise failure(data, self._titles, self.batch.written())
        if job.status == "expired":
            raise EngineForgot(f"{name} no longer has the run: it expired there")
        if job.status == "canceled":
            raise EngineForgot(f"the run was canceled at {name}")
        return []

    def _start(self) -> list[RunEvent]:
        if self._begun:
            return []
        self._begun = True
        return [RunStarted()]

    def _stepped(self, progress: dict[str, JSON]) -> list[RunEvent]:
        node, step, steps = progress.get("current_node"), _count(progress, "step"), _count(progress, "steps")
        if not 0 < step <= steps:
            return []
        if isinstance(node, str) and self.fused.samplers:
            found = self._progress.stepped(node, step, steps)
            return [] if found is None else [found]
        return [RunProgress(step=step, steps=steps)] if steps > 1 else []

    def _output(self) -> str:
        """The id of the picture among the job's outputs. Raises `NoOutput`."""
        place = self.fused.places[0]
        assert isinstance(place, SavedFile)
        for output in self.job.outputs if isinstance(self.job.outputs, list) else ():
            if (
                isinstance(output, dict)
                and output.get("node_id") == place.node
                and output.get("type") == "image"
            ):
                asset = output.get("id")
                if isinstance(asset, str) and 0 < len(asset) < 2000:
                    return asset
        raise NoOutput("the run ended without saving a picture of its own")


def _count(progress: Mapping[str, JSON], part: str) -> int:
    value = progress.get(part)
    return value if isinstance(value, int) else 0


def _decoded(text: JSON) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""
