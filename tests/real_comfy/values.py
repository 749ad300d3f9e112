"""Runs ComfyUI's own nodes of values, one a line: ``{"class", "inputs"}`` in, ``{"outputs"}`` or null out.

ComfyUI's own Python runs this (see test_folding.py): python values.py COMFYUI_FOLDER.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib import import_module
from typing import Any

COMFYUI = sys.argv[1]
sys.argv = [sys.argv[0], "--cpu"]
sys.path[0] = COMFYUI  # not this folder, whose comfy.py is another one
os.chdir(COMFYUI)
logging.disable(logging.WARNING)

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

_MODULES = ("color", "logic", "math", "number_convert", "primitive", "resolution", "seed", "string")
NODES = {
    node.define_schema().node_id: node
    for name in _MODULES
    for node in vars(import_module(f"comfy_extras.nodes_{name}")).values()
    if isinstance(node, type) and hasattr(node, "define_schema") and hasattr(node, "execute")
    if node.__module__.endswith(f"nodes_{name}")
}
PREVIEW = import_module("comfy_extras.nodes_preview_any").PreviewAny


def run(class_type: str, inputs: dict[str, Any]) -> list[Any]:
    """What the node gives, as it gives it to the next one."""
    given: dict[str, Any] = {}
    for name, value in inputs.items():
        group, _, key = name.partition(".")
        if key:  # an input that grows
            given.setdefault(group, {})[key] = value
        else:
            given[name] = value
    if class_type == "PreviewAny":
        return list(PREVIEW().main(**given)["result"])
    return list(NODES[class_type].execute(**given).result)


for line in sys.stdin:
    case = json.loads(line)
    try:
        told = json.dumps({"outputs": run(case["class"], case["inputs"])})
    except Exception:  # noqa: BLE001 - whatever it raises, a run would end there
        told = "null"
    print(told, flush=True)
