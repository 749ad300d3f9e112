"""The ideals that the benchmarks measure against, on cases that can be worked out by hand."""

from __future__ import annotations

import pytest

from tests.benchmarks.__main__ import measured
from tests.benchmarks.oracles import (
    Gpu,
    Loss,
    Model,
    best_fixed_assignment,
    busy_share,
    completions,
    jain,
    least_makespan,
    noise,
    quantile,
    relative_error,
)
from tests.benchmarks.subject import Figure, Measurement, Result, Subject, results

PAIR = Gpu(batch=1.0, picture=1.0, limit=2)


def test_equal_gpus_share_the_work_evenly() -> None:
    assert least_makespan(24, [PAIR, PAIR]) == 6 * 3.0


def test_a_rest_goes_where_it_ends_first() -> None:
    # three full batches and one picture: 6 s on one GPU, 3 + 2 on the other
    assert least_makespan(7, [PAIR, PAIR]) == 6.0


def test_a_fast_gpu_gets_more() -> None:
    fast = Gpu(batch=1.0, picture=1.0, limit=2, speed=3.0)
    assert least_makespan(8, [PAIR, fast]) == pytest.approx(3.0)  # one batch on the slow one, three on it
    assert least_makespan(1, [PAIR, fast]) == pytest.approx(2 / 3)  # and the slow one stays idle


def test_noise_is_what_the_simulated_gpu_draws() -> None:
    assert noise(3, 0.15, 2, skip=1) == noise(3, 0.15, 3)[1:]
    assert all(0.85 <= factor <= 1.15 for factor in noise(3, 0.15, 100))
    slow = Gpu(batch=1.0, picture=1.0, limit=2, factors=(2.0,))
    assert least_makespan(4, [slow]) == 6.0 + 3.0


def test_list_scheduling_without_a_loss() -> None:
    assert completions(6, [PAIR, PAIR]) == [3.0, 3.0, 3.0, 3.0, 6.0, 6.0]


def test_a_lost_batch_is_done_by_the_one_that_is_left() -> None:
    # the second GPU dies at 4 s in its second batch; the first does the lost batch after its own
    assert completions(8, [PAIR, PAIR], Loss(gpu=1, at=4.0)) == [3.0] * 4 + [6.0] * 2 + [9.0] * 2


def test_an_idle_gpu_takes_a_lost_batch_when_it_is_lost() -> None:
    assert completions(4, [PAIR, Gpu(batch=4.0, picture=1.0, limit=2)], Loss(gpu=1, at=4.0)) == [
        3.0,
        3.0,
        7.0,
        7.0,
    ]


def test_nothing_can_be_done_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="no GPU"):
        completions(2, [PAIR], Loss(gpu=0, at=1.0))


def test_models_find_homes() -> None:
    even = [Model(count=4, batch=1.0, picture=0.5, load=5.0)] * 2
    assert best_fixed_assignment(even, gpus=2, limit=4) == 8.0
    # a seldom asked model shares a GPU rather than taking one for itself
    uneven = [
        Model(count=40, batch=1.0, picture=0.5, load=1.0),
        Model(count=4, batch=1.0, picture=0.5, load=1.0),
    ]
    assert best_fixed_assignment(uneven, gpus=2, limit=4) == pytest.approx(19.0)


def test_jain() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1.0)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)


def test_quantile_and_error() -> None:
    assert quantile(range(1, 21), 0.95) == 19
    assert quantile([7.0], 0.95) == 7.0
    assert relative_error([(9.0, 10.0), (11.0, 10.0)]) == pytest.approx(0.1)


def test_busy_share_counts_each_gpu_from_its_first_start_to_its_last_end() -> None:
    assert busy_share({"a": [(0, 4), (5, 9)], "b": [(1, 5)]}) == pytest.approx(12 / 13)


def test_a_run_without_a_number_leaves_its_figure_without_one() -> None:
    figure = Figure(name="share", unit="", about="", target=0.9, better="at least")
    (result,) = results(
        Subject(name="s", figures=(figure,), measure=_never), [{"share": 1.0}, {}, {"share": 1.0}]
    )
    assert result.as_json()["value"] is None
    assert result.as_json()["ok"] is False
    stated = Result(figure=Figure(name="x", unit="", about="x"), samples=(1.0,)).as_json()
    assert (stated["information"], stated["ok"]) == (True, True)


async def _never(run: int) -> Measurement:
    raise NotImplementedError


@pytest.mark.parametrize(("once", "seeds"), [(False, [0, 1, 2]), (True, [0])])
async def test_what_has_samples_enough_in_one_run_is_measured_once(once: bool, seeds: list[int]) -> None:
    seen: list[int] = []

    async def measure(run: int) -> Measurement:
        seen.append(run)
        return {"x": 1.0}

    figure = Figure(name="x", unit="", about="")
    subject = Subject(name="x", figures=(figure,), measure=measure, once=once)
    found = await measured(subject, 3, 0.0, keep_going=False)
    assert found is not None
    assert (seen, found[0].value) == (seeds, 1.0)
