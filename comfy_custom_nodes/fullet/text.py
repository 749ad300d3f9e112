# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIPTextEncodeBatch: many prompts, each encoded as the stock node encodes it alone, in one conditioning."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar, NoReturn
from weakref import WeakKeyDictionary

import torch

from .conditioning import GUARD, merge, text_lengths, uneven
from .inputs import Refused, prompts_of, verdict

_NODE = "CLIPTextEncodeBatch"
MAX_KEPT = 64  # encoded prompts kept for each CLIP
MAX_KEPT_BYTES = 256 * 2**20

Encoded = tuple[torch.Tensor, dict[str, Any]]


class EncodedPrompts:
    """The prompts encoded last by one CLIP; the oldest go first when they are too many, or too big."""

    def __init__(self, *, most: int = MAX_KEPT, most_bytes: int = MAX_KEPT_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[object, Encoded] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object) -> Encoded | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: object, encoded: Encoded) -> None:
        self._kept[key] = encoded
        self._bytes += _bytes_of(encoded)
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])


class CLIPTextEncodeBatch:
    """Encodes a JSON array of prompts; row i of the conditioning is prompt i with its true length."""

    DESCRIPTION = (
        "Encodes many prompts into one conditioning. Unequal lengths need FusedModel before the sampler."
    )
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "encode"
    _kept: ClassVar[WeakKeyDictionary[Any, EncodedPrompts]] = WeakKeyDictionary()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"clip": ("CLIP",), "prompts": ("STRING", {"default": '[""]', "multiline": True})}
        }

    @classmethod
    def VALIDATE_INPUTS(cls, prompts: str | None) -> bool | str:
        return verdict(prompts_of, _NODE, prompts)

    def encode(self, clip: Any, prompts: str) -> tuple[Any]:
        if clip is None:
            raise Refused(_NODE, "clip", "it holds no text encoder; does the checkpoint bring one?")
        text, options = merge([self._encoded(clip, prompt) for prompt in prompts_of(_NODE, prompts)])
        if uneven(options):
            options["model_conds"] = {GUARD: _Guard(text_lengths(options) or ())}
        return ([[text, options]],)

    def _encoded(self, clip: Any, prompt: str) -> Encoded:
        kept = self._kept.setdefault(clip, EncodedPrompts())
        key = (
            prompt,
            str(clip.patcher.patches_uuid),
            clip.layer_idx,
            repr(getattr(clip, "tokenizer_options", None)),
        )
        found = kept.get(key)
        if found is None:
            found = _encode(clip, prompt)
            kept.put(key, found)
        return found


class _Guard:
    """Stands among what the model is called with; refuses, unless FusedModel took it away."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._lengths = lengths

    def process_cond(self, **_: Any) -> NoReturn:
        raise Refused(
            _NODE,
            "prompts",
            f"they are of unequal length ({list(self._lengths)} tokens): put FusedModel before the sampler.",
        )


def _encode(clip: Any, prompt: str) -> Encoded:
    scheduled = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
    if len(scheduled) != 1:
        raise Refused(_NODE, "clip", "it is scheduled over the steps by hooks, which cannot be merged.")
    text, options = scheduled[0]
    if not isinstance(text, torch.Tensor):
        raise Refused(_NODE, "clip", "it gives no text tensor for a prompt.")
    return text, options


def _bytes_of(encoded: Encoded) -> int:
    tensors = (encoded[0], *encoded[1].values())
    return sum(each.numel() * each.element_size() for each in tensors if isinstance(each, torch.Tensor))
