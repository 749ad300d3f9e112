"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from tests.benchmarks import (
    estimates,
    failover,
    fairness,
    gpu_busy,
    makespan,
    queue_operations,
    simulated_fleet,
    single_job,
)

SUBJECTS = (
    gpu_busy.LONG_BATCHES,
    gpu_busy.SHORT_BATCHES,
    single_job.SUBJECT,
    makespan.BURST,
    fairness.SUBJECT,
    makespan.UNEQUAL,
    makespan.TWO_MODELS,
    failover.SUBJECT,
    estimates.SUBJECT,
    queue_operations.SUBJECT,
    simulated_fleet.SUBJECT,
)
