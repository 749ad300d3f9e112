"""What a benchmark is: a subject that is measured a few times, and the figures that come of it."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

Direction = Literal["at least", "at most"]
Measurement = Mapping[str, float]
"""One run: figures by name. A figure that could not be had is NaN."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number. Without a ``target`` it is only information."""

    name: str
    unit: str
    about: str
    target: float | None = None
    better: Direction = "at most"

    def holds(self, value: float) -> bool | None:
        """Whether the target is met; None where there is none. A number that is missing meets nothing."""
        if self.target is None:
            return None
        return value >= self.target if self.better == "at least" else value <= self.target


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Figures that one measurement gives. ``measure`` is given the number of the run, which is its seed,
    and, if it is ``sustained``, for how many ``seconds``. If ``once``, one run has enough samples."""

    name: str
    figures: tuple[Figure, ...]
    measure: Callable[..., Awaitable[Measurement]]
    sustained: bool = False
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """A figure after all runs."""

    figure: Figure
    samples: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median; NaN if a run could not tell it, however good the others were."""
        return float("nan") if any(map(math.isnan, self.samples)) else statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """What stands in build/bench.json. A missing number is null: JSON has no NaN."""
        return {
            "name": self.figure.name,
            "value": _number(self.value),
            "unit": self.figure.unit,
            "target": self.figure.target,
            "ok": self.figure.holds(self.value) is not False,
            "information": self.figure.target is None,
            "better": self.figure.better,
            "min": _number(min(self.samples)),
            "max": _number(max(self.samples)),
            "runs": len(self.samples),
            "about": self.figure.about,
        }


def results(subject: Subject, runs: Sequence[Measurement]) -> list[Result]:
    """The subject's figures over ``runs``."""
    nothing = float("nan")
    return [
        Result(figure=figure, samples=tuple(run.get(figure.name, nothing) for run in runs))
        for figure in subject.figures
    ]


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)  # noqa: PLR0124 - only NaN differs from itself


async def in_fresh_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns, done by an interpreter that has done nothing else yet."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return await asyncio.wrap_future(pool.submit(work, *args, **kwargs))
