"""When waiting jobs will be done: the next batches played through as the dispatcher would choose them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from modules.queue_manager.jobs import BatchKey
from modules.queue_manager.scheduling.batching import Candidate, Lane, choose_key, rows_for

Line = Sequence[tuple[BatchKey, str]]
"""Waiting jobs in fair order, each as its key and the weights it needs."""


def finish_times(lanes: Sequence[Lane], line: Line, *, max_key_wait: int) -> list[float | None]:
    """Seconds until each job of ``line`` is finished on ``lanes``, nobody coming later.

    None for a job that no lane can run, or that stands behind one whose duration is unknown.
    """
    ends: list[float | None] = [None] * len(line)
    weights = dict(line)
    waiting: dict[BatchKey, deque[int]] = {}
    for place, (key, _) in enumerate(line):
        waiting.setdefault(key, deque()).append(place)
    free = {lane.name: lane.free_in for lane in lanes}
    warm = {lane.name: lane.warm for lane in lanes}
    passes: dict[BatchKey, int] = {}
    able = list(lanes)
    while able and waiting:
        head = min(waiting, key=lambda key: waiting[key][0])
        lane = min(able, key=lambda lane: (free[lane.name], warm[lane.name] != weights[head]))
        loaded = {w for name, w in warm.items() if name != lane.name}
        choice = choose_key(
            [
                Candidate(key=key, weights=weights[key], order=(0, 0, 0.0, places[0]))
                for key, places in waiting.items()
                if lane.limit(key.need) > 0
            ],
            warm=warm[lane.name],
            left=[key for key in waiting if weights[key] in loaded],
            passes=passes,
            max_key_wait=max_key_wait,
        )
        if choice is None:
            able.remove(lane)
            continue
        key, places = choice.key, waiting[choice.key]
        idle = 0
        if free[lane.name] <= 0:
            idle = sum(free[other.name] <= 0 and other.limit(key.need) > 0 for other in able)
        rows = rows_for(len(places), limit=lane.limit(key.need), idle_engines=idle)
        seconds = lane.seconds(key, rows, warm[lane.name] != weights[key])
        if seconds is None:
            break
        if choice.passed_over is not None:
            passes[choice.passed_over] = passes.get(choice.passed_over, 0) + 1
        passes.pop(key, None)
        free[lane.name] += seconds
        warm[lane.name] = weights[key]
        for _ in range(rows):
            ends[places.popleft()] = free[lane.name]
        if not places:
            del waiting[key]
    return ends
