"""Checks a graph against the node table, and answers in ComfyUI's words when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.demo.comfy_server.nodes.node_table import InputSpec, NodeTable
from modules.demo.comfy_server.nodes.picture_nodes import LOADERS
from modules.demo.comfy_server.prompt_queue import Graph

Problem = dict[str, Any]
FileCheck = Callable[[str, Mapping[str, Any]], tuple[str, str] | None]
"""(class, inputs) → (input, what is wrong), for what only the node itself can check."""

_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}
_LONG_LIST = 20
_TRACEBACK = ['  File "execution.py", in validate_inputs\n']


@dataclass(kw_only=True)
class Verdict:
    """``error`` is None if at least one output can run; ``node_errors`` may be there all the same."""

    error: Problem | None = None
    node_errors: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def validate(graph: Graph, table: NodeTable, check_files: FileCheck) -> Verdict:
    """Check every output of ``graph``; converts numbers and strings in place, as ComfyUI does."""
    wrong = _unknown_node(graph, table)
    if wrong is not None:
        return Verdict(error=wrong)
    outputs = [node_id for node_id, node in graph.items() if table.is_output(node["class_type"])]
    if not outputs:
        return Verdict(error=problem("prompt_no_outputs", "Prompt has no outputs"))
    checker = _Checker(graph, table, check_files)
    good: list[str] = []
    node_errors: dict[str, Any] = {}
    for output in outputs:
        if checker.check_output(output):
            good.append(output)
            continue
        for node_id, errors in checker.found.items():
            if errors:
                entry = {
                    "errors": errors,
                    "dependent_outputs": [],
                    "class_type": graph[node_id]["class_type"],
                }
                node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)
    error = None
    if not good:
        own = [
            f"{wrong['message']}: {wrong['details']}" for output in outputs for wrong in checker.found[output]
        ]
        error = problem(
            "prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(own)
        )
    return Verdict(error=error, node_errors=node_errors, outputs=tuple(good))


def problem(kind: str, message: str, details: str = "", **extra: Any) -> Problem:
    """An error as every body of ComfyUI's shows it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _unknown_node(graph: Graph, table: NodeTable) -> Problem | None:
    for node_id, node in graph.items():
        kind = node.get("class_type")
        where = f"Node ID '#{node_id}'"
        title = node.get("_meta", {}).get("title", kind)
        extra = {"node_id": node_id, "class_type": kind, "node_title": title}
        if kind is None:
            message = (
                f"Node 'ID #{node_id}' has no class_type. "
                "The workflow may be corrupted or a custom node is missing."
            )
            return problem("missing_node_type", message, where, **extra)
        if kind not in table.nodes:
            message = f"Node '{title}' not found. The custom node may not be installed."
            return problem("missing_node_type", message, where, **extra)
    return None


