"""Each of ComfyUI's nodes that take a model and give one, between a loader and a sampler.

A batch runs through it only if it was measured on networks of a real ComfyUI (`tests/real_comfy/patches.py`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.ai.fusion.fuse import fuse, fusible
from modules.ai.fusion.row_safety import KNOWN, MIXING
from modules.ai.workflows.graph import write_graph
from modules.ai.workflows.node_table import bundled_table
from tests.fakes import request
from tests.workflow_graphs import FLUJOS, SHIPPED, node, template

MEASURED_BY = Path(__file__).parents[2] / "real_comfy" / "patches.py"
SAME_AS = {"LoraLoaderModelOnly": "LoraLoader"}
ONLY_WITH = {"LoraModelLoader": ("bypass", False), "SkipLayerGuidanceDiT": ("rescaling_scale", 0)}
"""The values of an input with which alone they were measured."""


def inputs_of(class_type: str) -> dict[str, list[Any]]:
    told: Mapping[str, Any] = (bundled_table()[class_type] or {})["input"]  # type: ignore[assignment]
    return {**told.get("required", {}), **told.get("optional", {})}


def model_nodes() -> Iterator[str]:
    for class_type, told in bundled_table().items():
        takes = [spec for spec in inputs_of(class_type).values() if spec[0] == "MODEL"]
        if takes and "MODEL" in (told or {})["output"]:  # type: ignore[operator]
            yield class_type


def measured() -> set[str]:
    """The nodes in its list of what was found exact, in every way in which a batch can run."""
    (exact,) = (
        statement.value
        for statement in ast.parse(MEASURED_BY.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "EXACT"
    )
    names = {
        str(ast.literal_eval(keyword.value)).partition(" (")[0]
        for case in ast.walk(exact)
        if isinstance(case, ast.Call)
        for keyword in case.keywords
        if keyword.arg == "name"
    }
    return names - MIXING.keys()


def proved(class_type: str, found: set[str]) -> bool:
    """ModelMergeBlocks stands for the merges that only name their blocks otherwise: test_patches.py."""
    merges = class_type.startswith("ModelMerge") and "ModelMergeBlocks" in found
    return class_type in found or SAME_AS.get(class_type) in found or merges


MODEL = ["a model", 0]
"""Stands for the link to a model."""


@cache
def values_of(class_type: str) -> st.SearchStrategy[dict[str, Any]]:
    """Values that ComfyUI takes for the inputs of a class, or links; built once, which takes longer than to
    draw from them."""
    return st.fixed_dictionaries({name: values(spec) for name, spec in inputs_of(class_type).items()})


def values(spec: list[Any]) -> st.SearchStrategy[Any]:
    kind, how = spec[0], (spec[1] if len(spec) > 1 else {})
    if isinstance(kind, list) or kind == "COMBO":
        options = kind if isinstance(kind, list) else how["options"]
        return st.sampled_from(options or ["some.safetensors"])
    if kind == "MODEL":
        return st.just(MODEL)
    numbers = {"FLOAT": st.floats, "INT": st.integers}
    if kind in numbers:
        least, most = how.get("min", 0), how.get("max", 10)
        return numbers[kind](max(least, -(2**40)), min(most, 2**40)) | st.just(how["default"])
    if kind == "BOOLEAN":
        return st.booleans()
    return st.text(max_size=5) if kind == "STRING" else st.just(["given", 0])


NODES, MEASURED = sorted(model_nodes()), measured()
MODELS = ("flux", "z-image")


def test_the_table_has_comfyuis_nodes_and_the_measured_ones_are_among_them() -> None:
    assert len(NODES) == 94
    assert len(MEASURED & set(NODES)) > 30


@pytest.mark.parametrize("class_type", NODES)
@settings(max_examples=12)
@given(data=st.data())
def test_only_what_was_measured_stands_between_a_loader_and_a_shared_sampler(
    class_type: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(MODELS))
    graph = json.loads(json.dumps(write_graph(SHIPPED[name].graph)))
    users = [n for n, each in graph.items() if isinstance(each["inputs"].get("model"), list)]
    user = graph[data.draw(st.sampled_from(users))]["inputs"]
    inputs = data.draw(values_of(class_type))
    inputs = {each: user["model"] if value is MODEL else value for each, value in inputs.items()}
    output = bundled_table()[class_type]["output"].index("MODEL")  # type: ignore[index, union-attr]
    graph |= {"given": node("SomebodysLoader"), "patch": node(class_type, **inputs)}
    user["model"] = ["patch", output]
    model = template(graph, (FLUJOS / f"{name}.toml").read_text(encoding="utf-8"))

    only, value = ONLY_WITH.get(class_type, ("", None))
    if class_type in KNOWN and inputs.get(only) == value:
        assert proved(class_type, MEASURED)
        assert fusible(model) is None
        people = [request(model=name, seed=seed) for seed in (1, 2)]
        sent = write_graph(fuse(model, people, keys=["a" * 32, "b" * 32], source_names=[[], []]).graph)
        assert [node_id for node_id in sent if node_id.startswith("patch")] == ["patch"]
        assert [each["class_type"] for each in sent.values()].count("SamplerCustomAdvanced") == 1
    else:
        assert f"({class_type})" in (fusible(model) or "")
