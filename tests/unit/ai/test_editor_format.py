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
from modules.ai.workflows.editor_format.document import read_document
from modules.ai.workflows.graph import Graph, only, read_graph, upstream, write_graph
from modules.ai.workflows.node_table import bundled_table

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
