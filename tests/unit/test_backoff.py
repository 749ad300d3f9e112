"""The pauses between tries."""

from __future__ import annotations

import random

from modules.queue_manager.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_start_anew_after_a_reset() -> None:
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.pause() == 0.5


def test_no_pause_is_longer_than_the_longest() -> None:
    assert Backoff(first=1.0, longest=0.1).pause() == 0.1


def test_spread_pauses_differ_by_a_fifth_at_most() -> None:
    backoff = Backoff(first=1.0, longest=60.0, spread=random.Random(1))
    pauses = [backoff.pause() for _ in range(10)]
    assert all(0.8 * 2**n <= pause <= 1.2 * 2**n for n, pause in enumerate(pauses[:6]))
    assert max(pauses) <= 72.0
    assert backoff.pause() >= 48.0
    backoff.reset()
    assert backoff.pause() <= 1.2
