"""Computes ComfyUI's value nodes from constants: texts, numbers, truth values and sizes.

The results are those of ComfyUI 0.33. If a result is not certain, or might take long, there is none, and
the node stays in its graph for the server to run.
"""

from __future__ import annotations

import json
import math
import re
import string
import warnings
from collections.abc import Callable, Mapping

from modules.ai.workflows.arithmetic import calculated
from modules.ai.workflows.graph import JSON

Inputs = Mapping[str, JSON]

_FAILURES = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, Warning, re.error,
)  # fmt: skip
_LONGEST_TEXT = 200_000
_MOST_WORK = 5_000_000


def outputs_of(class_type: str, inputs: Inputs) -> tuple[JSON, ...] | None:
    """The outputs of a node whose ``inputs`` are all constants; None if they are not known."""
    compute = _FUNCTIONS.get(class_type)
    if compute is None:
        return None
    try:
        result = compute(inputs)
    except _FAILURES:
        return None  # ComfyUI fails here too, and says so
    outputs = result if isinstance(result, tuple) else (result,)
    return outputs if all(map(is_constant, outputs)) else None


def is_constant(value: JSON) -> bool:
    """Whether a value can stand in a graph as it is."""
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, int):
        return abs(value) < 2**64
    return isinstance(value, float) and math.isfinite(value)


def _bounded(length: int) -> None:
    if length > _LONGEST_TEXT:
        raise ValueError("the text would be too long")


# ── text ────────────────────────────────────────────────────────────────────────────────────────


def _concatenated(given: Inputs) -> str:
    first, second, between = given["string_a"], given["string_b"], given["delimiter"]
    _bounded(len(first) + len(second) + len(between))
    return str(between.join((first, second)))


def _replaced(given: Inputs) -> str:
    text, find, by = given["string"], given["find"], given["replace"]
    _bounded(len(text) + (text.count(find) + 1) * len(by))
    return str(text.replace(find, by))


def _cased(given: Inputs) -> str:
    ways = {"UPPERCASE": str.upper, "lowercase": str.lower, "Capitalize": str.capitalize}
    return {**ways, "Title Case": str.title}[given["mode"]](given["string"])


def _trimmed(given: Inputs) -> str:
    return {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}[given["mode"]](given["string"])


def _contains(given: Inputs) -> bool:
    text, part = given["string"], given["substring"]
    return part in text if given["case_sensitive"] else part.lower() in text.lower()


def _compared(given: Inputs) -> bool:
    first, second = given["string_a"], given["string_b"]
    if not given["case_sensitive"]:
        first, second = first.lower(), second.lower()
    match given["mode"]:
        case "Equal":
            return bool(first == second)
        case "Starts With":
            return bool(first.startswith(second))
        case "Ends With":
            return bool(first.endswith(second))
    raise ValueError("no such mode")


_PLAIN_FORMAT = re.compile(r"[<>^]?[+\- ]?0?\d{0,3},?(\.\d{1,2})?[sdfeg%]?")


def _formatted(given: Inputs) -> str:
    values, length = _grown(given, "values"), 0
    for text, name, form, conversion in string.Formatter().parse(given["f_string"]):
        length += len(text)
        if name is not None:
            if conversion or not _PLAIN_FORMAT.fullmatch(form or ""):
                raise ValueError("more than a name and a width")
            length += max(len(str(values[name])), 999 if form else 0)
        _bounded(length)
    return str(given["f_string"].format(**values))


def _from_json(given: Inputs) -> str:
    try:
        data = json.loads(given["json_string"])
    except json.JSONDecodeError:
        return ""
    value = data.get(given["key"]) if isinstance(data, dict) else None
    return "" if value is None else str(value)


# ── regular expressions ─────────────────────────────────────────────────────────────────────────


def _pattern(given: Inputs) -> re.Pattern[str]:
    """The pattern, if it is sure to be fast on the text: one person's text must not stop the bot."""
    text, pattern = given["string"], given["regex_pattern"]
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)
    endless = len(re.findall(r"[*+]|\{\d*,\d*\}", bare))
    if re.search(r"\)[*+{]", bare) or (len(text) + 1) ** (endless + 1) > _MOST_WORK:
        raise ValueError("it might take long")
    flags = re.IGNORECASE if given.get("case_insensitive", True) else 0
    flags |= re.MULTILINE if given.get("multiline", False) else 0
    flags |= re.DOTALL if given.get("dotall", False) else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what causes a warning means something else in another Python
        return re.compile(pattern, flags)


def _matched(given: Inputs) -> bool:
    return _pattern(given).search(given["string"]) is not None


