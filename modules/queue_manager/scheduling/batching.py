"""Which jobs share a run, and on which engine: pure decisions over plain values.

The rules, in the order in which they bind:

1. Only jobs of one `BatchKey` share a run.
2. A key whose job is first in the fair order is passed over at most ``max_key_wait`` times. Within that bound
   an engine keeps to the model it has loaded (a *warm* one), and leaves models that are warm elsewhere to
   those engines, if they finish them before the bound makes this one change.
3. An engine leaves jobs to the others if these would finish them sooner, with all the work that comes before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from modules.queue_manager.jobs import BatchKey, Need
from modules.queue_manager.scheduling.fair_queue import Order

DurationOf = Callable[[BatchKey, int, bool], "float | None"]
"""Seconds that a run of (key, rows, with a change of model) takes on one engine; None: unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Waiting jobs of one key that an engine could take. Keys of equal ``weights`` need no change of model;
    ``order`` is that of the first job."""

    key: BatchKey
    weights: str
    order: Order


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The key to continue with, and the key that was first but is passed over, if any."""

    key: BatchKey
    passed_over: BatchKey | None = None


def choose_key(
    candidates: Sequence[Candidate],
    *,
    warm: str | None,
    left: Collection[BatchKey],
    passes: Mapping[BatchKey, int],
    max_key_wait: int,
) -> Choice | None:
    """The key with which an engine with ``warm`` loaded goes on; None if it can run nothing.

    ``left``: keys left to other engines, which have their models loaded; ``passes``: how often each key was
    passed over while it was first.
    """
    if not candidates:
        return None
    own = _first(c for c in candidates if c.weights == warm)
    foreign = _first(c for c in candidates if c.weights != warm and c.key not in left)
    if own is None:
        first = foreign or _first(candidates)
        return Choice(key=first.key) if first else None
    if foreign is None or own.order < foreign.order:
        return Choice(key=own.key)
    if passes.get(foreign.key, 0) >= max_key_wait:
        return Choice(key=foreign.key)
    return Choice(key=own.key, passed_over=foreign.key)


def _first(candidates: Iterable[Candidate]) -> Candidate | None:
    return min(candidates, key=lambda candidate: candidate.order, default=None)


def rows_for(waiting: int, *, limit: int, idle_engines: int) -> int:
    """How many of ``waiting`` jobs one of ``idle_engines`` equal engines takes: an even share, at most
    ``limit``."""
    share = -(-waiting // max(idle_engines, 1))
    return max(0, min(waiting, limit, share))


@dataclass(kw_only=True, slots=True)
class Lane:
    """An engine as the planner sees it: free again in ``free_in`` seconds, with ``warm`` loaded; or a slot of
    an elastic one, with its ``after``."""

    name: str
    free_in: float
    warm: str | None
    limit: Callable[[Need], int]
    seconds: DurationOf
    after: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """``count`` waiting jobs of one key, in fair order among other work."""

    key: BatchKey
    weights: str
    count: int


def finish_by(lanes: Sequence[Lane], work: Sequence[Work], *, within: float = inf) -> float | None:
    """Seconds until ``lanes`` would have finished all of ``work``, by list scheduling: each batch
    goes to the lane that ends it first (Graham, "Bounds on multiprocessing timing anomalies", 1969).
    None if some of it can run on no lane, a duration is unknown, or it takes longer than ``within``."""
    free = [lane.free_in for lane in lanes]
    warm = [lane.warm for lane in lanes]
    end = 0.0
    for item in work:
        left = item.count
        while left > 0:
            best: tuple[float, int, int] | None = None
            for at, lane in enumerate(lanes):
                rows = min(left, lane.limit(item.key.need))
                if rows <= 0:
                    continue
                seconds = lane.seconds(item.key, rows, warm[at] != item.weights)
                if seconds is None:
                    return None
                ends = free[at] + seconds
                if best is None or ends < best[0]:
                    best = (ends, at, rows)
            if best is None:
                return None
            end = max(end, best[0])
            if end > within:
                return None
            free[best[1]], warm[best[1]] = best[0], item.weights
            left -= best[2]
    return end
