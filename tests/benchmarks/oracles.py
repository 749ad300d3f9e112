"""What could be reached at best: pure calculations over the durations that the simulated GPUs will draw.

A run of ``n`` pictures takes ``batch + n · picture`` seconds, times the GPU's next noise factor.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One simulated GPU. ``factors`` are the noise of its runs to come; beyond them there is none."""

    batch: float
    picture: float
    limit: int
    speed: float = 1.0
    factors: tuple[float, ...] = ()

    def seconds(self, rows: int, run: int) -> float:
        """What the GPU's run number ``run`` (from 0) takes with ``rows`` pictures."""
        factor = self.factors[run] if run < len(self.factors) else 1.0
        return (self.batch + rows * self.picture) * factor / self.speed


def noise(seed: int, share: float, count: int, *, skip: int = 0) -> tuple[float, ...]:
    """The factors that a simulated GPU draws, after those of its first ``skip`` runs."""
    drawn = random.Random(seed)
    return tuple(1 + drawn.uniform(-share, share) for _ in range(skip + count))[skip:]


def least_makespan(jobs: int, gpus: Sequence[Gpu]) -> float:
    """Seconds in which ``jobs`` could be done by the best split among ``gpus``, each in full batches and
    a rest at its end."""
    if len(gpus) == 1:
        return _alone(jobs, gpus[0])
    first, others = gpus[0], gpus[1:]
    return min(max(_alone(here, first), least_makespan(jobs - here, others)) for here in range(jobs + 1))


def _alone(jobs: int, gpu: Gpu) -> float:
    seconds, run = 0.0, 0
    while jobs > 0:
        rows = min(jobs, gpu.limit)
        seconds += gpu.seconds(rows, run)
        jobs, run = jobs - rows, run + 1
    return seconds


@dataclass(frozen=True, kw_only=True)
class Loss:
    """GPU number ``gpu`` is gone from ``at`` on, and what it was doing with it."""

    gpu: int
    at: float


def completions(jobs: int, gpus: Sequence[Gpu], loss: Loss | None = None) -> list[float]:
    """When each of ``jobs`` waiting pictures is done by list scheduling: a free GPU takes a full batch at
    once. What a lost GPU was doing waits again, first in line, from the instant of the loss."""
    free, runs = [0.0] * len(gpus), [0] * len(gpus)
    living = list(range(len(gpus)))
    waiting, held, done = jobs, 0, list[float]()
    while waiting or held:
        if not living:
            raise ValueError("no GPU is left")
        at = min(living, key=lambda n: free[n])
        if held and loss is not None and (not waiting or free[at] >= loss.at):
            free[at] = max(free[at], loss.at)
            waiting, held = waiting + held, 0
        rows = min(waiting, gpus[at].limit)
        waiting -= rows
        ends = free[at] + gpus[at].seconds(rows, runs[at])
        if loss is not None and at == loss.gpu and ends > loss.at:
            living.remove(at)
            held = rows
            continue
        free[at], runs[at] = ends, runs[at] + 1
        done += [ends] * rows
    return sorted(done)


@dataclass(frozen=True, kw_only=True)
class Model:
    """``count`` waiting pictures of one model; ``batch`` and ``picture`` as for a GPU, ``load`` seconds
    to bring it in."""

    count: int
    batch: float
    picture: float
    load: float


def best_fixed_assignment(models: Sequence[Model], *, gpus: int, limit: int) -> float:
    """Seconds in which the pictures could be done if each model's home GPUs were fixed beforehand, by the
    best choice of homes; a GPU that is home to several does them one after another, one load each."""
    homes = [subset for subset in product((False, True), repeat=gpus) if any(subset)]
    return min(_assigned(models, choice, gpus, limit) for choice in product(homes, repeat=len(models)))


def _assigned(models: Sequence[Model], choice: Sequence[Sequence[bool]], gpus: int, limit: int) -> float:
    """Models with one home first, so that those with several even out what is left."""
    free = [0.0] * gpus
    for model, homes in sorted(zip(models, choice, strict=True), key=lambda pair: sum(pair[1])):
        at_home = [n for n in range(gpus) if homes[n]]
        loaded: set[int] = set()
        left = model.count
        while left > 0:
            rows = min(left, limit)
            run = model.batch + rows * model.picture
            costs = {n: free[n] + run + (0.0 if n in loaded else model.load) for n in at_home}
            at = min(costs, key=lambda n: costs[n])
            free[at] = costs[at]
            loaded.add(at)
            left -= rows
    return max(free)


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index (Jain, Chiu, Hawe, DEC-TR-301, 1984): 1 when all are equal, 1/n at worst."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-round(share * len(ordered) * 1e9) // 1_000_000_000))
    return ordered[rank - 1]


def relative_error(pairs: Sequence[tuple[float, float]]) -> float:
    """Σ |predicted − actual| / Σ actual over pairs of both."""
    return sum(abs(predicted - actual) for predicted, actual in pairs) / sum(actual for _, actual in pairs)


def busy_share(spans: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    """Σ of spans / Σ over GPUs of (last end − first start)."""
    busy = sum(end - start for each in spans.values() for start, end in each)
    whole = sum(each[-1][1] - each[0][0] for each in spans.values() if each)
    return busy / whole
