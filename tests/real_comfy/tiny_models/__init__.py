"""A custom node of ComfyUI, for tests: tiny models with random weights under the official file names.

While ComfyUI starts, it writes the files that are missing into the models folder, and lets the stock loaders
read files so small. What encodes, samples and decodes is ComfyUI's own. `tests/real_comfy/server.py` links it
into a server's custom_nodes folder. Where ComfyUI tells a model by the sizes of the real one, the tiny file
says in a tensor of its own what it holds.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, ClassVar

import comfy.model_detection
import comfy.sd
import comfy.supported_models
import folder_paths

from . import files

NODE_CLASS_MAPPINGS: dict[str, Any] = {}


class TinyZImage(comfy.supported_models.ZImage):
    """ComfyUI tells Z-Image from Lumina by its width."""

    unet_config: ClassVar = {"image_model": "lumina2", "tiny_zimage": True}


def read_networks() -> None:
    stock = comfy.model_detection.detect_unet_config

    def detect(state_dict: Any, key_prefix: str, *args: Any, **more: Any) -> Any:
        told = state_dict.get(key_prefix + files.TOLD)
        return stock(state_dict, key_prefix, *args, **more) if told is None else files.told(told)

    comfy.supported_models.models.insert(0, TinyZImage)
    comfy.model_detection.detect_unet_config = detect


def read_text_encoders() -> None:
    detect_stock, stock = comfy.sd.detect_te_model, comfy.sd.CLIP.__init__

    def detect(state_dict: Any) -> Any:
        if files.TOLD in state_dict:
            return comfy.sd.TEModel[files.told(state_dict[files.TOLD])["kind"]]
        return detect_stock(state_dict)

    def init(self: Any, *args: Any, **more: Any) -> None:
        given = more.get("state_dict") or []
        sizes = dict(more.get("model_options") or {})
        for state_dict in given if isinstance(given, list) else [given]:
            for name in state_dict:
                if name.endswith(files.TOLD):
                    sizes |= files.told(state_dict[name])["options"]
        stock(self, *args, **{**more, "model_options": sizes})

    comfy.sd.detect_te_model, comfy.sd.CLIP.__init__ = detect, init


def read_decoders() -> None:
    stock = comfy.sd.VAE.__init__

    def init(self: Any, *args: Any, metadata: Any = None, **more: Any) -> None:
        channels = (metadata or {}).get(files.CHANNELS)  # a safetensors file has it as a text
        if isinstance(channels, str):
            metadata = {**metadata, files.CHANNELS: int(channels)}
        stock(self, *args, metadata=metadata, **more)
        if channels == "128":
            self.downscale_ratio = self.upscale_ratio = 16  # FLUX.2's, which encodes multiples of 16 pixels

    comfy.sd.VAE.__init__ = init


read_networks()
read_text_encoders()
read_decoders()
_start = time.monotonic()
_written = files.write_missing(Path(folder_paths.models_dir))
logging.getLogger(__name__).info(
    "tiny models: wrote %d files in %.1f s", len(_written), time.monotonic() - _start
)
