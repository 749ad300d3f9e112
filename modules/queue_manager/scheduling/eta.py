"""When waiting jobs will be done: simulates the next batches as the dispatcher would choose them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence

from modules.queue_manager.jobs import BatchKey
from modules.queue_manager.scheduling.batching import Candidate, Lane, choose_key, rows_for

Line = Sequence[tuple[BatchKey, str]]
"""Waiting jobs in fair order, each as its key and the weights it needs."""

PLAYED_THROUGH = 128
"""How many waiting jobs are simulated batch by batch; beyond them, the GPUs' speed is used."""

SOONEST = 32
"""Lanes that are considered: those that will be free first."""

Times = tuple[float, float]
"""When a job begins and ends, in seconds from now."""


def finish_times(lanes: Sequence[Lane], line: Line, *, max_key_wait: int) -> list[float | None]:
    """Seconds until each job of ``line`` is finished on ``lanes``, nobody coming later.

    None for a job that no lane can run, or that is behind one whose duration is unknown.
    """
    return [times and times[1] for times in _played(lanes, line, max_key_wait=max_key_wait)]


def start_times(lanes: Sequence[Lane], line: Line, *, max_key_wait: int) -> list[float | None]:
    """Like `finish_times`, but until each job begins."""
    return [times and times[0] for times in _played(lanes, line, max_key_wait=max_key_wait)]


def _played(lanes: Sequence[Lane], line: Line, *, max_key_wait: int) -> list[Times | None]:
    times: list[Times | None] = [None] * len(line)
    weights = dict(line)
    waiting: dict[BatchKey, deque[int]] = {}
    for place, (key, _) in enumerate(line):
        waiting.setdefault(key, deque()).append(place)
    left = list(range(len(line)))
    free = {lane.name: lane.free_in for lane in lanes}
    warm = {lane.name: lane.warm for lane in lanes}
    passes: dict[BatchKey, int] = {}
    able = list(lanes)

    def goes(places: Iterable[int], key: BatchKey, lane: Lane, seconds: float) -> None:
        begins = free[lane.name]
        free[lane.name] += seconds
        for place in places:
            times[place] = begins, free[lane.name]
            del left[bisect_left(left, place)]
        if not waiting[key]:
            del waiting[key]

    while able and waiting:
        head = line[left[0]][0]
        lane = min(
            able,
            key=lambda lane: (free[lane.name], lane.after is not None, warm[lane.name] != weights[head]),
        )
        if lane.after is not None:
            late = left[_begun_by(free[lane.name] + lane.after, able, free, head) if lane.after else 0 :]
            first = next((place for place in late if lane.limit(line[place][0].need) > 0), None)
            seconds = None if first is None else lane.seconds(line[first][0], 1, False)
            if first is None or seconds is None:
                able.remove(lane)
                continue
            waiting[line[first][0]].remove(first)
            goes([first], line[first][0], lane, seconds)
            continue
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
            own = [other for other in able if other.after is None]
            idle = sum(free[other.name] <= 0 and other.limit(key.need) > 0 for other in own)
        rows = rows_for(len(places), limit=lane.limit(key.need), idle_engines=idle)
        seconds = lane.seconds(key, rows, warm[lane.name] != weights[key])
        if seconds is None:
            break
        if choice.passed_over is not None:
            passes[choice.passed_over] = passes.get(choice.passed_over, 0) + 1
        passes.pop(key, None)
        warm[lane.name] = weights[key]
        goes([places.popleft() for _ in range(rows)], key, lane, seconds)
    return times


def _begun_by(when: float, lanes: Iterable[Lane], free: dict[str, float], key: BatchKey) -> int:
    """About how many jobs your own GPUs have begun by then, if all were of ``key``."""
    begun = 0
    for lane in lanes:
        rows = lane.limit(key.need) if lane.after is None and free[lane.name] <= when else 0
        seconds = lane.seconds(key, rows, False) if rows else None
        if seconds:
            begun += rows * (1 + int((when - free[lane.name]) / seconds))
    return begun
