"""Who may have how much, how soon again, and with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.discord.requests.limits import Cooldown, Limits
from modules.queue_manager.errors import CoolingDown
from modules.utils.database.stores.members import day_of
from modules.utils.settings.values import RoleLimit
from tests.virtual_time import SteppedClock

RULES = Limits(
    jobs=2,
    pictures_a_day=10,
    roles=((1, RoleLimit(jobs=4, pictures_a_day=50, tier=1)), (2, RoleLimit(jobs=3, tier=2))),
    priority_roles=(3,),
)


def test_somebody_without_roles_has_what_everybody_has() -> None:
    allowance = RULES.of([99])
    assert (allowance.jobs, allowance.pictures_a_day, allowance.tier) == (2, 10, 0)


def test_of_several_roles_each_figure_is_the_most_generous() -> None:
    allowance = RULES.of([1, 2, 3])
    assert (allowance.jobs, allowance.pictures_a_day, allowance.tier) == (4, 50, 2)


def test_a_priority_role_raises_the_tier_alone() -> None:
    allowance = RULES.of([3])
    assert (allowance.jobs, allowance.pictures_a_day, allowance.tier) == (2, 10, 1)


def test_no_daily_limit_for_everybody_stays_none_with_a_role() -> None:
    assert Limits(roles=((1, RoleLimit(jobs=2, pictures_a_day=5)),)).of([1]).pictures_a_day is None


@given(st.sets(st.integers(1, 4)), st.integers(1, 4))
def test_one_more_role_never_takes_anything_away(roles: set[int], another: int) -> None:
    before, after = RULES.of(roles), RULES.of(roles | {another})
    assert after.jobs >= before.jobs
    assert after.tier >= before.tier


def test_asking_too_soon_tells_the_seconds_left() -> None:
    clock = SteppedClock()
    cooldown = Cooldown(clock=clock, seconds=10)
    cooldown.check(7)
    clock.time += 3.5
    with pytest.raises(CoolingDown) as refused:
        cooldown.check(7)
    assert refused.value.fields["seconds"] == 7
    cooldown.check(8)
    clock.time += 6.5
    cooldown.check(7)


def test_a_request_from_before_a_restart_counts() -> None:
    clock = SteppedClock()
    with pytest.raises(CoolingDown):
        Cooldown(clock=clock, seconds=10).check(7, last_asked_at=clock.unix() - 5)


def test_a_wall_clock_that_was_set_back_makes_nobody_wait_longer() -> None:
    clock = SteppedClock()
    cooldown = Cooldown(clock=clock, seconds=10)
    cooldown.check(7, last_asked_at=clock.unix() + 1_209_620)
    with pytest.raises(CoolingDown) as refused:
        cooldown.check(7, last_asked_at=clock.unix() + 1_209_620)
    assert refused.value.fields["seconds"] == 10
    clock.time += 10
    cooldown.check(7)


def test_a_request_that_was_not_taken_does_not_count() -> None:
    cooldown = Cooldown(clock=SteppedClock(), seconds=10)
    cooldown.check(7)
    cooldown.undo(7)
    cooldown.check(7)


def test_a_day_begins_at_midnight_utc() -> None:
    assert day_of(1_700_006_399) == "2023-11-14"
    assert day_of(1_700_006_400) == "2023-11-15"
