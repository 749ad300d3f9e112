"""Who is to blame for runs that failed in a row: one of the people, or the server."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.jobs import BatchKey, Job, JobId
from modules.queue_manager.scheduling.failure_record import SICK_AFTER, FailureRecord, FusionDoubts
from tests.fakes import SQUARE, request


def job(number: int, user: int, model: str = "flux") -> Job:
    key = BatchKey(model=model, kind="imagine", size=SQUARE)
    return Job(id=JobId(f"{number:032x}"), number=number, request=request(user), key=key, queued_at=0.0)


def record_of(runs: Sequence[Sequence[int]]) -> FailureRecord:
    """A record of failed runs, each given by the owners of its jobs."""
    record = FailureRecord()
    for start, users in enumerate(runs):
        record.failed([job(100 * start + n, user) for n, user in enumerate(users)], "CUDA error", 1.0)
    return record


def test_three_people_in_a_row_are_not_believed_to_be_at_fault() -> None:
    assert record_of([[1], [2]]).culprits(["flux"]) == 2
    assert record_of([[1], [2], [3]]).culprits(["flux"]) == SICK_AFTER
    assert record_of([[1], [2], [3]]).sentence() == "3 runs failed in a row: CUDA error"


def test_a_batch_that_is_split_needs_one_culprit_until_both_halves_fail() -> None:
    assert record_of([[1, 2, 3, 4], [1, 2]]).culprits(["flux"]) == 1
    assert record_of([[1, 2, 3, 4], [1, 2], [3, 4]]).culprits(["flux"]) == 2
    assert record_of([[1, 2, 3, 4], [1, 2], [3, 4], [1], [2]]).culprits(["flux"]) == 3


def test_a_model_that_works_nowhere_says_nothing_about_the_server() -> None:
    assert record_of([[1], [2], [3], [4]]).culprits(["z-image"]) == 0


def test_a_run_that_comes_through_clears_the_server() -> None:
    record = record_of([[1], [2], [3]])
    record.succeeded(2.0)
    assert (record.runs, record.culprits(["flux"])) == (0, 0)


def test_jobs_that_come_through_elsewhere_convict_the_server_though_they_are_one_persons() -> None:
    record = record_of([[1], [1], [1]])
    assert record.culprits(["flux"]) == 1
    for number in (0, 100, 200):
        record.innocent(job(number, 1).id)
    assert record.culprits(["flux"]) == SICK_AFTER


def test_a_job_that_fails_everywhere_explains_the_runs_that_it_was_in() -> None:
    record = FailureRecord()
    bad, others = job(1, 1), [job(n, n) for n in (2, 3, 4)]
    record.failed([bad, *others], "broken", 1.0)
    record.failed([bad, others[0]], "broken", 1.0)
    record.failed([bad], "broken", 1.0)
    record.guilty(bad.id)
    assert (record.runs, record.culprits(["flux"])) == (0, 0)


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), max_size=8))
def test_no_more_people_are_suspected_than_would_explain_everything(runs: list[list[int]]) -> None:
    people = sorted({user for run in runs for user in run})
    least = next(
        size
        for size in range(len(people) + 1)
        if any(all(set(run) & set(some) for run in runs) for some in combinations(people, size))
    )
    assert record_of(runs).culprits(["flux"]) <= least


def test_a_model_that_works_alone_and_not_in_a_batch_is_noticed_with_different_jobs() -> None:
    a, b, c, d = (JobId(name) for name in "abcd")
    doubts = FusionDoubts()
    for batch in ([a, b, c, d], [a, b], [c, d]):
        doubts.failed("mine", batch)
    assert [doubts.succeeded("mine", [one]) for one in (a, b, c, d)] == [0, 1, 1, 2]


def test_a_batch_with_a_guilty_job_says_nothing_about_fusing() -> None:
    a, b, c, d = (JobId(name) for name in "abcd")
    doubts = FusionDoubts()
    for batch in ([a, b, c, d], [a, b]):
        doubts.failed("mine", batch)
    doubts.failed("mine", [a])
    assert doubts.succeeded("mine", [c, d]) == 0
    assert doubts.succeeded("mine", [b]) == 0
