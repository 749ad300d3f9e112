"""The node classes that a server has: the recorded table, less what a profile or a fault takes away."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.demo.comfy_server.profile import ServerProfile

TABLE_FILE = Path(__file__).parents[2] / "object_info.json"
PACK_NODES = (
    "FusedModel",
    "RandomNoiseBatch",
    "SamplerBatch",
    "SigmasLikeKSampler",
    "JoinRows",
    "TakeRow",
    "SaveImageBatch",
)

_FOLDERS = {
    ("UNETLoader", "unet_name"): "diffusion_models",
    ("UnetLoaderGGUF", "unet_name"): "unet_gguf",
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("CLIPLoaderGGUF", "clip_name"): "clip_gguf",
    ("DualCLIPLoader", "clip_name1"): "text_encoders",
    ("DualCLIPLoader", "clip_name2"): "text_encoders",
    ("DualCLIPLoaderGGUF", "clip_name1"): "clip_gguf",
    ("DualCLIPLoaderGGUF", "clip_name2"): "clip_gguf",
    ("VAELoader", "vae_name"): "vae",
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoints",
    ("LoraLoader", "lora_name"): "loras",
    ("LoraLoaderModelOnly", "lora_name"): "loras",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
}
_EMPTY_FOLDERS = ("configs", "clip_vision", "style_models", "embeddings", "controlnet", "hypernetworks")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """One input of a node class. ``options`` are a choice's; ``config`` is what error bodies repeat."""

    name: str
    kind: str
    required: bool
    options: tuple[Any, ...] | None
    limits: Mapping[str, Any]
    config: list[Any]


class NodeTable:
    """What /object_info answers, and what graphs are checked against."""

    def __init__(
        self, profile: ServerProfile, missing_models: frozenset[str], missing_nodes: frozenset[str]
    ) -> None:
        gone_models = profile.missing_models | missing_models
        gone_nodes = profile.missing_nodes | missing_nodes
        self.nodes: dict[str, dict[str, Any]] = {}
        self.folders: dict[str, list[str]] = {name: [] for name in _EMPTY_FOLDERS}
        for name, entry in copy.deepcopy(recorded()).items():
            if name in gone_nodes or not _has(profile, name):
                continue
            if name == "SaveImageBatch":
                entry["description"] = entry["description"].replace("2.0.0", str(profile.pack_version))
            self._stock(name, entry, gone_models, profile.extra_models)
            self.nodes[name] = entry

    def outputs(self, class_type: str) -> list[str]:
        """The types of a class's outputs. Raises KeyError."""
        types: list[str] = self.nodes[class_type]["output"]
        return types

    def is_output(self, class_type: str) -> bool:
        """Whether prompts are run for this node's sake."""
        return bool(self.nodes[class_type]["output_node"])

    def inputs(self, class_type: str) -> Iterator[InputSpec]:
        """A class's inputs that a graph may set, in their order."""
        entry = self.nodes[class_type]
        for category in ("required", "optional"):
            for name in entry["input_order"].get(category, ()):
                yield _spec(name, entry["input"][category][name], category == "required")

    def _stock(
        self, name: str, entry: dict[str, Any], gone: frozenset[str], extra: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Fill the choices of model files."""
        for (owner, field), folder in _FOLDERS.items():
            if owner != name:
                continue
            spec = entry["input"]["required"][field]
            listed = spec[1]["options"] if spec[0] == "COMBO" else spec[0]
            listed[:] = sorted({*listed, *extra.get(folder, ())} - gone)
            self.folders[folder] = list(listed)


@functools.lru_cache(maxsize=1)
def recorded() -> dict[str, dict[str, Any]]:
    """The table as it was recorded. Not to be changed."""
    table: dict[str, dict[str, Any]] = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return table


@functools.cache
def declared_inputs(class_type: str) -> frozenset[str]:
    """The names of a class's inputs that a graph may set."""
    return frozenset(name for names in recorded()[class_type]["input_order"].values() for name in names)


def _has(profile: ServerProfile, name: str) -> bool:
    if name in PACK_NODES:
        return profile.pack_version is not None
    return profile.gguf or not name.endswith("GGUF")


def _spec(name: str, raw: list[Any], required: bool) -> InputSpec:
    """Old nodes write a choice as ``[[options], {…}]``, newer ones as ``["COMBO", {"options": […]}]``."""
    kind, limits = raw[0], raw[1] if len(raw) > 1 else {}
    options = kind if isinstance(kind, list) else limits.get("options") if kind == "COMBO" else None
    return InputSpec(
        name=name,
        kind="COMBO" if options is not None else kind,
        required=required,
        options=None if options is None else tuple(options),
        limits=limits,
        config=[kind, limits],
    )
