"""The LoRAs of the demonstration, which its simulated servers have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

FILES = ("demo/autumn.safetensors", "demo/neon.safetensors", "demo/clay.safetensors")

_ENTRIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "autumn": (("flux", "flux_edit", "z-image"), {"label": "Autumn light", "file": FILES[0]}),
    "neon": (
        ("flux", "flux_edit"),
        {
            "label": "Neon nights",
            "file": FILES[1],
            "trigger_words": "neon glow",
            "strengths": [0.5, 1.5],
        },
    ),
    "clay": (("z-image",), {"label": "Clay figures", "file": FILES[2], "strengths": [0.25, 1.0]}),
}
"""The models that each LoRA fits, and the other fields of its entry."""


def with_loras(models: Path, folder: Path) -> Path:
    """A copy of the folder ``models``, as ``folder``, with these LoRAs instead of the operator's."""
    shutil.copytree(models, folder, ignore=shutil.ignore_patterns("library", "removed"))
    there = {file.stem for file in folder.glob("*.json")}
    lines = []
    for name, (models_of, entry) in _ENTRIES.items():
        fitting = [model for model in models_of if model in there]
        if fitting:
            fields = {**entry, "models": fitting}
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    (folder / "loras.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder
