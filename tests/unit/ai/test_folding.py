"""Folding: what is settled before a run becomes a constant, and nothing else does."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from modules.ai.workflows.arithmetic import NoResult, calculated
from modules.ai.workflows.constants import outputs_of
from modules.ai.workflows.folding import folded
from modules.ai.workflows.graph import read_graph, write_graph
from tests.workflow_graphs import node

TABLE: Any = {
    "TextGenerate": {"input": {"required": {}}, "output": ["STRING"]},
    "PrimitiveStringMultiline": {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"]},
    "PrimitiveFloat": {"input": {"required": {"value": ["FLOAT", {}]}}, "output": ["FLOAT"]},
    "KSampler": {"input": {"required": {"steps": ["INT", {"min": 1, "max": 100}]}}, "output": ["LATENT"]},
}


def fold(graph: dict[str, Any], keep: tuple[str, ...] = (), *, enhance: bool = False) -> dict[str, Any]:
    return write_graph(folded(read_graph(graph), TABLE, keep, enhance=enhance))


RESULTS: list[tuple[str, dict[str, Any], Any]] = [
    ("PrimitiveInt", {"value": 7}, 7),
    ("SeedNode", {"seed": 2**63 - 1}, 2**63 - 1),
    ("ComfyNotNode", {"value": ""}, True),
    ("ComfyAndNode", {"values.value0": True, "values.value1": 0}, False),
    ("ComfyOrNode", {"values.value0": False, "values.value1": "x"}, True),
    ("CustomCombo", {"choice": "b", "index": 1, "option1": "a"}, "b"),
    ("StringConcatenate", {"string_a": "a", "string_b": "b", "delimiter": ", "}, "a, b"),
    ("StringReplace", {"string": "{p}!", "find": "{p}", "replace": "fox"}, "fox!"),
    ("StringTrim", {"string": " a ", "mode": "Left"}, "a "),
    ("StringSubstring", {"string": "abcdef", "start": 1, "end": -1}, "bcde"),
    ("StringLength", {"string": "äö"}, 2),
    ("CaseConverter", {"string": "a fox", "mode": "Title Case"}, "A Fox"),
    ("StringContains", {"string": "A fox", "substring": "a F", "case_sensitive": False}, True),
    (
        "StringCompare",
        {"string_a": "ab", "string_b": "B", "mode": "Ends With", "case_sensitive": True},
        False,
    ),
    ("StringFormat", {"values.a": 2, "values.b": "x", "f_string": "{b}-{a:03d}"}, "x-002"),
    ("RegexReplace", {"string": "```json\n{}", "regex_pattern": "^```(?:json)?\\s*", "replace": ""}, "{}"),
    ("JsonExtractString", {"json_string": '{"a": true}', "key": "a"}, "True"),
    ("JsonExtractString", {"json_string": "no json", "key": "a"}, ""),
    ("PreviewAny", {"source": 1024}, "1024"),
    ("ComfyNumberConvert", {"value": " 2.5 "}, 2.5),
    ("ResolutionSelector", {"aspect_ratio": "16:9 (Widescreen)", "megapixels": 1, "multiple": 8}, 1368),
    ("ColorToRGBInt", {"color": "#0102ff80"}, 66303),
]


@pytest.mark.parametrize(("class_type", "inputs", "first"), RESULTS)
def test_each_node_of_values_gives_what_comfyui_gives(
    class_type: str, inputs: dict[str, Any], first: Any
) -> None:
    outputs = outputs_of(class_type, inputs)
    assert outputs is not None
    assert (type(outputs[0]), outputs[0]) == (type(first), first)


UNCERTAIN: list[tuple[str, dict[str, Any]]] = [
    ("ComfyMathExpression", {"expression": "a ** 9999999", "values.a": 9}),
    ("ComfyMathExpression", {"expression": "().__class__", "values.a": 9}),
    ("RegexReplace", {"string": "a" * 50, "regex_pattern": "(a+)+$", "replace": ""}),
    ("RegexReplace", {"string": "a", "regex_pattern": "(", "replace": ""}),
    ("RegexMatch", {"string": "a", "regex_pattern": "[[a]"}),
    ("ComfyMathExpression", {"expression": "1(a)", "values.a": 9}),
    ("ComfyMathExpression", {"expression": "a ** 0", "values.a": 4_000_001}),
    ("ComfyMathExpression", {"expression": "pow(0, a)", "values.a": 4001}),
    ("StringFormat", {"values.a": "x", "f_string": "{a.__class__}"}),
    ("StringFormat", {"values.a": "x", "f_string": "{a:>999999999}"}),
    ("StringReplace", {"string": "a" * 9999, "find": "", "replace": "b" * 9999}),
    ("ComfyNumberConvert", {"value": "inf"}),
    ("StringConcatenate", {"string_a": "a"}),
    ("TextToUppercase", {"texts": "a"}),
    ("NobodyKnows", {"value": 1}),
]


@pytest.mark.parametrize(("class_type", "inputs"), UNCERTAIN)
def test_what_is_not_certain_or_might_take_long_is_left_to_the_server(
    class_type: str, inputs: dict[str, Any]
) -> None:
    assert outputs_of(class_type, inputs) is None


@pytest.mark.parametrize(
    ("formula", "result"),
    [
        ("a & -8", 1016),
        ("floor(a/32)*32", 992),
        ("max(((a + 15) // 16) * 16, 256)", 1024),
        ("a % b if b > 0 else 0", 1020 % 3),
        ("(a % 4 == 0) and 1 < b < 4", True),
        ("sum(values) + values[1]", 1026),
        ("round (2.5) + int(a) - ~1", 1024),
        ("ceil(1.5 * log2(max(a, b))) + 2", 17),
    ],
)
def test_a_formula_gives_what_python_gives(formula: str, result: float) -> None:
    assert calculated(formula, {"a": 1020, "b": 3}) == result


@pytest.mark.parametrize("formula", ["", "a; b", "a +", "x", "a.real", "[a]", "'x'", "a" * 2000, "(" * 900])
def test_a_formula_that_is_none_has_no_result(formula: str) -> None:
    with pytest.raises(NoResult):
        calculated(formula, {"a": 1})


class Deprecated(int):
    """Python warns when it is inverted, as it does from 3.12 on for the result of a comparison."""

    def __invert__(self) -> int:
        warnings.warn("inversion is deprecated", DeprecationWarning, stacklevel=2)
        return -2


def test_a_formula_that_python_warns_of_has_no_result() -> None:
    with pytest.raises(NoResult, match="inversion is deprecated"):
        calculated("~a", {"a": Deprecated(1)})


def test_a_switch_becomes_the_side_it_is_set_to_and_the_other_goes_with_all_only_it_needed() -> None:
    graph = {
        "1": node("UNETLoader", unet_name="m"),
        "2": node("LoraLoaderModelOnly", model=["1", 0], lora_name="l"),
        "3": node("PrimitiveBoolean", value=False),
        "4": node("ComfySwitchNode", switch=["3", 0], on_false=["1", 0], on_true=["2", 0]),
        "5": node("PrimitiveInt", value=20),
        "6": node("ComfySwitchNode", switch=["3", 0], on_false=["5", 0], on_true=8),
        "7": node("KSampler", model=["4", 0], steps=["6", 0]),
    }
    assert fold(graph) == {
        "1": node("UNETLoader", unet_name="m"),
        "7": node("KSampler", model=["1", 0], steps=20),
    }


def test_constants_are_read_as_comfyui_reads_them_before_they_are_used() -> None:
    graph = {
        "1": node("PrimitiveFloat", value=4),
        "2": node("PreviewAny", source=["1", 0]),
        "3": node("Shown", text=["2", 0]),
    }
    assert fold(graph)["3"]["inputs"] == {"text": "4.0"}


def test_a_number_that_comfyui_would_refuse_as_a_constant_stays_linked() -> None:
    graph = {"1": node("PrimitiveInt", value=1000), "2": node("KSampler", steps=["1", 0])}
    assert fold(graph) == graph


ENHANCED = {
    "1": node("PrimitiveStringMultiline", value="a fox"),
    "2": node("TextGenerate", clip=["9", 0], prompt=["1", 0]),
    "3": node("ComfySwitchNode", switch=True, on_false=["1", 0], on_true=["2", 0]),
    "4": node("PreviewAny", source=["3", 0]),
    "5": node("CLIPTextEncode", clip=["9", 0], text=["4", 0]),
    "9": node("CLIPLoader", clip_name="c"),
}


def test_a_prompt_that_a_language_model_rewrites_is_taken_as_it_was_written_unless_wanted() -> None:
    assert fold(ENHANCED) == {
        "5": node("CLIPTextEncode", clip=["9", 0], text="a fox"),
        "9": node("CLIPLoader", clip_name="c"),
    }
    assert fold(ENHANCED, ("1",), enhance=True)["5"]["inputs"]["text"] == ["2", 0]


def test_a_node_that_is_kept_stays_and_its_value_is_still_open() -> None:
    graph = fold(ENHANCED, ("1",))
    assert (graph["1"], graph["5"]["inputs"]["text"]) == (ENHANCED["1"], ["1", 0])


def test_the_authors_text_stays_around_a_text_that_is_kept() -> None:
    graph = {
        "1": node("PrimitiveStringMultiline", value="the author's own"),
        "2": node("PrimitiveString", value="trigger, "),
        "3": node("StringConcatenate", string_a=["2", 0], string_b=["1", 0], delimiter=""),
        "4": node("CLIPTextEncode", text=["3", 0]),
    }
    assert fold(graph, ("1",)) == {
        "1": graph["1"],
        "3": node("StringConcatenate", string_a="trigger, ", string_b=["1", 0], delimiter=""),
        "4": graph["4"],
    }


def test_texts_that_double_forty_times_are_not_computed() -> None:
    graph = {"0": node("PrimitiveString", value="a" * 100)}
    for n in range(1, 40):
        before = [str(n - 1), 0]
        graph[str(n)] = node("StringConcatenate", string_a=before, string_b=before, delimiter="")
    graph["end"] = node("CLIPTextEncode", text=["39", 0])
    assert isinstance(fold(graph)["end"]["inputs"]["text"], list)


def test_a_number_that_no_input_takes_stays_for_the_server_to_compute() -> None:
    inputs = {"expression": "a ** 100", "values.a": 10}
    assert outputs_of("ComfyMathExpression", inputs) is None
    assert outputs_of("ComfyMathExpression", inputs | {"values.a": 1}) == (1.0, 1, True)
