"""Engines that wait for a batch, sorted so that the best one for the next job is found at once.

Engines of one *sort* (idle or not, the same model loaded, the same limits) differ for the dispatcher only in
their speed: if one of them finds nothing to do, all do.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from modules.queue_manager.jobs import Need
from modules.queue_manager.scheduling.in_flight import EngineState


class Sort(NamedTuple):
    """What makes engines alike. ``after`` is that of an elastic one's terms, None for your own."""

    after: float | None
    busy: bool
    sick: bool
    warm: str | None
    limits: tuple[tuple[str, int], ...]
    loras: frozenset[str]


class IdleEngines:
    """The waiting engines by sort, the faster ones first within each."""

    def __init__(self) -> None:
        self._by_sort: dict[Sort, list[tuple[float, str, EngineState]]] = {}
        self._places: dict[str, tuple[Sort, float]] = {}  # name → its sort, and its pace when it was added

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, engine: EngineState) -> None:
        """The engine waits. If it was there already, its sort may have changed."""
        after = None if engine.elastic is None else engine.elastic.after
        limits = engine.limits.signature
        sort = Sort(after, bool(engine.batches), engine.sick, engine.warm, limits, engine.loras)
        if engine.name in self._places and self._places[engine.name][0] == sort:
            return
        self.remove(engine)
        self._places[engine.name] = sort, engine.pace
        insort(self._by_sort.setdefault(sort, []), (engine.pace, engine.name, engine))

    def remove(self, engine: EngineState) -> None:
        if engine.name not in self._places:
            return
        sort, pace = self._places.pop(engine.name)
        engines = self._by_sort[sort]
        del engines[bisect_left(engines, (pace, engine.name))]
        if not engines:
            del self._by_sort[sort]

    def sorts(self, head_weights: str | None) -> list[Sort]:
        """Every sort, the best first for a job that needs ``head_weights``: your own, sound engines, idle
        ones, then those that need not load."""
        return sorted(
            self._by_sort,
            key=lambda sort: (
                -1 if sort.after is None else sort.after, sort.sick, sort.busy, sort.warm != head_weights
            ),
        )  # fmt: skip

    def of(self, sort: Sort, most: int) -> list[EngineState]:
        """Up to ``most`` engines of a sort, the fastest first."""
        return [engine for _, _, engine in self._by_sort.get(sort, ())[:most]]

    def idle(self, need: Need) -> int:
        """How many sound engines of your own have nothing to do at all and can serve the need."""
        return sum(
            len(engines)
            for sort, engines in self._by_sort.items()
            if sort.after is None and not (sort.busy or sort.sick) and engines[0][2].can(need)
        )
