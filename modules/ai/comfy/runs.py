"""One batch on one ComfyUI server, followed over the socket, or by polling if there is no socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from modules.ai.comfy.client import ComfyClient, PromptState
from modules.ai.comfy.errors import ServerSilent, failure, interruption
from modules.ai.comfy.events import (
    ComfyEvent,
    ExecutionEnded,
    ExecutionFailedAt,
    ExecutionInterrupted,
    ExecutionSucceeded,
    FirstPreview,
    KeyedPreview,
    NodeOutput,
    NodeProgress,
    NodeStarted,
    SocketChanged,
)
from modules.ai.comfy.outputs import download
from modules.ai.comfy.sampling_progress import SamplingProgress
from modules.ai.comfy.socket import EventStream, Inbox
from modules.ai.fusion.output_locations import FusedGraph, KeptPicture, SavedFile
from modules.ai.workflows.graph import JSON
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import EngineForgot, EngineUnauthorized, EngineUnavailable
from modules.queue_manager.jobs import Batch, Picture
from modules.queue_manager.ports import Clock, RunEvent, RunPreview, RunStarted

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTimes:
    """Seconds. Without a socket the server is asked every ``first_poll``, growing to ``longest_poll``; with
    one, after ``silence`` without a message, growing to ``longest_silence``. A server that refuses is given
    up after ``refused``. One that accepts connections and does not answer may be busy with the run, so it is
    given up only while pictures are fetched, after ``silent``. After a submission that may have failed, the
    server's answer that it has no such prompt counts only after ``doubt``."""

    first_poll: float = 0.1
    longest_poll: float = 1.0
    silence: float = 1.5
    longest_silence: float = 10.0
    refused: float = 3.0
    silent: float = 30.0
    doubt: float = 2.0


