# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Anima's text adapter for each prompt of a batch (torch only): ComfyUI runs it for one prompt only.

The adapter makes a text of as many tokens as the prompt has for T5, and fills it up to 512.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .conditioning import LENGTHS, TEXT, joined, text_lengths

IDS, WEIGHTS = "t5xxl_ids", "t5xxl_weights"
TEXT_LENGTH = 512  # the adapter fills a shorter text up to this many tokens


def adapted_lengths(options: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The length of each row's adapted text, or None for a conditioning that holds no such batch."""
    ids = options.get(IDS)
    if ids is None or ids.ndim != 2:
        return None
    return tuple(max(TEXT_LENGTH, length) for length in options[LENGTHS][IDS][1])


def adapted(model: Any, cond: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """A converted conditioning whose texts have gone through the adapter of a loaded model."""
    lengths = text_lengths(cond)
    if adapted_lengths(cond) is None or lengths is None:
        return dict(cond)
    dtype = model.get_dtype_inference()
    texts = []
    for i, (length, size) in enumerate(zip(lengths, cond[LENGTHS][IDS][1], strict=True)):
        text = cond[TEXT][i : i + 1, :length].to(device=device, dtype=dtype)
        ids = cond[IDS][i : i + 1, :size].to(device)
        weights = cond[WEIGHTS][i : i + 1, :size, None].to(text)
        texts.append(model.diffusion_model.preprocess_text_embeds(text, ids, t5xxl_weights=weights))
    text, sizes = joined(texts)
    return {**without_batch(cond), TEXT: text, LENGTHS: {TEXT: (1, sizes)}}


def without_batch(cond: Mapping[str, Any]) -> dict[str, Any]:
    """What ComfyUI may process of a converted conditioning before its batch of texts is adapted."""
    if adapted_lengths(cond) is None:
        return dict(cond)
    return {name: value for name, value in cond.items() if name not in (TEXT, IDS, WEIGHTS)}
