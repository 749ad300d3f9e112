"""How many rows an engine is given: grown with care, kept over restarts, never below what came through."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.jobs import FusionCheck, Learned
from modules.queue_manager.scheduling.batch_limits import PATIENCE, BatchLimits


def test_out_of_memory_halves_and_full_batches_grow_back() -> None:
    limits = BatchLimits()
    limits.tell({"flux": 4, "z-image": 8})
    assert limits.out_of_memory("flux", 4) == 2
    assert (limits.of("flux"), limits.of("z-image"), limits.of("unknown")) == (2, 8, 0)
    for _ in range(PATIENCE):
        limits.succeeded("flux", 1)  # not a full batch: says nothing
    assert limits.of("flux") == 2
    for _ in range(PATIENCE):
        limits.succeeded("flux", 2)
    assert limits.of("flux") == 3


def test_a_failed_trial_leads_back_to_what_came_through_and_is_made_more_rarely() -> None:
    limits = BatchLimits()
    limits.tell({"flux": 4})
    limits.out_of_memory("flux", 4)
    for _ in range(PATIENCE):
        limits.succeeded("flux", 2)
    assert limits.out_of_memory("flux", 3) == 2
    for _ in range(2 * PATIENCE - 1):
        limits.succeeded("flux", 2)
    assert limits.of("flux") == 2
    limits.succeeded("flux", 2)
    assert limits.of("flux") == 3


def test_one_lone_picture_that_came_through_does_not_make_a_batch_too_large_by_more_than_half() -> None:
    limits = BatchLimits()
    limits.tell({"flux": 4})
    limits.succeeded("flux", 1)
    assert limits.out_of_memory("flux", 4) == 2


def test_what_came_through_once_and_fits_no_more_is_halved() -> None:
    kept: dict[str, Learned] = {}
    limits = BatchLimits(kept, kept.__setitem__)
    limits.tell({"flux": 4})
    limits.succeeded("flux", 4)
    assert limits.out_of_memory("flux", 4) == 2
    assert kept["flux"].proven == 2


def test_one_picture_may_always_be_tried_again() -> None:
    limits = BatchLimits()
    limits.tell({"flux": 1, "z-image": 0})
    assert limits.out_of_memory("flux", 1) == 1
    assert limits.models() == ("flux",)


def test_a_model_of_which_nothing_is_known_grows_from_one_row() -> None:
    limits = BatchLimits()
    limits.tell({"mine": 4}, cautious=["mine"])
    seen = []
    for _ in range(6):
        seen.append(limits.of("mine"))
        limits.succeeded("mine", limits.of("mine"))
    assert seen == [1, 2, 3, 4, 4, 4]


@given(fits=st.integers(1, 6), runs=st.integers(1, 80))
def test_memory_is_exceeded_ever_more_rarely_and_a_restart_goes_on_where_it_was(fits: int, runs: int) -> None:
    kept: dict[str, Learned] = {}
    limits = BatchLimits(kept, kept.__setitem__)
    limits.tell({"mine": 6}, cautious=["mine"], versions={"mine": "1"})
    failures = []
    for run in range(runs):
        rows = limits.of("mine")
        assert rows <= fits + 1
        if rows <= fits:
            limits.succeeded("mine", rows)
        else:
            failures.append(run)
            assert limits.out_of_memory("mine", rows) == fits
    gaps = [after - before for before, after in pairwise(failures)]
    assert all(gap >= PATIENCE for gap in gaps)
    assert gaps == sorted(gaps)

    again = BatchLimits(kept)
    again.tell({"mine": 6}, cautious=["mine"], versions={"mine": "1"})
    assert again.of("mine") == limits.of("mine")


@pytest.mark.parametrize(("version", "limit"), [("1", 1), ("2", 4)])
def test_what_cannot_be_fused_runs_alone_until_its_version_changes(version: str, limit: int) -> None:
    kept: dict[str, Learned] = {}
    limits = BatchLimits(kept, kept.__setitem__)
    limits.tell({"mine": 4, "flux": 4}, versions={"mine": "1"})
    limits.run_alone("mine", "its sampler is not one of ComfyUI's own")
    assert (limits.of("mine"), limits.of("flux")) == (1, 4)
    assert limits.notes() == ("mine makes pictures one by one here: its sampler is not one of ComfyUI's own",)

    again = BatchLimits(kept)
    again.tell({"mine": 4, "flux": 4}, versions={"mine": version})
    assert again.of("mine") == limit
    assert bool(again.notes()) == (limit == 1)


def test_a_model_that_failed_its_check_runs_one_by_one_until_it_is_checked_again() -> None:
    failed = FusionCheck(version="1", checked_at=5.0, why_alone="its pictures differ")
    limits = BatchLimits()
    limits.tell({"flux": 4, "z-image": 4}, checks={"flux": failed})
    assert (limits.of("flux"), limits.of("z-image")) == (1, 4)
    assert limits.why_alone("flux") == "its pictures differ"
    assert limits.notes() == ("flux makes pictures one by one here: its pictures differ",)
    passed = FusionCheck(version="1", checked_at=6.0, gain=2.1, rows=4)
    limits.tell({"flux": 4, "z-image": 4}, checks={"flux": passed})
    assert limits.of("flux") == 4
    assert limits.why_alone("flux") is None
    limits.run_alone("flux", "its batches failed there")
    limits.tell({"flux": 4, "z-image": 4}, checks={"flux": passed})
    assert limits.of("flux") == 1, "what runs have shown holds beside it"
