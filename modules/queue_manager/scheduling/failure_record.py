"""Tells whether the server or the jobs are to blame for runs that failed on it in a row.

One of its jobs or the server is to blame for each failed run. The record counts how many different people
would have to be guilty if the server were not: runs that share nobody each need another culprit. When that
becomes implausible, the server counts as sick.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modules.queue_manager.jobs import Job, JobId

SICK_AFTER = 3
"""If this many different people would have to be guilty in a row, the server is to blame."""

_REMEMBERED = 64
"""Failed runs that are remembered; more would change nothing."""


@dataclass(kw_only=True, eq=False, slots=True)
class _FailedRun:
    model: str
    jobs: frozenset[JobId]
    suspects: dict[JobId, int]  # job → its owner


class FailureRecord:
    """The failed runs of one server since the last one that succeeded."""

    def __init__(self) -> None:
        self._failed: deque[_FailedRun] = deque(maxlen=_REMEMBERED)
        self.runs = 0
        self.reason = ""
        self.since = 0.0
        self.succeeded_at = float("-inf")

    def failed(self, jobs: Sequence[Job], reason: str, now: float) -> None:
        """A run of ``jobs`` failed, and one of them may be to blame."""
        if not self.runs:
            self.since = now
        self.runs, self.reason = self.runs + 1, reason
        suspects = {job.id: job.request.user_id for job in jobs}
        model = jobs[0].key.model
        self._failed.append(_FailedRun(model=model, jobs=frozenset(suspects), suspects=suspects))

    def succeeded(self, now: float) -> None:
        """A run succeeded: the server was not to blame for the failures before."""
        self._failed.clear()
        self.runs, self.reason, self.succeeded_at = 0, "", now

    def guilty(self, job_id: JobId) -> None:
        """The job fails everywhere: it explains the runs that it was part of."""
        kept = [run for run in self._failed if job_id not in run.jobs]
        self.runs -= len(self._failed) - len(kept)
        self._failed = deque(kept, maxlen=_REMEMBERED)

    def innocent(self, job_id: JobId) -> None:
        """The job succeeded on another server: it explains nothing."""
        for run in self._failed:
            run.suspects.pop(job_id, None)

    def failed_without(self, job_id: JobId) -> bool:
        """Whether a run failed that the job was not part of."""
        return any(job_id not in run.jobs for run in self._failed)

    def culprits(self, models: Collection[str]) -> int:
        """How many people would have to be guilty if the server were not. A run without suspects counts as
        one; only runs of ``models`` count, those known to work somewhere.

        Counts disjoint sets of owners, smallest first: a lower bound of the smallest set of people that hits
        every run.
        """
        seen: set[int] = set()
        count = 0
        for run in sorted(self._failed, key=lambda run: len(run.suspects)):
            owners = set(run.suspects.values())
            if run.model in models and not owners & seen:
                seen |= owners
                count += 1
        return count

    def sentence(self) -> str:
        many = f"{self.runs} runs failed in a row" if self.runs > 1 else "the last run failed"
        return f"{many}: {self.reason}"


class FusionDoubts:
    """Counts the batches of one server that failed although each of their jobs works alone."""

    def __init__(self) -> None:
        self._open: list[tuple[str, set[JobId]]] = []
        self._proofs: dict[str, int] = {}

    def failed(self, model: str, jobs: Collection[JobId]) -> None:
        """A run failed for its content. A job that fails alone is to blame, and explains its batches."""
        if len(jobs) > 1:
            self._open = [*self._open[-_REMEMBERED:], (model, set(jobs))]
        else:
            self._open = [(name, left) for name, left in self._open if not left & set(jobs)]

    def succeeded(self, model: str, jobs: Collection[JobId]) -> int:
        """A run succeeded. Returns how many failed batches of ``model`` have worked job by job so far."""
        if len(jobs) > 1:
            self._open = [(name, left) for name, left in self._open if not left & set(jobs)]
            return 0
        proved: set[JobId] = set()
        for name, left in self._open:
            if left & set(jobs):
                left -= set(jobs)
                if not left and not proved:
                    # Each half of a batch is a proof; the batch that contained both is not another one.
                    self._proofs[name] = self._proofs.get(name, 0) + 1
                    proved |= set(jobs)
        self._open = [(name, left) for name, left in self._open if left]
        return self._proofs.get(model, 0)
