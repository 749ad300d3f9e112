"""The converter gives the graph that ComfyUI's own frontend exports."""

from __future__ import annotations

import gzip
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from modules.ai.workflows.editor_format.conversion import convert
from modules.ai.workflows.editor_format.links import VIRTUAL
from modules.ai.workflows.editor_format.reading import read_document
from modules.ai.workflows.graph import Graph, Link, only, read_graph, upstream, write_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.workflow_file import read_workflow
from modules.queue_manager.errors import BadWorkflow

DATA = Path(__file__).parents[2] / "data"
EXPORTS: dict[str, Any] = json.loads(gzip.decompress((DATA / "frontend_exports.json.gz").read_bytes()))
CASES: dict[str, Any] = json.loads(gzip.decompress((DATA / "frontend_cases.json.gz").read_bytes()))

DIFFERENCES = {
    "group_bypass": "a bypassed group node stays bypassed; the frontend lets its nodes run",
    "group_prim": "a primitive in a group node keeps its value; the frontend loses it",
    "host_seed_control": "the word behind a seed is no value; the frontend writes steps: 'fixed'",
    "inner_prim2_ctrl": "the value is the host's; the frontend loses it as the control is shown too",
    "ks_named": "values saved by name are taken by name; the frontend has this switched off",
    "ks_nocontrol": "a seed without its control is read; the frontend shifts all that follow",
    "link_objects": "version 1.0 links are read in a file of version 0.4 too",
    "named_values": "values saved by name are taken by name; the frontend has this switched off",
    "noinputs_listed": "a node that lists no inputs has none; the frontend adds those of the class",
    "null_value": "an empty value is left out; the frontend sends null, which ComfyUI refuses",
    "object_values": "values saved by name are taken by name; the frontend leaves that to the pack",
    "prefix": "file names are the bot's own: %Node.widget% is not replaced",
    "prim_range": "a primitive's value is not brought into the range of its first target",
    "prim_two": "a primitive's value is not rounded to the step of its first target",
    "proxy2_nulls": "an empty value leaves the inner one; the frontend sends null",
    "proxy_nulls": "an empty value leaves the inner one; the frontend sends null",
}
"""Cases in which the graph differs from the frontend's, and why. Of the 120 templates none does."""

TYPES = {*bundled_table(), *VIRTUAL}


def template(name: str) -> Path:
    """The editor's file of a template. Without the package a test is skipped with a word, in CI it fails."""
    spec = find_spec("comfyui_workflow_templates_json")
    if spec is None or spec.origin is None:
        word = "comfyui-workflow-templates-json is not installed (requirements-dev.txt)"
        if os.environ.get("CI"):
            pytest.fail(word)
        pytest.skip(word)
    return Path(spec.origin).parent / "templates" / f"{name}.json"


@pytest.mark.parametrize("name", EXPORTS)
def test_a_template_converts_as_in_the_frontend(name: str) -> None:
    converted = conversion(json.loads(template(name).read_text(encoding="utf-8")))
    assert depended_on(converted) == depended_on(read_graph(EXPORTS[name]))


@pytest.mark.parametrize("name", CASES)
def test_a_small_workflow_converts_as_in_the_frontend(name: str) -> None:
    ours, theirs = conversion(CASES[name]["workflow"]), read_graph(CASES[name]["export"])
    assert (depended_on(ours) == depended_on(theirs)) is (name not in DIFFERENCES)


def conversion(data: Any) -> Graph:
    graph, unknown = convert(read_document(data, bundled_table()), bundled_table())
    assert not unknown
    return graph


def depended_on(graph: Graph) -> dict[str, Any]:
    """All that an output depends on, titles apart; the whole graph if it has no output."""
    table = bundled_table()
    outputs = [n for n, node in graph.items() if (table[node.class_type] or {})["output_node"]]
    return write_graph(only(graph, upstream(graph, outputs)) if outputs else graph)


def test_templates_of_a_newer_comfyui_are_told_by_their_unknown_node() -> None:
    """The 20 picture templates of open models with nodes that 0.33.0 has not, and no other."""
    folder = template("index").parent
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    names = [
        entry["name"]
        for category in index
        for entry in category["templates"]
        if entry.get("openSource") is not False and not entry["name"].startswith(("api_", "3d_"))
    ]
    told = 0
    for name in names:
        file = folder / f"{name}.json"
        data = json.loads(file.read_text(encoding="utf-8"))
        levels = [data, *data.get("definitions", {}).get("subgraphs", [])]
        types = {node["type"] for level in levels for node in level["nodes"]}
        lacking = types - TYPES - {level["id"] for level in levels[1:]}
        pictures = types & {"SaveImage", "SaveImageAdvanced"} and not types & {"SaveVideo", "CreateVideo"}
        if pictures and lacking:
            told += 1
            with pytest.raises(BadWorkflow) as fault:
                read_workflow(file, bundled_table())
            assert any(f"({name})" in fault.value.reason for name in lacking)
    assert told == 20


def test_a_seed_of_early_2023_is_followed_by_yes_or_no() -> None:
    sampler = {"id": 1, "type": "KSampler", "widgets_values": [5, True, 20, 8, "euler", "normal", 1]}
    assert conversion({"nodes": [sampler], "links": []})["1"].inputs == {
        "seed": 5,
        "steps": 20,
        "cfg": 8,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1,
    }


def test_a_group_node_may_take_its_inputs_by_reroutes_and_under_other_names() -> None:
    """As they were saved in 2024 and 2025: the frontend loses such links today."""

    def socket(name: str, sort: str, link: int | None = None) -> dict[str, Any]:
        return {"name": name, "type": sort, "link": link}

    listed = {**socket("upscale_method", "COMBO"), "widget": {"name": "upscale_method"}}
    group = {
        "nodes": [
            {"type": "Reroute", "inputs": [socket("", "*")], "outputs": [{"type": "LATENT"}]},
            {
                "type": "LatentUpscaleBy",
                "inputs": [socket("samples", "LATENT"), listed],
                "outputs": [{"type": "LATENT"}],
                "widgets_values": ["nearest-exact", 1.5],
            },
        ],
        "links": [[None, 0, 0, 0, 7, "LATENT"], [0, 0, 1, 0, 8, "LATENT"]],
        "external": [[1, 0, "LATENT"]],
        "config": {"0": {"input": {"LATENT": {"name": "picture"}}}},
    }
    host = {
        "id": 3,
        "type": "workflow>larger",
        "inputs": [socket("picture", "LATENT", 1)],
        "outputs": [{"type": "LATENT"}],
        "widgets_values": ["bislerp", 2],
    }
    graph = conversion(
        {
            "last_node_id": 9,
            "nodes": [
                {
                    "id": 1,
                    "type": "EmptyLatentImage",
                    "widgets_values": [64, 64, 1],
                    "outputs": [{"type": "LATENT"}],
                },
                host,
                {
                    "id": 4,
                    "type": "SaveLatent",
                    "inputs": [socket("samples", "LATENT", 2)],
                    "widgets_values": ["x"],
                },
            ],
            "links": [[1, 1, 0, 3, 0, "LATENT"], [2, 3, 0, 4, 0, "LATENT"]],
            "extra": {"groupNodes": {"larger": group}},
        }
    )
    assert graph["12:11"].inputs == {"upscale_method": "bislerp", "scale_by": 2, "samples": Link("1", 0)}
    assert graph["4"].inputs["samples"] == Link("12:11", 0)
