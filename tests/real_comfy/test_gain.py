"""``python -m tests.real_comfy.gain``, as far as a CPU can show it: tiny networks, and its limit of time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.real_comfy.test_networks import FOLDER, PYTHON

ROOT = Path(__file__).parents[2]
BF16 = 2**-6  # a few of its roundings, as a share of the largest value

pytestmark = pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")


def printed(*arguments: str, report: Path) -> str:
    command = [PYTHON, "-m", "tests.real_comfy.gain", "--tiny", *arguments]
    told = {**os.environ, "REAL_COMFY_PATH": FOLDER, "REAL_COMFY_REPORT": str(report)}
    return subprocess.run(command, cwd=ROOT, env=told, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_each_network_is_measured_in_every_size(tmp_path: Path) -> None:
    report = tmp_path / "fidelity.md"
    table = printed(report=report)
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if ", tiny" in line]
    assert "Left out" not in table
    assert len(rows) == 3 * 2 * 4
    for network, side, people, one_by_one, fused, gain, stock, memory, largest, off, batch in rows:
        assert (network.endswith("tiny"), side, memory) == (True, side, "–")
        assert float(gain) == pytest.approx(float(fused) / float(one_by_one), rel=0.02)
        assert float(stock) > 0
        assert max(float(off), float(batch)) <= BF16 * float(largest), (network, side, people)
        assert people != "1" or float(off) == 0
    assert table.strip() in report.read_text(encoding="utf-8")


def test_what_there_is_no_time_for_is_left_out_and_named(tmp_path: Path) -> None:
    table = printed("--minutes", "0", report=tmp_path / "fidelity.md")
    assert ", tiny |" not in table
    assert "Left out: FLUX.2 Klein, tiny, 64², 1 people and more (no time); " in table
    assert table.strip().endswith("Flux.1, tiny, 128², 1 people and more (no time).")
