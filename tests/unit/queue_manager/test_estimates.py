"""Durations learned from runs, and what they say about runs to come."""

from __future__ import annotations

import pytest

from modules.queue_manager.jobs import Size
from modules.queue_manager.scheduling.estimates import DurationBook, Observation


def seen(
    engine: str = "gpu",
    model: str = "flux",
    *,
    rows: int,
    pace: float,
    load: float = 0.0,
    after: float = 0.3,
    work: float = 1.0,
) -> Observation:
    first = load + 0.2 + pace
    return Observation(
        engine=engine,
        model=model,
        batch_size=rows,
        swapped=load > 0,
        steps=4,
        first_step=first,
        last_step=first + 3 * pace,
        total=first + 3 * pace + after,
        longest_step=pace,
        work=work,
    )


def test_nothing_is_known_of_what_was_never_seen() -> None:
    assert DurationBook().predict("gpu", "flux", 1) is None


def test_learns_load_steps_and_decoding_apart() -> None:
    book = DurationBook()
    for _ in range(5):
        book.learn(seen(rows=2, pace=1.0))
        book.learn(seen(rows=2, pace=1.0, load=5.0))
    warm, cold = book.predict("gpu", "flux", 2), book.predict("gpu", "flux", 2, swap=True)
    assert warm
    assert cold
    assert warm.total == pytest.approx(4.5)
    assert cold.total == pytest.approx(9.5)
    assert (warm.step, warm.after, cold.load) == pytest.approx((1.0, 0.3, 5.0))


def test_sizes_never_seen_lie_on_the_line_through_those_that_were() -> None:
    book = DurationBook()
    for rows in (1, 2):
        book.learn(seen(rows=rows, pace=0.5 + 0.5 * rows))
    guess = book.predict("gpu", "flux", 4)
    assert guess
    assert guess.step == pytest.approx(2.5)


def test_a_new_engine_is_guessed_from_the_others_scaled_by_what_both_have_run() -> None:
    book = DurationBook()
    book.learn(seen("fast", "flux", rows=1, pace=1.0))
    book.learn(seen("fast", "z-image", rows=1, pace=2.0))
    book.learn(seen("slow", "flux", rows=1, pace=3.0, after=0.9))
    guess = book.predict("slow", "z-image", 1)
    assert guess
    assert guess.step == pytest.approx(2.0 * (0.2 + 12.0 + 0.9) / (0.2 + 4.0 + 0.3))


def test_one_picture_alone_takes_what_it_takes_the_engines_with_the_model_loaded() -> None:
    book = DurationBook()
    assert book.alone("flux") is None
    book.learn(seen("fast", "flux", rows=1, pace=1.0, load=30.0))
    book.learn(seen("slow", "flux", rows=1, pace=3.0))
    assert book.alone("flux") == pytest.approx((4.3 + 12.5) / 2)
    assert book.alone("z-image") is None


def test_what_remains_follows_the_run_s_own_pace() -> None:
    book = DurationBook()
    book.learn(seen(rows=1, pace=1.0))
    duration = book.predict("gpu", "flux", 1)
    assert duration
    assert duration.remaining(elapsed=0.0, step=0, since_step=0.0) == pytest.approx(4.5)
    assert duration.remaining(elapsed=2.2, step=2, since_step=0.5) == pytest.approx(2.0 - 0.5 + 0.3)
    assert duration.remaining(elapsed=6.0, step=3, since_step=0.0, pace=2.0) == pytest.approx(2.3)
    assert duration.remaining(elapsed=60.0, step=4, since_step=50.0) == 0.0


@pytest.mark.parametrize(("learned", "asked"), [(1.0, 4.0), (4.0, 1.0), (2.0, 3.0)])
def test_steps_and_decoding_take_longer_for_larger_pictures(learned: float, asked: float) -> None:
    book = DurationBook()
    book.learn(seen(rows=1, pace=1.0, work=learned))
    for engine in ("gpu", "another"):
        duration = book.predict(engine, "flux", 1, work=asked)
        assert duration
        assert duration.before == pytest.approx(0.2)
        assert duration.step == pytest.approx(asked / learned)
        assert duration.after == pytest.approx(0.3 * asked / learned)


def test_a_server_may_be_silent_longer_over_a_larger_picture() -> None:
    book = DurationBook()
    book.learn(seen(rows=1, pace=20.0, load=1.0))
    usual, large = (book.own("gpu", "flux", 1, work=work, swap=True) for work in (1.0, 4.0))
    assert usual
    assert large
    assert large[1].step == 4 * usual[1].step == 80.0


def test_a_picture_takes_work_by_its_pixels_and_a_small_one_no_less() -> None:
    assert Size(width=2048, height=2048).work == 4.0
    assert Size(width=1024, height=1024).work == Size(width=64, height=64).work == 1.0


def test_what_a_version_wrote_that_did_not_know_sizes_is_learned_anew() -> None:
    book, later = DurationBook(), DurationBook()
    book.learn(seen(rows=1, pace=1.0))
    written = book.written("gpu", "flux")
    assert written
    later.recall("gpu", "flux", written.replace(',"unit":"1024x1024"', ""))
    assert later.predict("gpu", "flux", 1) is None
    later.recall("gpu", "flux", written)
    assert later.predict("gpu", "flux", 1) == book.predict("gpu", "flux", 1)
