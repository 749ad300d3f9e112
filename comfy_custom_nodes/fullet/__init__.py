# SPDX-License-Identifier: GPL-3.0-or-later
"""FuLLet's nodes for ComfyUI: many people's prompts in one sampler run, each picture as it would be alone."""

from __future__ import annotations

from .version import installed_comfyui, too_old

if (_why := too_old(installed_comfyui())) is not None:
    raise ImportError(_why)

from server import PromptServer

from .fused_model import FusedModel
from .loading import LoadImageBatch
from .sampling import RandomNoiseBatch, SamplerBatch, SigmasLikeKSampler
from .saving import SaveImageBatch, add_routes
from .text import CLIPTextEncodeBatch

NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (
        CLIPTextEncodeBatch,
        FusedModel,
        LoadImageBatch,
        RandomNoiseBatch,
        SamplerBatch,
        SaveImageBatch,
        SigmasLikeKSampler,
    )
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "CLIPTextEncodeBatch": "CLIP Text Encode (batch of prompts)",
    "FusedModel": "Fused Model",
    "LoadImageBatch": "Load Image (batch)",
    "RandomNoiseBatch": "Random Noise (a seed each)",
    "SamplerBatch": "Sampler (a seed each)",
    "SaveImageBatch": "Save Image (a key each)",
    "SigmasLikeKSampler": "Sigmas like KSampler",
}

add_routes(PromptServer.instance.routes, sorted(NODE_CLASS_MAPPINGS))
