"""How long runs take, learned from earlier ones.

A run's time has four parts, learned separately for each engine and model: *load* (only after a change of
model), *before* (from the start to the first step: text encoding and so on), *step* (a sampler step) and
*after* (decoding and saving), these three by batch size. Steps and what comes after them take time in
proportion to the pixels of a picture: they are kept for 1024×1024. What was never measured is guessed from
what is nearest to it: another batch size of the same model on the same engine, or the same model on the other
engines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

WEIGHT = 0.25
"""Share of the newest observation in an exponentially weighted mean."""

FADING = 0.9
"""What remains of the longest silence after each further run."""

BORROWED = 8
"""How many other engines are asked about a model that this one has not run."""

BORROWED_FOR = 16
"""Finished runs, of any engine, after which such a guess is made again."""


UNIT = "1024x1024"
"""The size of picture for which durations are written down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duration:
    """The expected parts of one run, in seconds; ``steps`` is how many sampler steps it has."""

    load: float
    before: float
    step: float
    after: float
    steps: int

    @property
    def total(self) -> float:
        """From start to end, loading included."""
        return self.load + self.before + self.step * self.steps + self.after

    @property
    def warm(self) -> float:
        """From start to end with the model loaded already."""
        return self.total - self.load

    def scaled(self, work: float) -> Duration:
        """For pictures of another size, see `Size.work`."""
        return replace(self, step=self.step * work, after=self.after * work)

    def remaining(self, *, elapsed: float, step: int, since_step: float, pace: float | None = None) -> float:
        """Seconds until the end of a run that has done ``step`` steps, the last one ``since_step`` ago.

        ``pace`` is the run's own seconds per step, once known. Before the first step, what has ``elapsed``
        counts. While a run is silent between two steps, at most one step is taken off what is left.
        """
        per_step = self.step if pace is None else pace
        if step <= 0:
            return max(self.total - elapsed, (per_step * self.steps + self.after) * 0.5)
        left = per_step * (self.steps - step) + self.after
        return max(left - (since_step if step >= self.steps else min(since_step, per_step)), 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What one run took: ``first_step`` and ``last_step`` are when steps 1 and ``steps`` ended, in
    seconds since its start (None where no progress was heard); ``total`` when the run ended; ``longest_step``
    the longest time from one step to the next. ``work``: see `Size.work`."""

    engine: str
    model: str
    batch_size: int
    swapped: bool
    steps: int
    first_step: float | None
    last_step: float | None
    total: float
    longest_step: float = 0.0
    work: float = 1.0


@dataclass(slots=True)
class Longest:
    """The longest that a model's runs on an engine were silent, in seconds: before the first step, from one
    step to the next, and after the last step, the last two for pictures of at most 1024×1024. Earlier runs
    count less and less."""

    before: float = 0.0
    step: float = 0.0
    after: float = 0.0

    def add(self, seen: Observation) -> None:
        told = seen.first_step is not None and seen.last_step is not None
        self.before = max(self.before * FADING, seen.first_step or seen.total if told else seen.total)
        self.step = max(self.step * FADING, seen.longest_step / seen.work)
        after = seen.total - (seen.last_step or 0.0) if told else 0.0
        self.after = max(self.after * FADING, after / seen.work)

    def scaled(self, work: float) -> Longest:
        """For pictures of another size, see `Size.work`."""
        return Longest(before=self.before, step=self.step * work, after=self.after * work)


@dataclass(slots=True)
class _Mean:
    value: float = 0.0
    count: int = 0

    def add(self, sample: float) -> None:
        self.count += 1
        share = max(WEIGHT, 1.0 / self.count)
        self.value += share * (sample - self.value)


@dataclass(slots=True)
class _Curve:
    """A mean for each batch size, and a straight line through them for the sizes never seen."""

    means: dict[int, _Mean] = field(default_factory=dict)

    def add(self, size: int, sample: float) -> None:
        self.means.setdefault(size, _Mean()).add(sample)

    def at(self, size: int) -> float | None:
        if not self.means:
            return None
        if (mean := self.means.get(size)) is not None:
            return mean.value
        points = [(n, mean.value) for n, mean in self.means.items()]
        if len(points) == 1:
            # One size seen: between no growth at all and growth in proportion, halfway.
            n, value = points[0]
            return value * (0.5 + 0.5 * size / n)
        centre_n = sum(n for n, _ in points) / len(points)
        centre_v = sum(value for _, value in points) / len(points)
        spread = sum((n - centre_n) ** 2 for n, _ in points)
        slope = sum((n - centre_n) * (value - centre_v) for n, value in points) / spread
        return max(centre_v + slope * (size - centre_n), 0.25 * min(value for _, value in points))


@dataclass(slots=True)
class _Learned:
    load: _Mean = field(default_factory=_Mean)
    before: _Curve = field(default_factory=_Curve)
    step: _Curve = field(default_factory=_Curve)
    after: _Curve = field(default_factory=_Curve)
    longest: Longest = field(default_factory=Longest)
    steps: int = 1
    runs: int = 0

    @classmethod
    def read(cls, text: str) -> _Learned:
        """What `DurationBook.written` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        told: dict[str, Any] = json.loads(text)
        if told["unit"] != UNIT:
            raise ValueError(told["unit"])
        curves = {
            name: _Curve({int(size): _Mean(**mean) for size, mean in told[name]["means"].items()})
            for name in ("before", "step", "after")
        }
        return cls(
            load=_Mean(**told["load"]),
            longest=Longest(**told["longest"]),
            steps=int(told["steps"]),
            runs=int(told["runs"]),
            **curves,
        )

    def predict(self, batch_size: int, *, swap: bool = False) -> Duration:
        return Duration(
            load=self.load.value if swap else 0.0,
            before=self.before.at(batch_size) or 0.0,
            step=self.step.at(batch_size) or 0.0,
            after=self.after.at(batch_size) or 0.0,
            steps=self.steps,
        )


class DurationBook:
    """Everything learned so far."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}
        self._engines: dict[str, list[str]] = {}  # model → engines that have run it
        self._models: dict[str, list[str]] = {}  # engine → models it has run
        self._borrowed: dict[tuple[str, str, int, bool], tuple[int, Duration | None]] = {}
        self.version = 0

    def learn(self, seen: Observation) -> None:
        self.version += 1
        book = self._learned.get((seen.engine, seen.model))
        if book is None:
            book = self._add(seen.engine, seen.model, _Learned())
        book.runs += 1
        book.steps = max(seen.steps, 1)
        book.longest.add(seen)
        size = seen.batch_size
        if seen.first_step is None or seen.last_step is None or seen.steps < 2:
            warm = book.predict(size).scaled(seen.work).warm if book.step.means else seen.total
            load = max(seen.total - warm, 0.0) if seen.swapped else 0.0
            if seen.swapped:
                book.load.add(load)
            book.step.add(size, (seen.total - load) / book.steps / seen.work)
            book.after.add(size, 0.0)
            book.before.add(size, 0.0)
            return
        pace = (seen.last_step - seen.first_step) / (seen.steps - 1)
        before = max(seen.first_step - pace, 0.0)
        book.step.add(size, pace / seen.work)
        book.after.add(size, max(seen.total - seen.last_step, 0.0) / seen.work)
        if seen.swapped:
            # The first run of a model loads and encodes in one stretch; what encoding alone takes
            # shows in the next one.
            book.load.add(max(before - (book.before.at(size) or 0.0), 0.0))
        else:
            book.before.add(size, before)

    def _add(self, engine: str, model: str, book: _Learned) -> _Learned:
        self._learned[engine, model] = book
        self._engines.setdefault(model, []).append(engine)
        self._models.setdefault(engine, []).append(model)
        return book

    def written(self, engine: str, model: str) -> str | None:
        """What a model's runs on an engine have taught, as text. None while that is much the same as what was
        written before: there is a text after 1, 2, 4, 8 and 16 runs, and after every 16 from then on."""
        book = self._learned.get((engine, model))
        if book is None or (book.runs & (book.runs - 1) and book.runs % 16):
            return None
        return json.dumps({**asdict(book), "unit": UNIT}, separators=(",", ":"))

    def recall(self, engine: str, model: str, text: str) -> None:
        """Take over what an earlier process has `written`, unless this one knows better."""
        if (engine, model) in self._learned:
            return
        try:
            self._add(engine, model, _Learned.read(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # of another version, or nothing was written yet: it is learned from now on
        self.version += 1

    def forget(self, engine: str, model: str) -> None:
        """The model on this engine is no longer the one that was measured."""
        if self._learned.pop((engine, model), None) is not None:
            self._engines[model].remove(engine)
            self._models[engine].remove(model)
            self._borrowed.clear()
            self.version += 1

    def predict(
        self, engine: str, model: str, batch_size: int, *, work: float = 1.0, swap: bool = False
    ) -> Duration | None:
        """The expected parts of a run, or None while nothing is known of the model."""
        book = self._learned.get((engine, model))
        if book is not None:
            return book.predict(batch_size, swap=swap).scaled(work)
        borrowed = self._borrowed.get(guess := (engine, model, batch_size, swap))
        if borrowed is None or self.version >= borrowed[0] + BORROWED_FOR:
            borrowed = (self.version, self._borrow(engine, model, batch_size, swap=swap))
            self._borrowed[guess] = borrowed
        return None if borrowed[1] is None else borrowed[1].scaled(work)

    def own(
        self, engine: str, model: str, batch_size: int, *, work: float = 1.0, swap: bool
    ) -> tuple[Duration, Longest] | None:
        """The expected parts of a run (loading included: the engine may have dropped the model by itself) and
        the longest silences, by this engine's own runs alone. None if it has not made a run of this size, or,
        for a ``swap``, has never been seen to load the model."""
        book = self._learned.get((engine, model))
        if book is None or batch_size not in book.step.means or (swap and not book.load.count):
            return None
        return book.predict(batch_size, swap=True).scaled(work), book.longest.scaled(work)

    def alone(self, model: str) -> float | None:
        """Seconds for one picture of 1024×1024 by itself with the model loaded: the mean of at most
        `BORROWED` engines that have run it; None while none has."""
        engines = self._engines.get(model, ())[:BORROWED]
        runs = [self._learned[engine, model].predict(1).warm for engine in engines]
        return sum(runs) / len(runs) if runs else None

    def _borrow(self, engine: str, model: str, batch_size: int, *, swap: bool) -> Duration | None:
        """A guess for a model this engine has not run: the other engines' mean, scaled by how this
        engine compares with them on the models that both have run."""
        others = [other for other in self._engines.get(model, ())[: BORROWED + 1] if other != engine]
        if not others:
            return None
        runs = [
            (self._learned[other, model].predict(batch_size, swap=swap), self._speed_ratio(engine, other))
            for other in others
        ]

        def mean(part: Callable[[Duration], float]) -> float:
            return sum(part(run) * ratio for run, ratio in runs) / len(runs)

        return Duration(
            load=mean(lambda run: run.load),
            before=mean(lambda run: run.before),
            step=mean(lambda run: run.step),
            after=mean(lambda run: run.after),
            steps=runs[0][0].steps,
        )

    def _speed_ratio(self, engine: str, other: str) -> float:
        """How many times longer ``engine`` takes than ``other``, by the models both have run."""
        ratios = []
        for model in self._models.get(engine, ()):
            if (other, model) in self._learned:
                mine = self._learned[engine, model].predict(1).warm
                theirs = self._learned[other, model].predict(1).warm
                if theirs > 0:
                    ratios.append(mine / theirs)
        return sum(ratios) / len(ratios) if ratios else 1.0
