"""What goes together, and where: the rules of `batching` as properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from modules.queue_manager.jobs import (
    BatchKey,
    GenerationRequest,
    LoraUse,
    Size,
    SourceImage,
    Style,
    Variation,
    batch_key,
)
from modules.queue_manager.scheduling.batching import Candidate, Lane, Work, choose_key, finish_by, rows_for
from tests.fakes import SQUARE, offer, request

KEYS = {name: BatchKey(model=name, kind="imagine", size=SQUARE) for name in "abcd"}


def candidate(model: str, place: int) -> Candidate:
    return Candidate(key=KEYS[model], weights=model, order=(0, 0, 0.0, place))


WIDE = Size(width=1280, height=768)
GRAIN = LoraUse(name="grain", label="Film grain", file="grain.safetensors", strength=0.75)
NOIR = Style(name="noir", label=(("en", "Noir"),), prompt="{prompt}, film noir")


def edit(*sizes: Size, **more: Any) -> GenerationRequest:
    sources = tuple(SourceImage(key=str(n), size=size) for n, size in enumerate(sizes))
    return request(kind="edit", model="edit", sources=sources, **more)


def started(strength: float | None, picture: str = "a", *, mask: str | None = None) -> GenerationRequest:
    return request(
        sources=(SourceImage(key=picture, size=SQUARE),),
        strength=strength,
        mask=None if mask is None else SourceImage(key=mask, size=SQUARE),
    )


@pytest.mark.parametrize(
    ("first", "second", "kind", "apart"),
    [
        (request(1, "a fox", seed=1), request(2, "an owl", seed=2), {}, None),
        (request(seed=1), request(seed=1, variation=Variation(seed=2, strength=0.5)), {}, None),
        (request(tier=1), request(locale="es-ES", guild=7, channel=9), {}, None),
        (request(), request(model="z-image"), {}, "model"),
        (request(), request(size=WIDE), {}, "size"),
        (request(negative="fog"), request(negative="rain"), {"negative": "own"}, None),
        (request(negative="fog"), request(negative="rain"), {"negative": "none"}, None),
        (request(negative="fog"), request(negative="rain"), {"negative": "shared"}, "negative"),
        (request(negative="fog"), request(negative="fog"), {"negative": "shared"}, None),
        (edit(SQUARE), edit(Size(width=64, height=64)), {}, None),  # both are scaled to a megapixel
        (edit(SQUARE), edit(WIDE), {}, "sources"),
        (edit(SQUARE, WIDE), edit(WIDE, SQUARE), {}, "sources"),
        (edit(SQUARE), edit(SQUARE, SQUARE), {}, "sources"),
        (request(model="edit"), edit(), {}, "kind"),
        (request(), request(style=NOIR), {"negative": "shared"}, None),
        (request(lora=GRAIN), request(lora=GRAIN), {}, None),
        (request(), request(lora=GRAIN), {}, "lora"),
        (request(lora=replace(GRAIN, strength=0.5)), request(lora=GRAIN), {}, "lora"),
        (started(0.4, "a"), started(0.4, "b"), {}, None),
        (started(0.4), started(0.45), {}, "strength"),
        (started(None, "a", mask="x"), started(None, "b", mask="y"), {}, None),
        (started(0.4, mask="x"), started(0.4), {}, "masked"),
    ],
)
def test_requests_share_a_run_unless_their_keys_differ_in_what_the_run_has_once(
    first: GenerationRequest, second: GenerationRequest, kind: dict[str, Any], apart: str | None
) -> None:
    """Everybody's own are prompt, seed, variation and, where the model takes them so, negative."""
    keys = [batch_key(each, offer(each.model, kind=each.kind, **kind)) for each in (first, second)]
    differ = [name for name in BatchKey.__slots__ if len({getattr(key, name) for key in keys}) > 1]
    assert differ == ([] if apart is None else [apart])


