"""`SortedBlocks` against a plain sorted list."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.scheduling.sorted_blocks import SortedBlocks


@given(st.lists(st.tuples(st.sampled_from("+-"), st.integers(0, 60))))
def test_agrees_with_a_sorted_list_whatever_is_done(steps: list[tuple[str, int]]) -> None:
    blocks: SortedBlocks[tuple[float, int]] = SortedBlocks()
    plain: list[tuple[float, int]] = []
    for sign, value in steps:
        item = (float(value % 7), value)
        if sign == "+" and item not in plain:
            blocks.add(item)
            plain = sorted([*plain, item])
        elif sign == "-" and item in plain:
            blocks.remove(item)
            plain.remove(item)
    assert list(blocks) == plain
    assert [blocks.position(item) for item in plain] == list(range(len(plain)))


def test_agrees_with_a_sorted_list_when_it_has_many_blocks() -> None:
    values = [(random.Random(3).random(), n) for n in range(5000)]
    blocks: SortedBlocks[tuple[float, int]] = SortedBlocks()
    for item in random.Random(4).sample(values, len(values)):
        blocks.add(item)
    for item in values[::3]:
        blocks.remove(item)
    left = sorted(set(values) - set(values[::3]))
    assert list(blocks) == left
    assert [blocks.position(item) for item in left[::100]] == list(range(0, len(left), 100))


def test_names_what_is_not_there() -> None:
    blocks: SortedBlocks[tuple[float, int]] = SortedBlocks()
    blocks.add((1.0, 1))
    with pytest.raises(KeyError):
        blocks.remove((1.0, 2))
    with pytest.raises(KeyError):
        blocks.position((0.5, 1))
