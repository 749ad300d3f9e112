"""The command that says what the bot makes of each workflow file of a folder, run as people run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.ai.workflows.editor_format.document import MOST_NODES

ROOT = Path(__file__).parents[3]

SHARED: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1.0,
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
}  # fmt: skip
"""Several people's prompts can share a run of this graph."""


def graph(**nodes: Any) -> dict[str, Any]:
    """The graph above with some nodes put in place of its own."""
    return {**SHARED, **{name.lstrip("n"): node for name, node in nodes.items()}}


def chained(count: int) -> dict[str, Any]:
    """The graph above with ``count`` more nodes between the picture and its saver."""
    link, more = ["6", 0], {}
    for number in range(count):
        more[f"n1{number}"] = {"class_type": "ImageInvert", "inputs": {"image": link}}
        link = [f"1{number}", 0]
    return graph(**more, n7={"class_type": "SaveImage", "inputs": {"images": link, "filename_prefix": "x"}})


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.templates", *map(str, arguments)],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=100, check=False,
    )  # fmt: skip


def asked(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """The templates by file name, and the counts."""
    ran = command(folder, "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    told = json.loads(ran.stdout)
    assert set(told) == {"templates", "counts"}
    return {template["file"]: template for template in told["templates"]}, told["counts"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of each fate, and one that is no workflow file."""
    inputs = SHARED["5"]["inputs"]
    seedless = {"class_type": "KSampler", "inputs": {**inputs, "seed": ["1", 0]}}
    unknown = {"class_type": "NobodyKnowsIt", "inputs": {"model": ["1", 0]}}
    patched = {"class_type": "KSampler", "inputs": {**inputs, "model": ["1b", 0]}}
    files = {
        "Shared by all.json": SHARED,
        "alone.json": graph(n1b=unknown, n5=patched),
        "no_seed.json": graph(n5=seedless),
        "no_saver.json": graph(n7={"class_type": "PreviewAny", "inputs": {"source": ["6", 0]}}),
        "notes.txt": "not a workflow",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_each_file_has_its_kind_and_what_stands_in_its_way(folder: Path) -> None:
    templates, counts = asked(folder)
    assert templates["Shared by all.json"] == {
        "file": "Shared by all.json", "kind": "imagine", "loadable": True, "why_not_loadable": None,
        "fusible": True, "why_not_fusible": None,
    }  # fmt: skip
    assert templates["alone.json"]["loadable"]
    assert not templates["alone.json"]["fusible"]
    assert "NobodyKnowsIt" in templates["alone.json"]["why_not_fusible"]
    assert templates["no_seed.json"]["kind"] is None
    assert not templates["no_seed.json"]["loadable"]
    assert "node 5 (KSampler): its seed cannot be set" in templates["no_seed.json"]["why_not_loadable"]
    assert templates["no_saver.json"]["kind"] is None
    assert "SaveImage" in templates["no_saver.json"]["why_not_loadable"]
    assert counts == {
        "files": 4, "imagine": 2, "edit": 0, "upscale": 0, "loadable": 2, "fusible": 1, "crashed": 0
    }  # fmt: skip


def test_people_get_a_line_a_file_and_the_counts(folder: Path) -> None:
    ran = command(folder)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "Shared by all.json (imagine): fusible"
    assert lines[1].startswith("alone.json (imagine): one by one: ")
    assert lines[3].startswith("no_seed.json (no kind): not loadable: ")
    assert lines[-1] == "4 files, 2 imagine, 0 edit, 0 upscale, 2 loadable, 1 fusible, 0 crashed"
    assert len(lines) == 5


def test_the_projects_own_models_are_all_fusible() -> None:
    templates, counts = asked(ROOT / "flujos")
    assert counts["fusible"] == counts["loadable"] == counts["files"] == len(templates) > 0


def test_a_hostile_file_is_a_line_and_the_others_are_still_judged(folder: Path) -> None:
    hostile: dict[str, str | bytes] = {
        "large.json": b" " * 50_000_000,
        "text.json": "once upon a time",
        "empty.json": "",
        "bytes.json": b"\xff\xfe\x00",
        "deep.json": "[" * 100_000,
        "list.json": "[1, 2]",
        "loop.json": json.dumps(graph(n1={"class_type": "A", "inputs": {"x": ["6", 0]}})),
        "long_number.json": json.dumps(SHARED).replace("20", "1" * 10_000),
        "half_character.json": json.dumps(SHARED).replace('"2"', '"\\ud800"'),
        "editor.json": json.dumps({"nodes": [], "links": []}),
    }
    for name, content in hostile.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder.json").mkdir()
    templates, counts = asked(folder)
    for name in (*hostile, "folder.json"):
        assert not templates[name]["loadable"], name
        assert 0 < len(templates[name]["why_not_loadable"]) < 350, name
    assert "larger than" in templates["large.json"]["why_not_loadable"]
    assert "depends on itself" in templates["loop.json"]["why_not_loadable"]
    assert "nothing in it is saved" in templates["editor.json"]["why_not_loadable"]
    assert (counts["files"], counts["fusible"], counts["crashed"]) == (15, 1, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither")
def test_what_never_ends_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")
    (folder / "zeros.json").symlink_to("/dev/zero")
    templates, _ = asked(folder)
    assert templates["pipe.json"]["why_not_loadable"] == "it is not a file"
    assert templates["zeros.json"]["why_not_loadable"] == "it is not a file"


def test_thousands_of_nodes_are_judged_in_seconds(tmp_path: Path) -> None:
    for name, count in (("chain", MOST_NODES - len(SHARED)), ("longer", MOST_NODES)):
        (tmp_path / f"{name}.json").write_text(json.dumps(chained(count)))
    templates, _ = asked(tmp_path)
    assert templates["chain.json"]["fusible"]
    assert f"at most {MOST_NODES} are read" in templates["longer.json"]["why_not_loadable"]


def test_words_from_a_file_stay_on_their_line_and_on_the_screen(tmp_path: Path) -> None:
    sampler = {**SHARED["5"], "_meta": {"title": "a\nb\x1b[31m" * 1000}, "inputs": {**SHARED["5"]["inputs"]}}
    sampler["inputs"]["latent_image"] = ["8", 0]
    latent = {"class_type": "Nothing\nknown", "inputs": {}}
    (tmp_path / "title.json").write_text(json.dumps(graph(n5=sampler, n8=latent)))
    ran = command(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2
    assert "\x1b" not in ran.stdout
    assert len(ran.stdout) < 1000


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    ran = command(tmp_path)
    assert ran.returncode == 2
    assert "is not a folder" in ran.stderr
