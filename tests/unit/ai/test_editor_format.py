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

EXPORTS: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parents[2] / "data" / "frontend_exports.json.gz").read_bytes())
)
DIFFERENCES: dict[str, dict[str, str]] = {}
"""Template → node → why its conversion differs from the export."""


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
def test_it_converts_as_the_frontend_does(name: str) -> None:
    data = json.loads(template(name).read_text(encoding="utf-8"))
    converted, unknown = convert(read_document(data), bundled_table())
    assert not unknown
    ours, theirs = depended_on(converted), depended_on(read_graph(EXPORTS[name]))
    differing = {node for node in {*ours, *theirs} if ours.get(node) != theirs.get(node)}
    assert differing == set(DIFFERENCES.get(name, ()))


def depended_on(graph: Graph) -> dict[str, Any]:
    """All that an output depends on, titles apart."""
    table = bundled_table()
    outputs = [n for n, node in graph.items() if (table[node.class_type] or {})["output_node"]]
    return write_graph(only(graph, upstream(graph, outputs)))