@dataclass(kw_only=True, eq=False, repr=False)
class ComfyRun:
    """A submitted graph. ``standing``: what is already known of it; ``told``: whether the socket gets its
    events."""

    batch: Batch
    fused: FusedGraph
    steps: int
    client: ComfyClient
    stream: EventStream
    inbox: Inbox
    clock: Clock
    times: RunTimes
    standing: PromptState | None
    told: bool

    def __post_init__(self) -> None:
        self._titles = self.fused.titles()
        self._progress = SamplingProgress(self.fused.samplers, self.steps)
        self._outputs: Mapping[str, JSON] = {}
        self._polls = Backoff(first=self.times.first_poll, longest=self.times.longest_poll)
        self._silences = Backoff(first=self.times.silence, longest=self.times.longest_silence)
        self._hearing: asyncio.Future[ComfyEvent] | None = None
        self._begun = False
        self._succeeded = False
        self._ended = False

    @property
    def id(self) -> str:
        return self.batch.id

    async def events(self) -> AsyncIterator[RunEvent]:
        try:
            if self.standing is not None:
                for found in self._read_state(self.standing):
                    yield found
            while not self._ended:
                for found in await self._next():
                    yield found
        finally:
            self.stream.leave(self.batch.id)
            if self._hearing is not None:
                self._hearing.cancel()

    async def fetch(self, index: int) -> Picture:
        place = self.fused.places[index]
        if isinstance(place, SavedFile) and place.node not in self._outputs:
            standing = await self._patiently(lambda: self.client.look_up(self.batch.id))
            self._outputs = standing.outputs if isinstance(standing.outputs, dict) else {}
        return await self._patiently(lambda: download(self.client, place, self._outputs))

    async def withdraw(self, *, interrupt: bool) -> bool:
        standing = await self.client.look_up(self.batch.id)
        if standing.state == "pending":
            await self.client.dequeue(self.batch.id)
            standing = await self.client.look_up(self.batch.id)
            if standing.state == "unknown":
                self.stream.nudge(self.batch.id)  # the server sends no event for it
                return True
        if standing.state == "running" and interrupt:
            await self.client.interrupt(self.batch.id)
        return standing.state == "unknown" and not self._begun

    async def running(self) -> bool:
        return (await self.client.look_up(self.batch.id)).state == "running"

    async def _next(self) -> list[RunEvent]:
        """What happens next, from the socket, or from asking the server if the socket is silent."""
        if self._hearing is None and not self.inbox.empty():
            event = self.inbox.get_nowait()
        else:
            hearing = self._hearing = self._hearing or asyncio.ensure_future(self.inbox.get())
            listening = self.stream.up and self.told
            await asyncio.wait({hearing}, timeout=(self._silences if listening else self._polls).pause())
            if not hearing.done():
                return await self._ask_until(hearing)
            event, self._hearing = hearing.result(), None
        self._silences.reset()
        if isinstance(event, SocketChanged):
            self._polls.reset()
            return await self._ask()
        if isinstance(event, ExecutionEnded) and not self._succeeded:
            return await self._ask()
        return self._heard(event)

    async def _ask_until(self, heard: asyncio.Future[ComfyEvent]) -> list[RunEvent]:
        """Ask the server, but only until the socket says something."""
        asking = asyncio.ensure_future(self._ask())
        try:
            either: set[asyncio.Future[Any]] = {asking, heard}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else []
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self) -> list[RunEvent]:
        standing = await self._patiently(self._standing)
        return [] if standing is None else self._read_state(standing)

    async def _standing(self) -> PromptState | None:
        """Where the run stands; None if the server takes connections but does not answer: it may be busy."""
        await self.client.reach()
        try:
            return await self.client.look_up(self.batch.id)
        except ServerSilent:
            return None

    def _heard(self, event: ComfyEvent) -> list[RunEvent]:
        if isinstance(event, ExecutionFailedAt):
            raise failure(event.data, self._titles, self.batch.written())
        if isinstance(event, ExecutionInterrupted):
            raise interruption()
        if isinstance(event, ExecutionSucceeded):
            self._succeeded = True
        elif isinstance(event, ExecutionEnded):
            self._ended = True
        elif isinstance(event, NodeOutput):
            self._outputs = {**self._outputs, event.node: event.output}
        found: RunEvent | None = None
        if isinstance(event, NodeStarted):
            found = self._progress.node_started()
        elif isinstance(event, NodeProgress):
            found = self._progress.stepped(event.node, event.value, event.most)
        elif isinstance(event, KeyedPreview | FirstPreview):
            found = self._preview(event)
        return [*self._start(), *([] if found is None else [found])]

    def _read_state(self, standing: PromptState) -> list[RunEvent]:
        if standing.state == "unknown":
            raise EngineForgot(f"{self.client.name} has no record of the run")
        if standing.state == "pending":
            return []
        if standing.state == "finished":
            self._read_history(standing)
        return self._start()

    def _read_history(self, standing: PromptState) -> None:
        status = standing.status if isinstance(standing.status, dict) else {}
        messages = status.get("messages")
        for message in messages if isinstance(messages, list) else ():
            kind, data = message if isinstance(message, list) and len(message) == 2 else (None, None)
            if kind == "execution_error":
                raise failure(data, self._titles, self.batch.written())
            if kind == "execution_interrupted":
                raise interruption()
        if status.get("status_str") == "error":
            raise failure({}, self._titles)
        self._outputs = standing.outputs if isinstance(standing.outputs, dict) else {}
        self._succeeded = self._ended = True

    def _start(self) -> list[RunEvent]:
        if self._begun:
            return []
        self._begun = True
        return [RunStarted()]

    def _preview(self, event: KeyedPreview | FirstPreview) -> RunPreview | None:
        """A preview goes to the owner of its key; a stock preview shows the first picture of the batch."""
        if isinstance(event, FirstPreview):
            alone = isinstance(self.fused.places[0], SavedFile)
            return RunPreview(index=0, image=event.image) if alone else None
        place = KeptPicture(event.key)
        if place not in self.fused.places:
            return None
        return RunPreview(index=self.fused.places.index(place), image=event.image)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the server answers; raise if it has been in trouble for too long."""
        since = self.clock.now()
        backoff = Backoff(first=self.times.first_poll, longest=self.times.longest_poll)
        while True:
            try:
                return await ask()
            except EngineUnauthorized:
                raise
            except EngineUnavailable as error:
                patience = self.times.silent if isinstance(error, ServerSilent) else self.times.refused
                if self.clock.now() - since >= patience:
                    raise
            await self.clock.sleep(backoff.pause())
