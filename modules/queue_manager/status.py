"""The state of the queue and of the servers, as plain values for others to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from modules.queue_manager.jobs import Elastic, FusionCheck, JobId, JobState

EngineAvailability = Literal["starting", "idle", "busy", "down", "draining"]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePosition:
    """Where a job stands. ``ahead``: jobs before it, 0 unless it waits; ``waiting``: all that wait;
    ``expected_at``: when it should be done (Unix seconds), None while that is not known."""

    state: JobState
    ahead: int
    waiting: int
    expected_at: float | None

    @property
    def waits(self) -> bool:
        return self.state == "waiting"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stranded:
    """No server can run a job's ``model`` (its label). Unless one gets it by ``until`` (Unix seconds), the
    job fails."""

    model: str
    until: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStatus:
    """One server. ``since``: Unix seconds of the last change of state; ``running``: the jobs on it, running
    or submitted; ``pictures`` and ``busy_seconds`` since the bot started; ``notes``: sentences for the
    operator; ``missing_files``, ``loras`` and ``checks``: as in `Capabilities`; ``elastic``: as in
    `ImageEngine`."""

    name: str
    state: EngineAvailability
    since: float
    model: str | None
    running: tuple[JobId, ...]
    pictures: int
    busy_seconds: float
    models: tuple[str, ...]
    notes: tuple[str, ...] = ()
    missing_files: Mapping[str, str] = field(default_factory=dict)
    loras: frozenset[str] = frozenset()
    checks: Mapping[str, FusionCheck] = field(default_factory=dict)
    last_error: str | None = None
    elastic: Elastic | None = None

    @property
    def slots(self) -> int:
        """How many runs may be at work there."""
        return 1 if self.elastic is None else self.elastic.slots

    def busy_share(self, seconds: float) -> float:
        """The share of its capacity that has been in use since the bot started, ``seconds`` ago."""
        return min(1.0, self.busy_seconds / max(1.0, seconds) / self.slots)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStatus:
    """The queue as a whole: how many jobs are ``waiting`` in it, ``taken`` by a server that has not begun
    them, ``running`` (being made now) and ``arriving`` (made, and on their way), and how many ``users`` have
    any. ``closed_because`` is None while jobs are accepted (see `QueueClosed.why`)."""

    waiting: int
    taken: int
    running: int
    arriving: int
    users: int
    paused: bool
    closed_because: str | None

    @property
    def unfinished(self) -> int:
        """All jobs that have not ended."""
        return self.waiting + self.taken + self.running + self.arriving