def _extracted(given: Inputs) -> JSON:
    pattern, text, group = _pattern(given), given["string"], given["group_index"]
    found = list(pattern.finditer(text))
    first = min(pattern.groups, 1)  # what re.findall takes of each match
    match given["mode"]:
        case "First Match":
            return found[0][0] if found else ""
        case "All Matches":
            return "\n".join(match[first] or "" for match in found)
        case "First Group":
            return found[0][group] if found and pattern.groups >= group else ""
        case "All Groups":
            return "\n".join(match[group] for match in found if 0 < pattern.groups >= group)
        case _:
            return ""


def _substituted(given: Inputs) -> str:
    pattern, text, by = _pattern(given), given["string"], given["replace"]
    _bounded(len(text) + (len(text) + 1) * (len(by) + len(text) * by.count("\\")))
    return pattern.sub(by, text, count=given.get("count", 0))


# ── numbers and sizes ───────────────────────────────────────────────────────────────────────────


def _calculated(given: Inputs) -> tuple[float, int, bool]:
    result = calculated(given["expression"], _grown(given, "values"))
    return float(result), int(result), bool(result)


def _converted(given: Inputs) -> tuple[float, int]:
    value = given["value"]
    if isinstance(value, str):
        number = float(value)
        try:
            return number, int(value)
        except ValueError:
            return number, int(number)
    return float(value), int(value)


RATIOS = {
    "1:1 (Square)": (1, 1),
    "2:3 (Portrait Photo)": (2, 3),
    "3:2 (Photo)": (3, 2),
    "3:4 (Portrait Standard)": (3, 4),
    "4:3 (Standard)": (4, 3),
    "9:16 (Portrait Widescreen)": (9, 16),
    "16:9 (Widescreen)": (16, 9),
    "21:9 (Ultrawide)": (21, 9),
}


def _resolution(given: Inputs) -> tuple[int, int]:
    across, down = RATIOS[given["aspect_ratio"]]
    multiple = given["multiple"]
    unit = math.sqrt(given["megapixels"] * 1024 * 1024 / (across * down))
    return round(across * unit / multiple) * multiple, round(down * unit / multiple) * multiple


def _colour(given: Inputs) -> tuple[int, str, float]:
    found = re.fullmatch(r"(#([0-9a-fA-F]{6}))([0-9a-fA-F]{2})?", given["color"])
    if found is None:
        raise ValueError("no colour")
    return int(found[2], 16), found[1], int(found[3], 16) / 255.0 if found[3] else 1.0


def _grown(given: Inputs, name: str) -> dict[str, JSON]:
    """The values of an input that can grow: ``values.a``, ``values.b``; at least one."""
    values = {key.partition(".")[2]: value for key, value in given.items() if key.startswith(f"{name}.")}
    if not values:
        raise LookupError(name)
    return values


def _shown(given: Inputs) -> str:
    value = given["source"]
    if not isinstance(value, str | int | float):
        raise TypeError("not shown as it is")
    return str(value)


_FUNCTIONS: Mapping[str, Callable[[Inputs], JSON]] = {
    "BOOLConstant": lambda given: given["value"],
    "CaseConverter": _cased,
    "ColorToRGBInt": _colour,
    "ComfyAndNode": lambda given: all(_grown(given, "values").values()),
    "ComfyMathExpression": _calculated,
    "ComfyNotNode": lambda given: not given["value"],
    "ComfyNumberConvert": _converted,
    "ComfyOrNode": lambda given: any(_grown(given, "values").values()),
    "CustomCombo": lambda given: (given["choice"], given.get("index", 0)),
    "INTConstant": lambda given: given["value"],
    "JsonExtractString": _from_json,
    "PreviewAny": _shown,
    "PrimitiveBoolean": lambda given: given["value"],
    "PrimitiveFloat": lambda given: given["value"],
    "PrimitiveInt": lambda given: given["value"],
    "PrimitiveString": lambda given: given["value"],
    "PrimitiveStringMultiline": lambda given: given["value"],
    "RegexExtract": _extracted,
    "RegexMatch": _matched,
    "RegexReplace": _substituted,
    "ResolutionSelector": _resolution,
    "SaveText": lambda given: given["text"],
    "SeedNode": lambda given: given["seed"],
    "StringCompare": _compared,
    "StringConcatenate": _concatenated,
    "StringConstant": lambda given: given["string"],
    "StringContains": _contains,
    "StringFormat": _formatted,
    "StringLength": lambda given: len(given["string"]),
    "StringReplace": _replaced,
    "StringSubstring": lambda given: given["string"][given["start"] : given["end"]],
    "StringTrim": _trimmed,
}

FOLDED = frozenset(_FUNCTIONS)
"""Classes whose outputs can be computed from constant inputs."""
