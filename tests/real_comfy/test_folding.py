"""What the bot folds into a graph is what ComfyUI's own nodes give (no server).

REAL_COMFY_PATH names a ComfyUI's folder, REAL_COMFY_PYTHON the Python that it runs with (default: this one).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.ai.workflows.constants import RATIOS, outputs_of
from tests.real_comfy.test_networks import FOLDER, PYTHON

pytestmark = pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")

TEXT = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="aAb ,\n{}\\1", max_size=12),
    st.sampled_from(["", " a ", "ǅ ß İ", "a fox, {style}", '{"k": [1, null]}', '{"k": "v"}', "[]", " 1_0 "]),
)
WHOLE = st.integers(-(2**40), 2**40) | st.integers(-9, 9)
NUMBER = WHOLE | st.floats(allow_nan=False, width=32) | st.booleans()
PATTERN = st.one_of(
    st.sampled_from(
        ["a", "(a)(b)?", "^```(?:json)?\\s*", "\\s*$", "(a|b)", "[aA]+", "(", "a*", "\\d+", "", "(?P<x>a)"]
    ),
    st.text(alphabet="ab()[]|?*+\\^$.", max_size=6),
)
BETWEEN = ["+", "-", "*", "/", "//", "%", "&", "|", "^", "<", "<=", "==", "!=", "and", "or"]
CALLED = ["abs", "round", "floor", "ceil", "int", "float", "sqrt", "log", "min", "sum", "-", "~", "not"]
SMALL = st.sampled_from(["0", "1", "2", "3", "0.5", "-1"])  # ComfyUI works at larger powers for hours
FORMULA = st.recursive(
    st.sampled_from(["a", "b", "1", "2.5", "0", "True", "values[0]", "sum(values)", "values"]),
    lambda part: st.one_of(
        st.builds("({} {} {})".format, part, st.sampled_from(BETWEEN), part),
        st.builds("({} {} {})".format, part, st.sampled_from(["**", "<<", ">>"]), SMALL),
        st.builds("pow({}, {})".format, part, SMALL),
        st.builds("{}({})".format, st.sampled_from(CALLED), part),
        st.builds("({} if {} else {})".format, part, part, part),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "round", "log"]), part, part),
    ),
    max_leaves=6,
)
FORMAT = st.sampled_from(["{a}{b}", "{a:>8}", "{b!r}", "{a:.2f}", "{c}", "{a.real}", "{{a}}"])
OBJECT = st.dictionaries(TEXT, NUMBER | TEXT).map(json.dumps)
COLOUR = st.from_regex(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", fullmatch=True)
CASED = st.sampled_from(["UPPERCASE", "lowercase", "Capitalize", "Title Case"])
TRIMMED = st.sampled_from(["Both", "Left", "Right"])
COMPARED = st.sampled_from(["Starts With", "Ends With", "Equal"])
EXTRACTED = st.sampled_from(["First Match", "All Matches", "First Group", "All Groups"])
RATIO = st.sampled_from(list(RATIOS))
REGEX = {
    "string": TEXT,
    "regex_pattern": PATTERN,
    "case_insensitive": st.booleans(),
    "multiline": st.booleans(),
    "dotall": st.booleans(),
}


def case(class_type: str, **inputs: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    grown = {name.replace("__", "."): value for name, value in inputs.items()}
    return st.tuples(st.just(class_type), st.fixed_dictionaries(grown))


CASES = st.one_of(
    case("CaseConverter", string=TEXT, mode=CASED),
    case("ColorToRGBInt", color=COLOUR | TEXT),
    case("ComfyAndNode", values__value0=NUMBER | TEXT, values__value1=NUMBER),
    case("ComfyMathExpression", expression=FORMULA, values__a=NUMBER, values__b=NUMBER),
    case("ComfyNotNode", value=NUMBER | TEXT),
    case("ComfyNumberConvert", value=NUMBER | TEXT | NUMBER.map(str)),
    case("ComfyOrNode", values__value0=NUMBER | TEXT, values__value1=NUMBER),
    case("CustomCombo", choice=TEXT, index=WHOLE),
    case("JsonExtractString", json_string=TEXT | OBJECT, key=TEXT | st.just("k")),
    case("PreviewAny", source=NUMBER | TEXT),
    case("PrimitiveFloat", value=NUMBER),
    case("PrimitiveInt", value=WHOLE),
    case("PrimitiveStringMultiline", value=TEXT),
    case("RegexExtract", **REGEX, group_index=st.integers(0, 3), mode=EXTRACTED),
    case("RegexMatch", **REGEX),
    case("RegexReplace", **REGEX, replace=TEXT, count=st.integers(0, 3)),
    case(
        "ResolutionSelector", aspect_ratio=RATIO, megapixels=st.floats(0.1, 16), multiple=st.integers(8, 128)
    ),
    case("SeedNode", seed=st.integers(0, 2**63 - 1)),
    case("StringCompare", string_a=TEXT, string_b=TEXT, mode=COMPARED, case_sensitive=st.booleans()),
    case("StringConcatenate", string_a=TEXT, string_b=TEXT, delimiter=TEXT),
    case("StringContains", string=TEXT, substring=TEXT, case_sensitive=st.booleans()),
    case("StringFormat", values__a=NUMBER | TEXT, values__b=TEXT, f_string=TEXT | FORMAT),
    case("StringLength", string=TEXT),
    case("StringReplace", string=TEXT, find=TEXT, replace=TEXT),
    case("StringSubstring", string=TEXT, start=st.integers(-9, 9), end=st.integers(-9, 9)),
    case("StringTrim", string=TEXT, mode=TRIMMED),
)

compared: Counter[str] = Counter()


@pytest.fixture(scope="module")
def real() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("values.py")
    command = [PYTHON, str(script), os.path.abspath(FOLDER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        stdin(process).close()


def stdin(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin


@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(drawn=CASES)
def test_each_node_of_values_gives_what_comfyuis_own_gives(
    real: subprocess.Popen[str], drawn: tuple[str, dict[str, Any]]
) -> None:
    class_type, inputs = drawn
    stdin(real).write(json.dumps({"class": class_type, "inputs": inputs}) + "\n")
    stdin(real).flush()
    assert real.stdout is not None
    told = json.loads(real.stdout.readline())
    ours = outputs_of(class_type, inputs)
    if ours is not None:
        compared[class_type] += 1
        assert told is not None
        assert json.dumps(list(ours)) == json.dumps(told["outputs"])


def test_each_of_them_was_compared() -> None:
    assert len(compared) == 26
    assert min(compared.values()) > 5
