"""The node pack's version, classes and routes, as ``comfy_custom_nodes/fullet`` has them."""

from __future__ import annotations

import re

PACK_VERSION = "2.0.0"

MODEL = "FusedModel"
NOISE = "RandomNoiseBatch"
SAMPLER = "SamplerBatch"
SIGMAS = "SigmasLikeKSampler"
SAVE = "SaveImageBatch"
JOIN = "JoinRows"
TAKE = "TakeRow"
CLASSES = (JOIN, TAKE, MODEL, NOISE, SAMPLER, SIGMAS, SAVE)

VERSION_ROUTE = "/fullet/version"
PICTURE_ROUTE = "/fullet/pictures/"
PREVIEW_EVENT = "fullet_preview"

KEY = re.compile(r"[0-9a-f]{32}")
"""A picture's key: 128 random bits, so that nobody can guess another's."""
