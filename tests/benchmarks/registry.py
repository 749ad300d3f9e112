"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from tests.benchmarks import (
    discord_load,
    estimates,
    failover,
    fairness,
    gpu_busy,
    journal,
    makespan,
    queue_operations,
    simulated_fleet,
    single_job,
    startup,
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
    discord_load.ANSWERS,
    discord_load.RESULTS,
    journal.SUBJECT,
    startup.SUBJECT,
    estimates.SUBJECT,
    queue_operations.SUBJECT,
    simulated_fleet.SUBJECT,
)
