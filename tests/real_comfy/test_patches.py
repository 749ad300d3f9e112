"""What patches a model or stands in a conditioning: everybody gets their own picture, or a refusal.

No server is needed: REAL_COMFY_PATH names a ComfyUI's folder, REAL_COMFY_PYTHON the Python that it runs with.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from modules.ai.fusion.row_safety import KNOWN
from tests.real_comfy.conftest import Record
from tests.real_comfy.report import patches_table
from tests.real_comfy.test_networks import FOLDER, PACK, TARGET, USUAL, Measurements, printed_by

SCRIPT = Path(__file__).with_name("patches.py")
EVERY_WAY = {"plain", "repeat", "split", "key_mask", "masked_layout", "bucket", "own_mask"}
MERGES = ("ModelMergeAdd", "ModelMergeBlocks", "ModelMergeSimple", "ModelMergeSubtract")

pytestmark = pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")


@pytest.fixture(scope="module")
def printed() -> Measurements:
    return printed_by(SCRIPT)


@pytest.fixture(scope="module")
def measured(printed: Measurements, record: Record) -> Measurements:
    told, rows = printed[0], [row for row in printed if "case" in row]
    version = f"ComfyUI {told['version']}"
    head = f"{version}, torch {told['torch']}, one thread, float64:"
    record.parts[f"patches on {version}"] = f"{head}\n\n{patches_table(rows)}"
    return rows


def target(row: dict[str, Any]) -> float:
    """2e-5 for latents of usual values; in proportion more for larger ones, and twice that with guidance."""
    return TARGET * max(1.0, row["largest"] / USUAL) * (1 if row["guidance"] == 1 else 2)


def own_pictures(row: dict[str, Any]) -> bool:
    return bool(row["own"]) and row["latents"] <= target(row)


def may_be_refused(row: dict[str, Any]) -> bool:
    case, way, network = row["case"], row["way"], row["network"]
    return (
        (case == "SelfAttentionGuidance" and way == "split")
        or (case.endswith("mask, one each") and network == "Qwen-Image")  # its latents are a video's
    )


def test_every_way_is_crossed_with_everything(measured: Measurements) -> None:
    ways = defaultdict(set)
    for row in measured:
        ways[row["case"]].add(row["way"])
    held = ("BasicGuider", "ControlNet, a hint each", "ControlNet, one hint for all", "noise mask, one each")
    for case in ("nothing", "APG", "CFGNorm", "TCFG", *held):
        assert ways[case] == EVERY_WAY, case
    assert {row["guidance"] for row in measured} == {1.0, 4.0}


def test_nobody_gets_another_persons_picture(measured: Measurements) -> None:
    for row in measured:
        if row["kind"] != "wrong" and not may_be_refused(row):
            assert "refused" not in row, row
            assert own_pictures(row), row


def test_what_cannot_be_exact_is_refused_with_a_sentence(measured: Measurements) -> None:
    refused = [row for row in measured if row["kind"] != "wrong" and may_be_refused(row)]
    assert len(refused) > 5
    for row in refused:
        assert row["refused"].split(": ")[0] in ("FusedModel", "RandomNoiseBatch"), row
        assert row["refused"].split(": ")[1].startswith("input "), row


def test_what_is_not_known_to_be_exact_is_refused_by_its_name(measured: Measurements) -> None:
    wrong = [row for row in measured if row["kind"] == "wrong"]
    assert len({row["case"] for row in wrong}) > 10
    for row in wrong:
        module = row["node"].partition(".")[0]
        for refused in (row["refused"], row["later"]["refused"]):
            assert refused.startswith("FusedModel: input model: it is "), row
            assert f"(comfy_extras.nodes_{module})" in refused, row
            assert refused.endswith("which is not known to keep the pictures of a batch apart."), row


def test_what_the_operator_vouches_for_is_not_refused(measured: Measurements) -> None:
    vouched = [row["vouched"] for row in measured if row["kind"] == "wrong"]
    assert not any("not known" in row.get("refused", "") for row in vouched)


def test_who_vouches_for_torch_compile_vouches_for_comfyuis_own_compiler(printed: Measurements) -> None:
    (told,) = (row for row in printed if "trusted" in row)
    assert told["trusted"] == ["comfy_api.torch_helpers.torch_compile", "comfy_extras.nodes_torch_compile"]


def test_hooks_that_a_compiled_network_would_not_see_are_not_relied_on(printed: Measurements) -> None:
    (told,) = (row["families"] for row in printed if "trusted" in row)
    assert told == {
        "Flux.1": ["hidden", "other"],
        "Z-Image": ["zimage", "other"],
        "Qwen-Image": ["own_mask", "own_mask"],
    }


def test_step_caches_are_wrong_in_a_batch_and_so_rightly_refused(measured: Measurements) -> None:
    for name in ("EasyCache", "LazyCache"):
        rows = [row for row in measured if row["case"] == name]
        assert any(row["vouched"]["latents"] > 1000 * TARGET for row in rows), name


def test_a_person_alone_gets_stocks_bits_whatever_patches_the_model(measured: Measurements) -> None:
    alone = [row for row in measured if "lone" in row]
    assert {row["case"] for row in alone} >= {"EasyCache", "Mahiro", "PerpNeg", "RenormCFG", "APG", "nothing"}
    different = {row["case"] for row in alone if not row["lone"]}
    assert different <= {"TomePatchModel"}  # draws from torch's global generator: stock differs from itself


def test_sub_batches_have_ids_of_their_own_which_stay(printed: Measurements) -> None:
    (told,) = (row for row in printed if "ids" in row)
    calls = [(rows, tuple(ids)) for rows, ids in told["ids"]]
    each_step = len(calls) // told["steps"]
    first = calls[:each_step]
    assert calls == first * told["steps"]
    every = [one for _, ids in first for one in ids]
    assert len(set(every)) == len(every) >= 6  # positive and negative of three sub-batches
    assert {rows for rows, _ in first} == {1, 2}


def test_every_entry_of_the_list_was_measured(measured: Measurements) -> None:
    names = ast.parse((PACK / "known.py").read_text(encoding="utf-8"))
    listed = {
        node.value
        for node in ast.walk(names)
        if isinstance(node, ast.Constant) and str(node.value).startswith("comfy_extras.nodes_")
    }
    nodes = {f"comfy_extras.nodes_{row['node']}" for row in measured if row["kind"] != "wrong"}
    guiders = {"BasicGuider": "Guider_Basic", "DualCFGGuider": "Guider_DualCFG"}
    nodes |= {node.replace(told, made) for node in nodes for told, made in guiders.items()}
    assert listed - nodes == set()


def test_the_merges_for_one_architecture_do_what_model_merge_blocks_does(printed: Measurements) -> None:
    (told,) = (row["merges"] for row in printed if "merges" in row)
    assert {name for name in KNOWN if name.startswith("ModelMerge")} <= {*told, *MERGES}
