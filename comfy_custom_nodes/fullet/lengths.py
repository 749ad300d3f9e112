# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides how prompts of unequal token lengths share one sampler run exactly (pure; standard library only).

A family's name says how its model attends to text:
- unet: pure cross attention, where keys repeated k times change nothing (SD 1.5, SDXL);
- hidden: padding can be hidden by masks over the keys (layouts.py tells where);
- flux2: as hidden, and the model itself puts zeros on the left of a text shorter than 512 tokens;
- zimage: the image's positions follow the caption, which a learned token pads to a multiple (Lumina: none);
- own_mask: the model takes an attention mask over its text;
- other: nothing is known, so only prompts of equal length run together, if rows do at all (see `stacks`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .layouts import LAYOUTS

FLUX2_TEXT_LENGTH = 512  # Flux2 pads a shorter text on the left to this many tokens
MAX_REPETITION = 4  # a repeated text may be this many times as long as the longest prompt

_FAMILIES = {
    **dict.fromkeys(LAYOUTS, "hidden"),
    ("Flux2", "Flux"): "flux2",
    ("Lumina2", "NextDiT"): "zimage",
    ("QwenImage", "QwenImageTransformer2DModel"): "own_mask",
    ("MageFlow", "MageFlowTransformer2DModel"): "own_mask",
    ("Lens", "LensTransformer2DModel"): "own_mask",
}
# Of the others, those whose rows were seen to run in one call as they run alone.
_STACKED = {("Anima", "Anima"), ("HiDreamO1", "HiDreamO1Transformer"), ("SeedVR2", "NaDiT")}


@dataclass(frozen=True)
class Plan:
    """How one conditioning's rows run. `kind`:

    - plain: nothing to do;
    - repeat: rows are repeated to `total`;
    - left_zeros: zeros before the text, up to `total`;
    - key_mask: left_zeros where the family has them, then keys beyond `rows[i]` are hidden;
    - bucket: the pad token comes after `rows[i]`;
    - masked_layout: as bucket, with each row's own positions and hidden keys;
    - own_mask: the model's attention mask;
    - split: sub-batches of equal length.
    """

    kind: str
    rows: tuple[int, ...]  # what each row attends to, in tokens
    total: int  # length of the fused text, in tokens


def family_of(base_model: str, diffusion_model: str) -> str:
    """From the class names of ComfyUI's base model and of its network."""
    if diffusion_model == "UNetModel":
        return "unet"
    return _FAMILIES.get((base_model, diffusion_model), "other")


def stacks(base_model: str, diffusion_model: str) -> bool:
    """Whether several rows may run in one call of such a network; if it was never measured, each row runs in
    a call of its own, within the one sampler run."""
    return family_of(base_model, diffusion_model) != "other" or (base_model, diffusion_model) in _STACKED


def plan(family: str, lengths: Sequence[int], *, pad_multiple: int = 1, alone: bool = False) -> Plan:
    """`lengths`: each row's true tokens. `alone`: something besides the text is unequal, or tied to it."""
    rows, longest = tuple(lengths), max(lengths)
    if alone or len(set(rows)) == 1:
        return Plan("split" if alone else "plain", rows, longest)
    if family == "flux2":
        ends = tuple(max(FLUX2_TEXT_LENGTH, length) for length in rows)
        return Plan("left_zeros" if len(set(ends)) == 1 else "key_mask", ends, max(ends))
    if family == "zimage":
        same = len({bucket(length, pad_multiple) for length in rows}) == 1
        return Plan("bucket" if same else "masked_layout", rows, longest)
    if family == "unet" and math.lcm(*rows) <= MAX_REPETITION * longest:
        return Plan("repeat", (math.lcm(*rows),) * len(rows), math.lcm(*rows))
    return Plan({"hidden": "key_mask", "own_mask": "own_mask"}.get(family, "split"), rows, longest)


def bucket(length: int, multiple: int) -> int:
    """`length` rounded up to a multiple."""
    return -(-length // multiple) * multiple
