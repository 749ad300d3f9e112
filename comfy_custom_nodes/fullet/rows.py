# SPDX-License-Identifier: GPL-3.0-or-later
"""JoinRows and TakeRow: what stock nodes made for each person, as one batch, and one person's part of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch

from .conditioning import GUARD, alike, joined_tensors, merge, text_lengths, uneven
from .inputs import Refused

MOST_ROWS = 64
_NODE = "JoinRows"


class _AnyType(str):
    """A type that goes with every other, also where ComfyUI does not know "*"."""

    __slots__ = ()

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = str.__hash__


_ANY = _AnyType("*")


class JoinRows:
    """Row i of the result is what input row<i> gives alone; values that are not rows must be equal.

    Refuses what it does not know how to join. Sizes that do not go together are a plain error: they come from
    what these people gave, and other people's may fit.
    """

    DESCRIPTION = "Joins what nodes made for each person (conditionings, latents, pictures) into one batch."
    CATEGORY = "FuLLet"
    RETURN_TYPES = (_ANY,)
    FUNCTION = "join"
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"row0": (_ANY,)},
            "optional": {f"row{number}": (_ANY,) for number in range(1, MOST_ROWS)},
        }

    def join(self, **rows: list[Any]) -> tuple[Any]:
        given = [rows[f"row{number}"] for number in range(len(rows))]
        if any(len(values) != 1 for values in given):
            raise Refused(_NODE, "row0", "a node gives each person several things one after another.")
        return (_joined([values[0] for values in given]),)


class TakeRow:
    """One person's LATENT of a batch."""

    DESCRIPTION = "Takes one person's latent out of a batch."
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("LATENT",)
    FUNCTION = "take"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "samples": ("LATENT",),
                "row": ("INT", {"default": 0, "min": 0, "max": MOST_ROWS - 1}),
            }
        }

    def take(self, samples: dict[str, Any], row: int) -> tuple[dict[str, Any]]:
        count = samples["samples"].shape[0]
        if row >= count:
            raise Refused("TakeRow", "row", f"there is no row {row} in a batch of {count}.")
        taken = {**samples, "samples": samples["samples"][row : row + 1]}
        mask = samples.get("noise_mask")
        if mask is not None and mask.shape[0] == count:
            taken["noise_mask"] = mask[row : row + 1]
        return (taken,)


def _joined(rows: list[Any]) -> Any:
    first = rows[0]
    if all(_is_conditioning(row) for row in rows):
        return _conditioning(rows)
    if all(isinstance(row, dict) and isinstance(row.get("samples"), torch.Tensor) for row in rows):
        return _latent(rows)
    if all(isinstance(row, torch.Tensor) and row.ndim > 1 for row in rows):
        return _pictures("pictures", rows)
    if all(alike(row, first) for row in rows):
        return first
    if all(isinstance(row, (torch.Tensor, bool, int, float, str)) for row in rows):
        raise ValueError("The people of a batch have unequal sizes or settings, which cannot run together.")
    raise Refused(_NODE, "row0", f"it cannot join values of type {type(first).__name__}.")


def _is_conditioning(row: Any) -> bool:
    return isinstance(row, list) and all(
        isinstance(part, (list, tuple)) and len(part) == 2 and isinstance(part[1], dict) for part in row
    )


def _conditioning(rows: Sequence[list[Any]]) -> list[list[Any]]:
    """Part by part: a conditioning may have several, for areas or ranges of steps."""
    if len({len(row) for row in rows}) > 1:
        raise ValueError("The people of a batch have conditionings with different numbers of parts.")
    return [_merged(parts) for parts in zip(*rows, strict=True)]


def _merged(parts: Sequence[Any]) -> list[Any]:
    text, options = merge([(part[0], part[1]) for part in parts])
    if uneven(options):
        guard = _Guard(text_lengths(options) or ())
        options["model_conds"] = {**options.get("model_conds", {}), GUARD: guard}
    return [text, options]


class _Guard:
    """One of the arguments of the model call: refuses, unless FusedModel has removed it."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._lengths = lengths

    def process_cond(self, **_: Any) -> NoReturn:
        raise Refused(
            _NODE,
            "row0",
            f"texts or pictures are of unequal size ({list(self._lengths)} tokens): "
            "put FusedModel before the sampler.",
        )


def _latent(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    if any(row.keys() != first.keys() for row in rows):
        raise Refused(_NODE, "row0", "the latents of different people hold different things.")
    joined = {}
    for name in first:
        values = [row[name] for row in rows]
        if name in ("samples", "noise_mask"):
            joined[name] = _pictures("latents", values)
        elif name == "batch_index" and first[name] != [0]:
            raise Refused(_NODE, "row0", "noise for a later picture of a batch cannot be drawn here.")
        elif all(alike(value, first[name]) for value in values):
            joined[name] = first[name]
        else:
            raise Refused(_NODE, "row0", f"the latents' {name} differs between people.")
    mask = joined.get("noise_mask")
    if mask is not None and joined["samples"].ndim == 5 and mask[0].numel() == math.prod(mask.shape[-2:]):
        # for a latent with frames, ComfyUI takes a batch of masks for one mask per frame, unless they have
        # five dimensions
        joined["noise_mask"] = mask.reshape(len(rows), 1, 1, *mask.shape[-2:])
    return joined


def _pictures(what: str, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """[N, …] of rows [1, …]; a mask of two dimensions is one row."""
    rows = [row[None] if row.ndim == 2 else row for row in rows]
    for row in rows:
        if getattr(row, "is_nested", False):
            raise Refused(_NODE, "row0", "a latent of several streams (video with sound) cannot be joined.")
        if row.shape[0] != 1:
            why = f"each person has {row.shape[0]} {what}, of which only the first is delivered."
            raise Refused(_NODE, "row0", why)
    return joined_tensors(rows)
