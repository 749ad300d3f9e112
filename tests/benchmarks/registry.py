"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from tests.benchmarks import (
    autoscaling,
    cautious_growth,
    discord_load,
    estimates,
    failover,
    fairness,
    gpu_busy,
    gpu_seconds,
    journal,
    makespan,
    privacy,
    queue_operations,
    sick_gpu,
    simulated_fleet,
    single_job,
    startup,
    workflow_files,
)

SUBJECTS = (
    gpu_busy.LONG_BATCHES,
    gpu_busy.SHORT_BATCHES,
    single_job.SUBJECT,
    makespan.BURST,
    fairness.SUBJECT,
    gpu_seconds.SUBJECT,
    makespan.UNEQUAL,
    makespan.TWO_MODELS,
    failover.SUBJECT,
    sick_gpu.SUBJECT,
    cautious_growth.SUBJECT,
    discord_load.ANSWERS,
    discord_load.RESULTS,
    discord_load.REQUESTS,
    journal.SUBJECT,
    startup.SUBJECT,
    estimates.SUBJECT,
    queue_operations.SUBJECT,
    workflow_files.SUBJECT,
    simulated_fleet.SUBJECT,
    autoscaling.SUBJECT,
    privacy.SUBJECT,
)
