"""The node pack's version, classes and routes, as ``comfy_custom_nodes/fullet`` has them."""

from __future__ import annotations

import re

PACK_VERSION = "1.1.0"

TEXT = "CLIPTextEncodeBatch"
MODEL = "FusedModel"
NOISE = "RandomNoiseBatch"
SAMPLER = "SamplerBatch"
SIGMAS = "SigmasLikeKSampler"
LOAD = "LoadImageBatch"
SAVE = "SaveImageBatch"
CLASSES = (TEXT, MODEL, NOISE, SAMPLER, SIGMAS, LOAD, SAVE)

VERSION_ROUTE = "/fullet/version"
PICTURE_ROUTE = "/fullet/pictures/"
PREVIEW_EVENT = "fullet_preview"

KEY = re.compile(r"[0-9a-f]{32}")
"""A picture's key: 128 random bits, so that nobody can guess another's."""
