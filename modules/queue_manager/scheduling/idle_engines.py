"""Engines that wait for a batch, sorted so that the best one for the next job is found at once.

Engines of one *sort* (idle or not, the same model loaded, the same limits) are alike to the
dispatcher but for their speed: where one of them finds nothing to do, none of them does.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from modules.queue_manager.scheduling.in_flight import EngineState


class Sort(NamedTuple):
    """What makes engines alike."""

    busy: bool
    sick: bool
    warm: str | None
    limits: tuple[tuple[str, int], ...]


class IdleEngines:
    """The waiting engines by sort, the faster ones first within each."""

    def __init__(self) -> None:
        self._members: dict[Sort, dict[str, EngineState]] = {}
        self._heaps: dict[Sort, list[tuple[float, str]]] = {}
        self._sorts: dict[str, Sort] = {}

    def __bool__(self) -> bool:
        return bool(self._sorts)

    def add(self, engine: EngineState) -> None:
        """The engine waits. If it was there already, what makes its sort may have changed."""
        sort = Sort(bool(engine.batches), engine.sick, engine.warm, engine.limits.signature)
        if self._sorts.get(engine.name) == sort:
            return
        self.remove(engine)
        self._sorts[engine.name] = sort
        self._members.setdefault(sort, {})[engine.name] = engine
        heap = self._heaps.setdefault(sort, [])
        heappush(heap, (engine.pace, engine.name))
        if len(heap) > 64 + 2 * len(self._members[sort]):
            # Items of engines that left stay until they surface: now they are the most.
            heap[:] = [(member.pace, member.name) for member in self._members[sort].values()]
            heapify(heap)

    def remove(self, engine: EngineState) -> None:
        """The engine waits no longer."""
        sort = self._sorts.pop(engine.name, None)
        if sort is None:
            return
        members = self._members[sort]
        del members[engine.name]
        if not members:
            del self._members[sort], self._heaps[sort]

    def sorts(self, head_weights: str | None) -> list[Sort]:
        """Every sort, the best first for a job that needs ``head_weights``: sound engines, idle ones, then
        those that need not load."""
        return sorted(self._members, key=lambda sort: (sort.sick, sort.busy, sort.warm != head_weights))

    def of(self, sort: Sort, most: int) -> Iterator[EngineState]:
        """Up to ``most`` engines of a sort, the fastest first. The pool may change between them."""
        heap, members = self._heaps.get(sort, []), self._members.get(sort, {})
        passed: list[tuple[float, str]] = []
        try:
            while heap and len(passed) < most:
                item = heappop(heap)
                engine = members.get(item[1])
                if engine is not None and item not in passed:
                    passed.append(item)
                    yield engine
        finally:
            for item in passed:
                if item[1] in members:
                    heappush(heap, item)

    def idle(self, model: str) -> int:
        """How many sound ones of them have nothing to do at all, and can run ``model``."""
        return sum(
            len(members)
            for sort, members in self._members.items()
            if not (sort.busy or sort.sick) and any(name == model and rows > 0 for name, rows in sort.limits)
        )
