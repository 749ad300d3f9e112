"""When a waiting job will be done: the next batches played through as the dispatcher would choose them."""

from __future__ import annotations

from collections.abc import Sequence

from modules.queue_manager.batching import Candidate, Lane, choose_key
from modules.queue_manager.jobs import BatchKey

Line = Sequence[tuple[BatchKey, str]]
"""Waiting jobs in fair order, each as its key and the weights it needs."""


def finish_in(lanes: Sequence[Lane], line: Line, *, max_key_wait: int) -> float | None:
    """Seconds until the last job of ``line`` is finished on ``lanes``.

    Every job before it is played through too. None if no lane can run it or a duration is unknown.
    """
    free = {lane.name: lane.free_in for lane in lanes}
    warm = {lane.name: lane.warm for lane in lanes}
    left = list(enumerate(line))
    passes: dict[BatchKey, int] = {}
    last = len(line) - 1
    able = list(lanes)
    while able:
        lane = min(able, key=lambda lane: free[lane.name])
        runnable = [item for item in left if lane.limit(item[1][0].model) > 0]
        choice = choose_key(
            _candidates(runnable),
            warm=warm[lane.name],
            warm_elsewhere={w for name, w in warm.items() if name != lane.name and w is not None},
            passes=passes,
            max_key_wait=max_key_wait,
        )
        if choice is None:
            able.remove(lane)
            continue
        key = choice.key
        taken = [item for item in runnable if item[1][0] == key][: lane.limit(key.model)]
        weights = taken[0][1][1]
        seconds = lane.seconds(key, len(taken), warm[lane.name] != weights)
        if seconds is None:
            return None
        if choice.passed_over is not None:
            passes[choice.passed_over] = passes.get(choice.passed_over, 0) + 1
        passes.pop(key, None)
        free[lane.name] += seconds
        warm[lane.name] = weights
        places = {place for place, _ in taken}
        if last in places:
            return free[lane.name]
        left = [item for item in left if item[0] not in places]
    return None


def _candidates(items: Sequence[tuple[int, tuple[BatchKey, str]]]) -> list[Candidate]:
    firsts: dict[BatchKey, Candidate] = {}
    for place, (key, weights) in items:
        if key not in firsts:
            firsts[key] = Candidate(key=key, weights=weights, order=(0, 0, 0.0, place), count=1)
    return list(firsts.values())
