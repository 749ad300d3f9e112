"""How long things take, learned from what they took.

A run's time has four parts that are learned apart, per engine and model: *load* (only after a change
of model), *before* (from the start to the first step: text encoding and what else stands there),
*step* (a sampler step, by batch size) and *after* (decoding and saving, by batch size). What was
never seen is taken from the nearest thing that was: another batch size of the same model on the same
engine, the same model on the other engines, any model on this engine.
"""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT = 0.25
"""Share of the newest observation in a running mean (an exponentially weighted one)."""

BORROWED = 8
"""How many other engines are asked about a model that this one has not run."""

BORROWED_FOR = 16
"""Finished runs, of any engine, after which such a guess is made anew."""


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

    def remaining(self, *, elapsed: float, step: int, since_step: float, pace: float | None = None) -> float:
        """Seconds until the end of a run that has done ``step`` steps, the last one ``since_step`` ago.

        ``pace`` is the run's own seconds per step, once known. Before the first step, what has
        ``elapsed`` counts.
        """
        per_step = self.step if pace is None else pace
        if step <= 0:
            return max(self.total - elapsed, (per_step * self.steps + self.after) * 0.5)
        left = per_step * (self.steps - step) + self.after
        return max(left - since_step, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What one run took: ``first_step`` and ``last_step`` are when steps 1 and ``steps`` ended, in
    seconds since its start (None where no progress was heard); ``total`` when the run ended."""

    engine: str
    model: str
    batch_size: int
    swapped: bool
    steps: int
    first_step: float | None
    last_step: float | None
    total: float


class _Mean:
    __slots__ = ("count", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0

    def add(self, sample: float) -> None:
        self.count += 1
        share = max(WEIGHT, 1.0 / self.count)
        self.value += share * (sample - self.value)


class _Curve:
    """A mean for each batch size, and a straight line through them for the sizes never seen."""

    __slots__ = ("means",)

    def __init__(self) -> None:
        self.means: dict[int, _Mean] = {}

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


class _Learned:
    __slots__ = ("after", "before", "load", "step", "steps")

    def __init__(self) -> None:
        self.load = _Mean()
        self.before = _Curve()
        self.step = _Curve()
        self.after = _Curve()
        self.steps = 1


class DurationBook:
    """Everything learned so far. Fed by workers, read by whoever must guess."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}
        self._engines: dict[str, list[str]] = {}  # model → engines that have run it
        self._models: dict[str, list[str]] = {}  # engine → models it has run
        self._borrowed: dict[tuple[str, str, int, bool], tuple[int, Duration | None]] = {}
        self.version = 0

    def learn(self, seen: Observation) -> None:
        """Take one finished run into account."""
        self.version += 1
        book = self._learned.get((seen.engine, seen.model))
        if book is None:
            book = self._learned[seen.engine, seen.model] = _Learned()
            self._engines.setdefault(seen.model, []).append(seen.engine)
            self._models.setdefault(seen.engine, []).append(seen.model)
        book.steps = max(seen.steps, 1)
        size = seen.batch_size
        if seen.first_step is None or seen.last_step is None or seen.steps < 2:
            self._learn_whole(book, seen)
            return
        pace = (seen.last_step - seen.first_step) / (seen.steps - 1)
        before = max(seen.first_step - pace, 0.0)
        book.step.add(size, pace)
        book.after.add(size, max(seen.total - seen.last_step, 0.0))
        self._learn_start(book, seen, before)

    def _learn_whole(self, book: _Learned, seen: Observation) -> None:
        load = book.load.value if seen.swapped else 0.0
        book.step.add(size := seen.batch_size, max(seen.total - load, 0.0) / book.steps)
        book.after.add(size, 0.0)
        book.before.add(size, 0.0)

    def _learn_start(self, book: _Learned, seen: Observation, before: float) -> None:
        usual = book.before.at(seen.batch_size)
        if not seen.swapped:
            book.before.add(seen.batch_size, before)
        else:
            # The first run of a model loads and encodes in one stretch; what encoding alone takes
            # shows in the next one.
            book.load.add(max(before - (usual or 0.0), 0.0))

    def predict(self, engine: str, model: str, batch_size: int, *, swap: bool = False) -> Duration | None:
        """The expected parts of a run, or None while nothing at all is known of the model."""
        book = self._learned.get((engine, model))
        if book is not None:
            return _duration(book, batch_size, swap=swap)
        borrowed = self._borrowed.get(guess := (engine, model, batch_size, swap))
        if borrowed is None or self.version >= borrowed[0] + BORROWED_FOR:
            borrowed = (self.version, self._borrow(engine, model, batch_size, swap=swap))
            self._borrowed[guess] = borrowed
        return borrowed[1]

    def alone(self, model: str) -> float | None:
        """Seconds for one picture by itself, the model being loaded: the mean of (at most `BORROWED`) engines
        that have run it; None while none has."""
        engines = self._engines.get(model, ())[:BORROWED]
        runs = [_duration(self._learned[engine, model], 1, swap=False).warm for engine in engines]
        return sum(runs) / len(runs) if runs else None

    def _borrow(self, engine: str, model: str, batch_size: int, *, swap: bool) -> Duration | None:
        """A guess for a model this engine has not run: the other engines' mean, scaled by how this
        engine compares with them on the models that both have run."""
        others = [other for other in self._engines.get(model, ())[: BORROWED + 1] if other != engine]
        found = [self._scaled(engine, other, model, batch_size, swap=swap) for other in others]
        if not found:
            return None
        count = len(found)
        return Duration(
            load=sum(d.load for d in found) / count,
            before=sum(d.before for d in found) / count,
            step=sum(d.step for d in found) / count,
            after=sum(d.after for d in found) / count,
            steps=found[0].steps,
        )

    def _scaled(self, engine: str, other: str, model: str, batch_size: int, *, swap: bool) -> Duration:
        ratio = self._speed_ratio(engine, other)
        theirs = _duration(self._learned[other, model], batch_size, swap=swap)
        return Duration(
            load=theirs.load * ratio,
            before=theirs.before * ratio,
            step=theirs.step * ratio,
            after=theirs.after * ratio,
            steps=theirs.steps,
        )

    def _speed_ratio(self, engine: str, other: str) -> float:
        """How many times longer ``engine`` takes than ``other``, by the models both have run."""
        ratios = []
        for model in self._models.get(engine, ()):
            if (other, model) in self._learned:
                mine = _duration(self._learned[engine, model], 1, swap=False).warm
                theirs = _duration(self._learned[other, model], 1, swap=False).warm
                if theirs > 0:
                    ratios.append(mine / theirs)
        return sum(ratios) / len(ratios) if ratios else 1.0


def _duration(book: _Learned, batch_size: int, *, swap: bool) -> Duration:
    return Duration(
        load=book.load.value if swap else 0.0,
        before=book.before.at(batch_size) or 0.0,
        step=book.step.at(batch_size) or 0.0,
        after=book.after.at(batch_size) or 0.0,
        steps=book.steps,
    )