@given(typed=st.text(), before=st.text(), after=st.text(), words=st.text(), negative=st.text(min_size=1))
@example(typed="100% {} {prompt} {0} %s \\1", before="a film of ", after=", 35 mm", words="", negative="x")
def test_what_was_typed_stands_in_a_style_byte_for_byte(
    typed: str, before: str, after: str, words: str, negative: str
) -> None:
    assume("{prompt}" not in f"{before}{after}" and f"{before}{{prompt}}{after}".count("{prompt}") == 1)
    plain = request(prompt=typed)
    assert (plain.full_prompt, plain.full_negative) == (typed, "")
    style = replace(NOIR, prompt=f"{before}{{prompt}}{after}", negative=negative)
    styled = replace(plain, style=style, lora=replace(GRAIN, words=words))
    assert styled.full_prompt == f"{before}{typed}{after}" + (f", {words}" if words else "")
    assert styled.full_negative == negative
    assert replace(styled, negative="fog").full_negative == f"fog, {negative}"
    assert styled.prompt == typed


lines = st.permutations("abcd").flatmap(lambda p: st.integers(0, 4).map(lambda n: list(p)[:n]))


@given(lines, st.sampled_from([None, *"abcd"]), st.sets(st.sampled_from("abcd")), st.integers(0, 3))
def test_the_choice_is_the_warm_key_or_the_first_in_line(
    line: list[str], warm: str | None, elsewhere: set[str], passed: int
) -> None:
    candidates = [candidate(model, place) for place, model in enumerate(line)]
    choice = choose_key(
        candidates,
        warm=warm,
        left=[KEYS[model] for model in elsewhere],
        passes=dict.fromkeys(KEYS.values(), passed),
        max_key_wait=2,
    )
    if not line:
        assert choice is None
        return
    assert choice is not None
    mine = [model for model in line if model == warm or model not in elsewhere]
    if choice.key.model == warm:
        overdue = mine[0] != warm and passed >= 2
        assert not overdue
        assert (choice.passed_over is None) == (mine[0] == warm)
    else:
        # Another model is loaded only if the warm one has nothing to do, or one has waited enough.
        assert warm not in line or passed >= 2
        assert choice.key.model == (mine[0] if mine else line[0])
        assert choice.passed_over is None


def test_a_key_is_passed_over_max_key_wait_times_and_no_more() -> None:
    passes: dict[BatchKey, int] = {}
    chosen = []
    for _ in range(4):
        choice = choose_key(
            [candidate("b", 0), candidate("a", 1)],
            warm="a",
            left=(),
            passes=passes,
            max_key_wait=2,
        )
        assert choice is not None
        if choice.passed_over:
            passes[choice.passed_over] = passes.get(choice.passed_over, 0) + 1
        chosen.append(choice.key.model)
    assert chosen == ["a", "a", "b", "b"]


@given(st.integers(0, 50), st.integers(1, 8), st.integers(0, 5))
def test_idle_engines_share_evenly(waiting: int, limit: int, idle: int) -> None:
    taken, left = [], waiting
    for engines in range(max(idle, 1), 0, -1):
        rows = rows_for(left, limit=limit, idle_engines=engines)
        taken.append(rows)
        left -= rows
    assert max(taken) <= limit
    assert sum(taken) == min(waiting, limit * max(idle, 1))
    assert max(taken) - min(taken) <= 1


def lane(name: str, pace: float, free_in: float = 0.0, limit: int = 2) -> Lane:
    return Lane(
        name=name,
        free_in=free_in,
        warm="a",
        limit=lambda _: limit,
        seconds=lambda _, rows, swap: pace * rows + (5.0 if swap else 0.0),
    )


def test_work_goes_to_the_lane_that_ends_it_first() -> None:
    lanes = [lane("slow", 3.0), lane("fast", 1.0)]
    work = [Work(key=KEYS["a"], weights="a", count=8)]
    # Two on the slow one (6 s), six on the fast one (6 s).
    assert finish_by(lanes, work) == 6.0
    assert finish_by(lanes[:1], work) == 24.0
    assert finish_by([], work) is None
    assert finish_by(lanes, []) == 0.0


def test_a_change_of_model_is_part_of_the_work() -> None:
    work = [Work(key=KEYS["a"], weights="a", count=2), Work(key=KEYS["b"], weights="b", count=2)]
    assert finish_by([lane("one", 1.0)], work) == 2.0 + 5.0 + 2.0
