"""Formulas of ComfyMathExpression, evaluated without running them as code."""

from __future__ import annotations

import ast
import math
import operator
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Number = int | float

_LONGEST = 1000
_LARGEST_BASE = 4_000_000
_MOST_BITS = 4000
"""The most bits that a number may have: a formula of three powers could keep a computer busy for years."""

_FAILURES = (
    ArithmeticError, LookupError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError, Warning,
)  # fmt: skip


class NoResult(ValueError):
    """The text is not a formula, or its result is not certain."""


def calculated(formula: str, names: Mapping[str, Number]) -> Number:
    """The result of a formula in the variables ``names``. Raises `NoResult`."""
    if len(formula) > _LONGEST:
        raise NoResult("the formula is too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = _value(ast.parse(formula.strip(), mode="eval").body, names)
    except NoResult:
        raise
    except _FAILURES as e:
        raise NoResult(str(e)) from e
    if not isinstance(result, int | float) or not math.isfinite(float(result)):
        raise NoResult("the result is not a number")
    return result


def _value(node: ast.expr, names: Mapping[str, Number]) -> Any:  # noqa: PLR0911, PLR0912 - a case each
    match node:
        case ast.Constant(value=int() | float()):
            return node.value
        case ast.Name(id="values"):  # all variables as a list, in the order of their letters
            if list(names) != sorted(names):
                raise NoResult("the order of the values is not certain")
            return list(names.values())
        case ast.Name():
            return names[node.id]
        case ast.UnaryOp():
            return _UNARY[type(node.op)](_value(node.operand, names))
        case ast.BinOp():
            return _BINARY[type(node.op)](_value(node.left, names), _value(node.right, names))
        case ast.BoolOp():
            wanted = isinstance(node.op, ast.Or)
            result: Any = False
            for part in node.values:
                result = _value(part, names)
                if bool(result) is wanted:
                    break
            return result
        case ast.Compare():
            left: Any = _value(node.left, names)
            result = True
            for compare, part in zip(node.ops, node.comparators, strict=True):
                right = _value(part, names)
                result = _COMPARE[type(compare)](left, right)
                if not result:
                    break
                left = right
            return result
        case ast.IfExp():
            return _value(node.body if _value(node.test, names) else node.orelse, names)
        case ast.Subscript():
            return _value(node.value, names)[_value(node.slice, names)]
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            return _FUNCTIONS[function](*(_value(part, names) for part in arguments))
        case _:
            raise NoResult(f"{type(node).__name__} is not known in a formula")


def _operator_power(base: Any, exponent: Any) -> Any:
    if abs(base) > _LARGEST_BASE:  # this limit is for the operator ** only, not for pow()
        raise NoResult("ComfyUI refuses a base that large")
    return _power(base, exponent)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) * math.log2(abs(base) + 2) > _MOST_BITS:
        raise NoResult("the number is too large")
    return base**exponent


def _shifted(shift: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(value: Any, places: Any) -> Any:
        if abs(places) > _MOST_BITS or abs(value) > sys.float_info.max:
            raise NoResult("the number is too large")
        return shift(value, places)

    return checked


def _times(left: Any, right: Any) -> Any:
    if isinstance(left, Sequence) or isinstance(right, Sequence):
        raise NoResult("only numbers are multiplied")
    return left * right


def _sum(*parts: Any) -> Any:
    return sum(parts[0]) if len(parts) == 1 and isinstance(parts[0], list) else sum(parts)


_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: _shifted(operator.lshift),
    ast.Mod: operator.mod,
    ast.Mult: _times,
    ast.Pow: _operator_power,
    ast.RShift: _shifted(operator.rshift),
    ast.Sub: operator.sub,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "float": float,
    "floor": math.floor,
    "int": int,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "pow": _power,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "sum": _sum,
    "tan": math.tan,
}
