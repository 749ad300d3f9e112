# SPDX-License-Identifier: GPL-3.0-or-later
"""LoadImageBatch: uploaded pictures as one batch, each loaded, turned and scaled as stock nodes would."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Any

import comfy.utils
import folder_paths
import nodes
import torch
from PIL import Image, ImageOps

from .inputs import Refused, names_of, verdict
from .pixels import picture_to_tensor

_NODE = "LoadImageBatch"
_ORIENTATION = 0x0112  # the EXIF tag that says how to turn a picture
_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]


class LoadImageBatch:
    """Loads pictures of one size; `megapixels` above 0 first scales each as ImageScaleToTotalPixels does."""

    DESCRIPTION = (
        "Loads uploaded pictures as one batch, upright, scaled to equal size if megapixels is above 0."
    )
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"names": ("STRING", {"default": "[]", "multiline": True})},
            "optional": {
                "megapixels": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 16.0, "step": 0.01}),
                "upscale_method": (_METHODS,),
                "resolution_steps": ("INT", {"default": 1, "min": 1, "max": 256}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, names: str | None) -> bool | str:
        return verdict(lambda node, text: [_path(name) for name in names_of(node, text)], _NODE, names)

    @classmethod
    def IS_CHANGED(cls, names: str, **_: Any) -> str:
        digest = hashlib.sha256()
        for name in names_of(_NODE, names):
            with open(_path(name), "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
        return digest.hexdigest()

    def load(
        self,
        names: str,
        megapixels: float = 0.0,
        upscale_method: str = "nearest-exact",
        resolution_steps: int = 1,
    ) -> tuple[torch.Tensor]:
        wanted = names_of(_NODE, names)
        images = [_load(name) for name in wanted]
        if megapixels > 0:
            images = [_scaled(image, megapixels, upscale_method, resolution_steps) for image in images]
        sizes = {
            name: f"{image.shape[2]}×{image.shape[1]}" for name, image in zip(wanted, images, strict=True)
        }
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} is {size}" for name, size in sizes.items())
            raise Refused(_NODE, "names", f"the pictures of a batch must be of one size, but {told}.")
        return (torch.cat(images),)


def _path(name: str) -> str:
    """The file of an uploaded picture; refuses whatever lies outside ComfyUI's input folder."""
    folder = os.path.realpath(folder_paths.get_input_directory())
    path = os.path.realpath(os.path.join(folder, name))
    if os.path.commonpath([folder, path]) != folder or not os.path.isfile(path):
        raise Refused(_NODE, "names", f"there is no uploaded picture named {name!r}.")
    return path


def _load(name: str) -> torch.Tensor:
    """[1, H, W, 3] of 0…1; an upright picture comes from the stock node, the same to the last bit."""
    with Image.open(_path(name)) as picture:
        if picture.getexif().get(_ORIENTATION, 1) in (0, 1):
            return nodes.LoadImage().load_image(name)[0][:1]
        upright = ImageOps.exif_transpose(picture)
        return picture_to_tensor((upright or picture).convert("RGB"))


def _scaled(image: torch.Tensor, megapixels: float, method: str, steps: int) -> torch.Tensor:
    height, width = image.shape[1:3]
    scale = math.sqrt(megapixels * 1024 * 1024 / (width * height))
    size = (round(width * scale / steps) * steps, round(height * scale / steps) * steps)
    return comfy.utils.common_upscale(image.movedim(-1, 1), *size, method, "disabled").movedim(1, -1)
