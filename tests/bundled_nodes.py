"""`python -m tests.bundled_nodes OBJECT_INFO.json[.gz]` makes modules/ai/workflows/node_table.json.gz anew.

OBJECT_INFO is what ``GET /object_info`` of a ComfyUI without custom nodes gives. Only facts are kept: names,
types, defaults, limits, choices and outputs. Texts for people and the names of that server's files stay out.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from modules.ai.workflows import node_table

_FILES = (*node_table.FILE_ENDINGS, ".png", ".jpg", ".webp", ".mp4", ".wav", ".mp3", ".glb", ".yaml")
_KEPT = {
    "default", "min", "max", "step", "options", "multiselect", "multiline", "dynamicPrompts", "forceInput",
    "socketless", "control_after_generate", "widgetType", "template", "image_folder", "image_upload",
    "audio_upload", "video_upload", "file_upload", "key", "inputs", "input", "names", "prefix", "required",
    "optional", "template_id", "allowed_types",
}  # fmt: skip


def bundled(table: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a whole node table."""
    return {
        name: {
            "input": {
                group: {key: _spec(spec) for key, spec in entry["input"].get(group, {}).items()}
                for group in ("required", "optional")
            },
            "output": entry["output"],
            "output_node": entry["output_node"],
            "display_name": entry["display_name"],
        }
        for name, entry in sorted(table.items())
    }


def _spec(value: Any) -> Any:
    """One input: its type or choices, and what is kept of its settings."""
    if isinstance(value, list):
        return [
            _spec(part) for part in value if not (isinstance(part, str) and part.lower().endswith(_FILES))
        ]
    if isinstance(value, dict):
        return {key: _spec(part) for key, part in value.items() if key in _KEPT or _names_inputs(value)}
    return value


def _names_inputs(value: dict[str, Any]) -> bool:
    """Whether the keys are the inputs of a choice or a template, which have any name."""
    return bool(value) and all(isinstance(part, list) and part for part in value.values())


if __name__ == "__main__":
    source = Path(sys.argv[1]).read_bytes()
    found = bundled(json.loads(gzip.decompress(source) if sys.argv[1].endswith(".gz") else source))
    text = json.dumps(found, separators=(",", ":")).encode()
    Path(node_table.__file__).with_name("node_table.json.gz").write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(found)} classes")
