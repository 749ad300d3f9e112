"""The server's own queue and history: one prompt at a time, in the order of their numbers."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Graph = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A graph that was accepted. ``outputs`` are the ids of the output nodes to run."""

    number: float
    id: str
    graph: Graph
    extra: dict[str, Any]
    outputs: tuple[str, ...]

    @property
    def client_id(self) -> str | None:
        """Who submitted it, if they said so."""
        return self.extra.get("client_id")

    def as_list(self) -> list[Any]:
        """As /queue and /history show it."""
        return [self.number, self.id, self.graph, self.extra, list(self.outputs)]


@dataclass(kw_only=True)
class RunRecord:
    """How a run went, as the history keeps it."""

    prompt: Prompt
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    success: bool = True

    def as_dict(self) -> dict[str, Any]:
        """One entry of /history."""
        return {
            "prompt": self.prompt.as_list(),
            "outputs": self.outputs,
            "status": self.status(),
            "meta": self.meta,
        }

    def status(self) -> dict[str, Any]:
        """Its ``status``."""
        return {
            "status_str": "success" if self.success else "error",
            "completed": self.success,
            "messages": [[event, data] for event, data in self.messages],
        }


class PromptQueue:
    """Calls ``on_change`` (not awaited) whenever the number of unfinished prompts may have changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._heap: list[tuple[float, int, Prompt]] = []
        self._order = itertools.count()
        self._added = asyncio.Event()
        self._on_change = on_change
        self.running: Prompt | None = None
        self.history: dict[str, RunRecord] = {}

    @property
    def remaining(self) -> int:
        """Prompts that wait or run."""
        return len(self._heap) + (self.running is not None)

    def pending(self) -> list[Prompt]:
        """Those that wait, in their order."""
        return [prompt for _, _, prompt in sorted(self._heap, key=lambda entry: entry[:2])]

    def put(self, prompt: Prompt) -> None:
        """Add a prompt; the lowest number goes first."""
        heapq.heappush(self._heap, (prompt.number, next(self._order), prompt))
        self._on_change()
        self._added.set()

    async def get(self) -> Prompt:
        """The next one, which runs from now on."""
        while not self._heap:
            self._added.clear()
            await self._added.wait()
        self.running = heapq.heappop(self._heap)[2]
        self._on_change()
        return self.running

    def done(self, record: RunRecord, *, keep: bool = True) -> None:
        """The running one has ended."""
        self.running = None
        if keep:
            self.history[record.prompt.id] = record
        self._on_change()

    def delete(self, prompt_id: str) -> bool:
        """Take a waiting prompt out. Clients learn of it only by the number of prompts that remain."""
        for entry in self._heap:
            if entry[2].id == prompt_id:
                self._heap.remove(entry)
                heapq.heapify(self._heap)
                if not self._heap:
                    self._on_change()  # the real server tells it twice when the last one goes
                self._on_change()
                return True
        return False

    def clear(self) -> None:
        """Take all waiting prompts out."""
        self._heap.clear()
        self._on_change()
