"""One batch in the hands of one ComfyUI: followed by its socket, or by asking when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

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
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import EngineForgot, EngineUnauthorized, EngineUnavailable
from modules.queue_manager.jobs import Batch, Picture
from modules.queue_manager.ports import Clock, RunEvent, RunPreview, RunStarted

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTimes:
    """Seconds. Without a socket the server is asked every ``first_poll``, growing to ``longest_poll``; with
    one, after ``silence`` without a word. A server that refuses is given up after ``refused``, one that
    does not answer after ``silent``. After a submission whose fate is unknown, ``doubt`` goes by before
    the server's word that it has nothing is believed."""

    first_poll: float = 0.1
    longest_poll: float = 1.0
    silence: float = 10.0
    refused: float = 3.0
    silent: float = 30.0
    doubt: float = 2.0


class ComfyRun:
    """A submitted graph. ``inbox`` was put in place before; ``standing`` is what is known of it already, and
    ``told`` whether the socket hears of it."""

    def __init__(
        self,
        *,
        batch: Batch,
        fused: FusedGraph,
        steps: int,
        client: ComfyClient,
        stream: EventStream,
        inbox: Inbox,
        clock: Clock,
        times: RunTimes,
        standing: PromptState | None,
        told: bool,
    ) -> None:
        self._batch = batch
        self._fused = fused
        self._client = client
        self._stream = stream
        self._inbox = inbox
        self._clock = clock
        self._times = times
        self._standing = standing
        self._told_of = told
        self._titles = fused.titles()
        self._progress = SamplingProgress(fused.samplers, steps)
        self._outputs: Mapping[str, JSON] = {}
        self._poll = times.first_poll
        self._begun = False
        self._succeeded = False
        self._ended = False

    @property
    def batch(self) -> Batch:
        """What was submitted."""
        return self._batch

    async def events(self) -> AsyncIterator[RunEvent]:
        """See `ports.Run.events`."""
        try:
            if self._standing is not None:
                for found in self._told(self._standing):
                    yield found
            while not self._ended:
                for found in await self._next():
                    yield found
        finally:
            self._stream.leave(self._batch.id)

    async def fetch(self, index: int) -> Picture:
        """See `ports.Run.fetch`."""
        place = self._fused.places[index]
        if isinstance(place, SavedFile) and place.node not in self._outputs:
            standing = await self._patiently(lambda: self._client.look_up(self._batch.id))
            self._outputs = standing.outputs if isinstance(standing.outputs, dict) else {}
        return await self._patiently(lambda: download(self._client, place, self._outputs))

    async def withdraw(self, *, interrupt: bool) -> bool:
        """See `ports.Run.withdraw`."""
        standing = await self._client.look_up(self._batch.id)
        if standing.state == "pending":
            await self._client.dequeue(self._batch.id)
            standing = await self._client.look_up(self._batch.id)
            if standing.state == "unknown":
                self._stream.nudge(self._batch.id)  # nobody else tells of a prompt that was taken out
                return True
        if standing.state == "running" and interrupt:
            await self._client.interrupt(self._batch.id)
        return standing.state == "unknown" and not self._begun

    async def running(self) -> bool:
        """See `ports.Run.running`."""
        return (await self._client.look_up(self._batch.id)).state == "running"

    # ── what comes in ───────────────────────────────────────────────────────────────────────────

    async def _next(self) -> list[RunEvent]:
        """What happens next; where the socket says nothing, what the server says when it is asked."""
        try:
            listening = self._stream.up and self._told_of
            async with timeout(self._times.silence if listening else self._poll):
                event = await self._inbox.get()
        except (TimeoutError, asyncio.TimeoutError):
            self._poll = min(self._poll * 1.5, self._times.longest_poll)
            return await self._ask()
        if isinstance(event, SocketChanged):
            self._poll = self._times.first_poll
            return await self._ask()
        if isinstance(event, ExecutionEnded) and not self._succeeded:
            return await self._ask()
        return self._heard(event)

    async def _ask(self) -> list[RunEvent]:
        return self._told(await self._patiently(lambda: self._client.look_up(self._batch.id)))

    def _heard(self, event: ComfyEvent) -> list[RunEvent]:
        if isinstance(event, ExecutionFailedAt):
            raise failure(event.data, self._titles, self._batch.written())
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

    def _told(self, standing: PromptState) -> list[RunEvent]:
        if standing.state == "unknown":
            raise EngineForgot(f"{self._client.name} knows nothing of the run")
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
                raise failure(data, self._titles, self._batch.written())
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
        """A preview goes to the owner of its key; the stock one is of the first picture, whoever's it is."""
        if isinstance(event, FirstPreview):
            alone = isinstance(self._fused.places[0], SavedFile)
            return RunPreview(index=0, image=event.image) if alone else None
        place = KeptPicture(event.key)
        if place not in self._fused.places:
            return None
        return RunPreview(index=self._fused.places.index(place), image=event.image)

    # ── a server in trouble ─────────────────────────────────────────────────────────────────────

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, also if the server hesitates; raises when it has been in trouble for too long."""
        since = self._clock.now()
        backoff = Backoff(first=self._times.first_poll, longest=self._times.longest_poll)
        while True:
            try:
                return await ask()
            except EngineUnauthorized:
                raise
            except EngineUnavailable as error:
                patience = self._times.silent if isinstance(error, ServerSilent) else self._times.refused
                if self._clock.now() - since >= patience:
                    raise
            await self._clock.sleep(backoff.pause())
