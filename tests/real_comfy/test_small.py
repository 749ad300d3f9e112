"""A part of test_patches.py that takes less than two minutes: every way in which a batch can run, once.

``bot.py test-nodes`` runs it where REAL_COMFY_PATH names a ComfyUI.
"""

from __future__ import annotations

import pytest

from tests.real_comfy.test_networks import FOLDER, Measurements, printed_by
from tests.real_comfy.test_patches import EVERY_WAY, SCRIPT, own_pictures

CASES = "nothing|EasyCache"

pytestmark = pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")


@pytest.fixture(scope="module")
def measured() -> Measurements:
    return [row for row in printed_by(SCRIPT, ONLY_CASES=CASES) if "case" in row]


def test_in_every_way_everybody_gets_their_own_picture(measured: Measurements) -> None:
    rows = [row for row in measured if row["case"] == "nothing"]
    assert {row["way"] for row in rows} == EVERY_WAY
    assert [row for row in rows if not own_pictures(row)] == []


def test_one_person_gets_stocks_bits(measured: Measurements) -> None:
    alone = [row for row in measured if "lone" in row]
    assert {row["case"] for row in alone} == set(CASES.split("|"))
    assert all(row["lone"] for row in alone)


def test_a_step_cache_is_refused_by_its_name(measured: Measurements) -> None:
    rows = [row for row in measured if row["case"] == "EasyCache"]
    assert rows
    for row in rows:
        assert row["refused"].startswith("FusedModel: input model: it is "), row
        assert "(comfy_extras.nodes_easycache)" in row["refused"], row