class _Checker:
    """Walks from an output to its sources once; ``found`` holds each visited node's own errors."""

    def __init__(self, graph: Graph, table: NodeTable, check_files: FileCheck) -> None:
        self._graph = graph
        self._table = table
        self._check_files = check_files
        self._valid: dict[str, bool] = {}
        self._open: list[str] = []
        self._cyclic: dict[str, list[Problem]] = {}
        self.found: dict[str, list[Problem]] = {}

    def check_output(self, node_id: str) -> bool:
        """Whether everything that ``node_id`` needs is right."""
        try:
            return self._check(node_id)
        except (LookupError, TypeError) as error:
            extra = {"exception_type": type(error).__name__, "traceback": _TRACEBACK}
            wrong = problem(
                "exception_during_validation", "Exception when validating node", str(error), **extra
            )
            self.found[node_id] = [wrong]
            self._valid[node_id] = False
            self._open.clear()
            return False

    def _check(self, node_id: str) -> bool:
        if node_id in self._valid:
            return self._valid[node_id]
        if node_id in self._open:
            self._note_cycle(self._open[self._open.index(node_id) :])
            return False
        node = self._graph[node_id]
        self._open.append(node_id)
        errors: list[Problem] = []
        sound = True
        for spec in self._table.inputs(node["class_type"]):
            sound = self._check_input(node, spec, errors) and sound
        if not errors and (wrong := self._check_files(node["class_type"], node["inputs"])) is not None:
            name, what = wrong
            details = f"{name} - {what}"
            errors.append(
                problem(
                    "custom_validation_failed", "Custom validation failed for node", details, input_name=name
                )
            )
        self._open.pop()
        errors = self._cyclic.get(node_id, errors)
        self.found[node_id] = errors
        self._valid[node_id] = sound and not errors
        return self._valid[node_id]

    def _note_cycle(self, nodes: list[str]) -> None:
        path = " -> ".join(
            f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in (*nodes, nodes[0])
        )
        for node_id in nodes:
            extra = {"node_id": node_id, "cycle_nodes": nodes}
            self._cyclic[node_id] = [problem("dependency_cycle", "Dependency cycle detected", path, **extra)]

    def _check_input(self, node: dict[str, Any], spec: InputSpec, errors: list[Problem]) -> bool:
        """False if something upstream is wrong; what is wrong here goes to ``errors``."""
        inputs = node["inputs"]
        if spec.name not in inputs:
            if spec.required:
                errors.append(
                    problem(
                        "required_input_missing", "Required input is missing", spec.name, input_name=spec.name
                    )
                )
            return True
        value = inputs[spec.name]
        if isinstance(value, list):
            return self._check_link(spec, value, errors)
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[spec.name] = value["__value__"]
        wrong = _convert(inputs, spec) or _out_of_range(inputs[spec.name], spec)
        if wrong is not None and not (node["class_type"] in LOADERS and spec.name == "image"):
            errors.append(wrong)
        return True

    def _check_link(self, spec: InputSpec, link: list[Any], errors: list[Problem]) -> bool:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(problem("bad_linked_input", message, spec.name, **_told(spec, received_value=link)))
            return True
        source, slot = link
        received = self._table.outputs(self._graph[source]["class_type"])[slot]
        if not _fits(received, spec.kind):
            details = f"{spec.name}, received_type({received}) mismatch input_type({spec.kind})"
            extra = _told(spec, received_type=received, linked_node=link)
            errors.append(
                problem("return_type_mismatch", "Return type mismatch between linked nodes", details, **extra)
            )
            return True
        try:
            return self._check(source)
        except (LookupError, TypeError) as error:
            extra = _told(
                spec,
                exception_message=_message(error),
                exception_type=type(error).__name__,
                traceback=_TRACEBACK,
                linked_node=link,
            )
            message = "Exception when validating inner node"
            self.found[source] = [
                problem("exception_during_inner_validation", message, _message(error), **extra)
            ]
            self._valid[source] = False
            self._open = self._open[: self._open.index(source)] if source in self._open else self._open
            return False


def _convert(inputs: dict[str, Any], spec: InputSpec) -> Problem | None:
    convert = _CONVERSIONS.get(spec.kind)
    if convert is None:
        return None
    value = inputs[spec.name]
    try:
        inputs[spec.name] = convert(value)
    except (TypeError, ValueError, OverflowError) as error:
        details = f"{spec.name}, {value}, {error}"
        extra = _told(spec, received_value=value, exception_message=str(error))
        return problem(
            "invalid_input_type", f"Failed to convert an input value to a {spec.kind} value", details, **extra
        )
    return None


def _out_of_range(value: Any, spec: InputSpec) -> Problem | None:
    least, most = spec.limits.get("min"), spec.limits.get("max")
    if least is not None and value < least:
        message = f"Value {value} smaller than min of {least}"
        return problem("value_smaller_than_min", message, spec.name, **_told(spec, received_value=value))
    if most is not None and value > most:
        message = f"Value {value} bigger than max of {most}"
        return problem("value_bigger_than_max", message, spec.name, **_told(spec, received_value=value))
    if spec.options is not None and value not in spec.options:
        long = len(spec.options) > _LONG_LIST
        listed = f"(list of length {len(spec.options)})" if long else str(list(spec.options))
        extra = _told(spec, received_value=value)
        if long:
            extra["input_config"] = None
        return problem(
            "value_not_in_list", "Value not in list", f"{spec.name}: '{value}' not in {listed}", **extra
        )
    return None


def _told(spec: InputSpec, **extra: Any) -> dict[str, Any]:
    return {"input_name": spec.name, "input_config": spec.config, **extra}


def _fits(received: str, wanted: str) -> bool:
    return "*" in (received, wanted) or bool(set(received.split(",")) & set(wanted.split(",")))


def _message(error: BaseException) -> str:
    # where the real server indexes a tuple, this one has a list
    return str(error) if not isinstance(error, IndexError) else "tuple index out of range"
