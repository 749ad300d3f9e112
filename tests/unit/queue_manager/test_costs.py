"""What a picture costs, in GPU seconds."""

from __future__ import annotations

import pytest

from modules.queue_manager.jobs import BatchKey, Size
from modules.queue_manager.scheduling.costs import PictureCosts


def key(model: str, side: int) -> BatchKey:
    return BatchKey(model=model, kind="imagine", size=Size(width=side, height=side))


def test_what_was_never_made_costs_in_proportion_to_its_pixels() -> None:
    costs = PictureCosts()
    assert costs.expected(key("flux", 2048)) == pytest.approx(4 * costs.expected(key("flux", 1024)))
    costs.learn(key("flux", 1024), 3.0)
    costs.learn(key("z-image", 1024), 6.0)
    assert costs.expected(key("flux", 1024)) == 3.0
    assert costs.expected(key("flux", 2048)) == pytest.approx(12.0)
    assert costs.expected(key("z-image", 2048)) == pytest.approx(24.0)


def test_a_size_that_was_made_costs_what_it_took() -> None:
    costs = PictureCosts()
    for _ in range(30):
        costs.learn(key("flux", 1024), 3.0)
        costs.learn(key("flux", 2048), 20.0)  # attention grows faster than the pixels
    assert costs.expected(key("flux", 1024)) == pytest.approx(3.0)
    assert costs.expected(key("flux", 2048)) == pytest.approx(20.0)
    assert costs.expected(key("flux", 2080)) == pytest.approx(20.0)
