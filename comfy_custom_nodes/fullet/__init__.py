# SPDX-License-Identifier: GPL-3.0-or-later
"""FuLLet's nodes for ComfyUI: many people's prompts in one sampler run, each picture as it would be alone."""

from __future__ import annotations

from .version import installed_comfyui, too_old

if (_why := too_old(installed_comfyui())) is not None:
    raise ImportError(_why)

from server import PromptServer

from .fused_model import FusedModel
from .rows import JoinRows, TakeRow
from .sampling import RandomNoiseBatch, SamplerBatch, SigmasLikeKSampler
from .saving import SaveImageBatch, add_routes

NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (
        FusedModel,
        JoinRows,
        RandomNoiseBatch,
        SamplerBatch,
        SaveImageBatch,
        SigmasLikeKSampler,
        TakeRow,
    )
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "FusedModel": "Fused Model",
    "JoinRows": "Join Rows",
    "RandomNoiseBatch": "Random Noise (a seed each)",
    "SamplerBatch": "Sampler (a seed each)",
    "SaveImageBatch": "Save Image (a key each)",
    "SigmasLikeKSampler": "Sigmas like KSampler",
    "TakeRow": "Take Row",
}

add_routes(PromptServer.instance.routes, sorted(NODE_CLASS_MAPPINGS))
