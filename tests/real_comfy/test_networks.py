"""Each way in which FusedModel keeps prompts apart, on tiny networks of ComfyUI's own classes (no server).

REAL_COMFY_PATH names a ComfyUI's folder, REAL_COMFY_PYTHON the Python that it runs with (default: this one).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.real_comfy.conftest import Record
from tests.real_comfy.report import networks_table, stock_batch

FOLDER = os.environ.get("REAL_COMFY_PATH", "")
PYTHON = os.environ.get("REAL_COMFY_PYTHON", sys.executable)
SCRIPT = Path(__file__).with_name("networks.py")
PACK = Path(__file__).parents[2] / "comfy_custom_nodes" / "fullet"

TARGET = 2e-5  # float32, for latents of values up to…
USUAL = 20.0
ULPS = 2  # of a float32, which is what ComfyUI samples in whatever its networks run in
NEVER_EXACT = ["dpm_adaptive"]
WAYS = {  # and, where a batch may run in several sub-batches, how many
    "Flux.1": {"key_mask"},
    "FLUX.2 Klein": {"key_mask"},
    "FLUX.2 dev": {"left_zeros", "key_mask / plain"},
    "Z-Image": {"bucket", "masked_layout"},
    "Qwen-Image": {"own_mask"},
    "SD 1.5": {"repeat", "split (3) / plain"},
    "SDXL": {"repeat", "split (3) / plain"},
    "SD3": {"key_mask"},
    "Lumina Image 2.0": {"masked_layout"},
}
NEWER = {  # than ComfyUI 0.18
    "Krea 2": {"key_mask"},
    "NewBie-Image": {"masked_layout"},
    "Anima": {"split (1)", "split (3) / plain"},
    "Qwen-Image-Edit": {"own_mask", "split (2)"},
    "Mage-Flow": {"own_mask"},
    "Lens": {"own_mask"},
    "Ovis-Image": {"key_mask"},
    "LongCat-Image": {"key_mask"},
    "Chroma": {"key_mask"},
    "Chroma Radiance": {"key_mask"},
    "OmniGen2": {"key_mask", "split (2)"},
    "Boogu-Image": {"key_mask", "plain"},
    "ERNIE-Image": {"key_mask"},
    "JoyAI-Image": {"key_mask"},
    "Kandinsky 5 Image": {"key_mask"},
    "SD3 (own attention)": {"key_mask"},
    "HiDream-I1": {"key_mask / plain"},
    "HiDream-O1": {"split (2)"},
}

pytestmark = pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")
Measurements = list[dict[str, Any]]


def printed_by(script: Path, **environment: str) -> Measurements:
    """What a script prints that runs inside ComfyUI, without its server: one object a line."""
    command = [PYTHON, str(script), os.path.abspath(FOLDER), str(PACK)]
    told = {**os.environ, **environment}
    ran = subprocess.run(command, env=told, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def printed() -> Measurements:
    return printed_by(SCRIPT)


@pytest.fixture(scope="module")
def measured(printed: Measurements, record: Record) -> Measurements:
    told, rows = printed[0], [row for row in printed if "network" in row]
    version = f"ComfyUI {told['version']}"
    head = f"{version}, torch {told['torch']}, one thread:"
    record.parts[f"networks on {version}"] = f"{head}\n\n{networks_table(rows)}"
    return rows


def target(row: dict[str, Any]) -> float:
    """The target, for a network whose random weights make larger values than a latent's."""
    return TARGET * max(1.0, row["largest"] / USUAL)


def test_each_network_runs_in_its_own_way(measured: Measurements) -> None:
    ways = defaultdict(set)
    for row in measured:
        ways[row["network"]].add(row["way"])
    assert ways == (WAYS | NEWER if "Krea 2" in ways else WAYS)


def test_each_picture_is_the_one_its_owner_would_get_alone(measured: Measurements) -> None:
    for row in measured:
        if row["guidance"] == 1 and row["dtype"] == "float32":
            assert row["latents"] <= target(row), row


def test_guidance_multiplies_no_more_than_the_rounding_of_stock_batches(measured: Measurements) -> None:
    guided = [row for row in measured if row["guidance"] > 1 and row["dtype"] == "float32"]
    for row in guided:
        same = [r for r in guided if (r["network"], r["lengths"]) == (row["network"], row["lengths"])]
        assert row["latents"] <= max(target(row), 2 * stock_batch(same)), row


def test_a_fused_picture_is_as_near_to_the_exact_one_as_the_lone_one(measured: Measurements) -> None:
    """How far float32 is from float64, alone and fused: no target below the former can be asked for."""
    rows = [row for row in measured if "alone_from_exact" in row]
    assert {row["network"] for row in rows} >= set(WAYS)
    for row in rows:
        assert row["fused_from_exact"] <= 2 * row["alone_from_exact"], row


def test_nothing_but_the_rounding_of_float32_is_left(measured: Measurements) -> None:
    """In float64 the networks' outputs are equal once ComfyUI has made them float32."""
    double = [row for row in measured if row["dtype"] == "float64"]
    assert {row["network"] for row in double} >= set(WAYS)
    for row in double:
        assert row["latents"] <= ULPS * 2**-23 * row["largest"], row


def test_the_order_of_a_batch_makes_no_difference_at_all(measured: Measurements) -> None:
    assert [row for row in measured if not row["order"]] == []


def test_prompts_filled_with_zeros_would_be_other_pictures(measured: Measurements) -> None:
    careless = [row["careless"] for row in measured if row["careless"] is not None]  # what ComfyUI can run
    assert len(careless) > len(measured) / 2
    assert min(careless) > 100 * TARGET


def test_what_would_mistake_one_reference_picture_for_another_is_refused(printed: Measurements) -> None:
    sentence = "HiDream-O1 tells reference pictures apart by where they lie in memory."
    told = [row["references"] for row in printed if "references" in row]
    assert told == [f"FusedModel: input positive: {sentence}"] * len(told)


def test_every_sampler_of_comfyui_is_exact_or_refused(printed: Measurements) -> None:
    samplers = [row for row in printed if "sampler" in row and "network" not in row]
    refused = {row["sampler"]: row["refused"] for row in samplers if "refused" in row}
    assert list(refused) == NEVER_EXACT
    assert all(sentence.startswith("SamplerBatch: input sampler: ") for sentence in refused.values())
    assert len(samplers) > 40
    for row in samplers:
        assert row["sampler"] in refused or row["latents"] <= ULPS * 2**-23 * row["largest"], row
