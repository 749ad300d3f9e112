"""Reduces a server's node table to facts: small enough to keep, and without texts for people."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping

from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import FILE_ENDINGS, Table

_FILES = (*FILE_ENDINGS, ".png", ".jpg", ".webp", ".mp4", ".wav", ".mp3", ".glb", ".yaml")
_KEPT = {
    "default", "min", "max", "step", "options", "multiselect", "multiline", "dynamicPrompts", "forceInput",
    "socketless", "control_after_generate", "widgetType", "template", "image_folder", "image_upload",
    "audio_upload", "video_upload", "file_upload", "key", "inputs", "input", "names", "prefix", "required",
    "optional", "template_id", "allowed_types",
}  # fmt: skip


def reduced(table: Mapping[str, JSON]) -> dict[str, dict[str, JSON]]:
    """What is kept of an answer to ``GET /object_info``: names, types, defaults, limits, choices, outputs.

    Broken entries and the names of the server's files are left out.
    """
    return {name: _entry(entry) for name, entry in sorted(table.items()) if isinstance(entry, dict)}


def _entry(entry: Mapping[str, JSON]) -> dict[str, JSON]:
    given, outputs = entry.get("input"), entry.get("output")
    groups = given if isinstance(given, dict) else {}
    return {
        "input": {
            group: {key: _spec(spec) for key, spec in _in_order(groups.get(group), group, entry)}
            for group in ("required", "optional")
        },
        "output": outputs if isinstance(outputs, list) else [],
        "output_node": entry.get("output_node") is True,
        "display_name": entry.get("display_name"),
    }


def _in_order(specs: JSON, group: str, entry: Mapping[str, JSON]) -> list[tuple[str, JSON]]:
    """The inputs of a group in the order of their widgets in a file."""
    orders = entry.get("input_order")
    order = orders.get(group) if isinstance(orders, dict) else None
    named: dict[str, JSON] = specs if isinstance(specs, dict) else {}
    first = [key for key in order if isinstance(key, str) and key in named] if isinstance(order, list) else []
    return [(key, named[key]) for key in dict.fromkeys([*first, *named])]


def _spec(value: JSON) -> JSON:
    """One input: its type or choices, and what is kept of its settings."""
    if isinstance(value, list):
        return [
            _spec(part) for part in value if not (isinstance(part, str) and part.lower().endswith(_FILES))
        ]
    if isinstance(value, dict):
        return {key: _spec(part) for key, part in value.items() if key in _KEPT or _names_inputs(value)}
    return value


def _names_inputs(value: Mapping[str, JSON]) -> bool:
    """Whether the keys are the inputs of a choice or a template, which can have any name."""
    return bool(value) and all(isinstance(part, list) and part for part in value.values())


def packed(table: Table) -> str:
    """The table as a text that can be stored."""
    # as they stand: the order of the inputs is that of the widgets in a file
    text = json.dumps(table, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(text, mtime=0)).decode("ascii")


def unpacked(text: str | None) -> Table:
    """The table in a text of `packed`; empty if the text has none."""
    try:
        table = json.loads(gzip.decompress(base64.b64decode(text or "", validate=True)))
    except (binascii.Error, zlib.error, EOFError, OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
