"""How many rows of each model one engine can take, learned from its runs.

An unknown limit grows from one row as runs succeed. Running out of memory halves it, but not below a smaller
size that has succeeded; after each time, a larger size is tried more rarely. A model that cannot be fused, or
failed ``check --fusion``, takes one row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from modules.queue_manager.jobs import FusionCheck, Learned

PATIENCE = 8
"""Full batches that must succeed after running out of memory before one more row is tried; doubles each
time."""

ALONE_AFTER = 2
"""After this many batches that failed although each of their jobs works alone, a model is not fused any
more."""


class BatchLimits:
    """The limits of one engine; unknown models have limit 0. ``known`` is what earlier runs taught, by model;
    ``on_learned`` is called with what to remember."""

    def __init__(
        self,
        known: Mapping[str, Learned] | None = None,
        on_learned: Callable[[str, Learned], None] | None = None,
    ) -> None:
        self._learned: dict[str, Learned] = dict(known or {})
        self._on_learned = on_learned
        self._told: Mapping[str, int] = {}
        self.checks: Mapping[str, FusionCheck] = {}
        self._cautious: Collection[str] = ()
        self._versions: Mapping[str, str] = {}
        self._successes: dict[str, int] = {}
        self._signature: tuple[tuple[str, int], ...] | None = ()

    def tell(
        self,
        limits: Mapping[str, int],
        *,
        cautious: Collection[str] = (),
        versions: Mapping[str, str] | None = None,
        checks: Mapping[str, FusionCheck] | None = None,
    ) -> list[str]:
        """Take over what the engine says in its probe. What was learned of the same version stays; models in
        ``cautious`` begin with one row; ``checks`` as in `Capabilities`. Returns the models for which what
        was learned is out of date."""
        self.checks = dict(checks or {})
        self._told, self._cautious, self._versions = dict(limits), frozenset(cautious), dict(versions or {})
        outdated = [
            model
            for model, learned in self._learned.items()
            if model in limits and learned.version != self._versions.get(model, "")
        ]
        for model in outdated:
            del self._learned[model]
        self._signature = None
        return outdated

    @property
    def signature(self) -> tuple[tuple[str, int], ...]:
        """Equal for engines of equal limits."""
        if self._signature is None:
            self._signature = tuple((model, self.of(model)) for model in sorted(self._told))
        return self._signature

    def models(self) -> tuple[str, ...]:
        return tuple(model for model in self._told if self.of(model) > 0)

    def of(self, model: str) -> int:
        """The most rows of ``model`` in one run; 0: it cannot run it."""
        told, learned = self._told.get(model, 0), self._of(model)
        if self.why_alone(model) is not None:
            return min(told, 1)
        return told if learned.rows is None else min(told, learned.rows)

    def why_alone(self, model: str) -> str | None:
        """Why the model is not fused on this engine; None if it is."""
        check = self.checks.get(model)
        return self._of(model).why_alone or (check.why_alone if check is not None else None)

    def notes(self) -> tuple[str, ...]:
        """Sentences for the operator about what was learned."""
        reasons = {model: self.why_alone(model) for model in self.models()}
        return tuple(
            f"{model} makes pictures one by one here: {why}" for model, why in reasons.items() if why
        )

    def out_of_memory(self, model: str, rows: int) -> int:
        """A run of ``rows`` did not fit. Returns the new limit, at least one: other programs may free
        memory."""
        learned = self._of(model)
        fits = max(rows // 2, 1)
        if learned.proven < rows:
            fits = max(fits, learned.proven)
        patience = PATIENCE if learned.patience < PATIENCE else 2 * learned.patience
        self._successes.pop(model, None)
        self._learn(model, replace(learned, rows=fits, proven=min(learned.proven, fits), patience=patience))
        return fits

    def succeeded(self, model: str, rows: int) -> None:
        """A run of ``rows`` succeeded; enough full ones in a row allow one more row."""
        learned = self._of(model)
        if rows > learned.proven:
            self._learn(model, learned := replace(learned, proven=rows))
        if learned.rows is None or rows < learned.rows:
            return
        self._successes[model] = self._successes.get(model, 0) + 1
        if self._successes[model] >= learned.patience and learned.rows < self._told.get(model, 0):
            self._successes[model] = 0
            self._learn(model, replace(learned, rows=learned.rows + 1))

    def run_alone(self, model: str, why: str) -> None:
        """The model's runs cannot be fused on this engine, until its version changes."""
        self._learn(model, replace(self._of(model), why_alone=why))

    def took(self, model: str, durations: str) -> None:
        """Remember how long the model's runs took."""
        self._learn(model, replace(self._of(model), durations=durations))

    def _of(self, model: str) -> Learned:
        learned = self._learned.get(model)
        if learned is None:
            rows = 1 if model in self._cautious else None
            return Learned(version=self._versions.get(model, ""), rows=rows)
        return learned

    def _learn(self, model: str, learned: Learned) -> None:
        self._learned[model] = learned
        self._signature = None
        if self._on_learned is not None:
            self._on_learned(model, learned)
