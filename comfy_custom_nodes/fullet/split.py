# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs sub-batches of equal length inside one sampler run: to the model, each is a plain batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.samplers
import torch

from .conditioning import LENGTHS, rows_of
from .inputs import Refused
from .lengths import groups_of

_GROUPS = "fullet_groups"  # in a converted conditioning: its part for each group of rows


def prepare(guider: Any, extra: Mapping[str, Any]) -> None:
    """Gives each conditioning of a guider about to sample its parts, each encoded as a batch of its own.

    `extra`: what ComfyUI encodes conditionings with: noise [N, …], latent_image, denoise_mask, seed.
    """
    noise: torch.Tensor = extra["noise"]
    conds = [cond for conds in guider.conds.values() for cond in conds]
    groups = groups_of([_row_key(conds, row, noise.shape[0]) for row in range(noise.shape[0])])
    for kind, conditionings in guider.conds.items():
        for cond in conditionings:
            cond[_GROUPS] = [(rows, _part(guider.inner_model, kind, cond, rows, extra)) for rows in groups]


def calculate(  # noqa: PLR0917 - ComfyUI calls it so
    executor: Any, model: Any, conds: Any, x: torch.Tensor, timestep: torch.Tensor, options: Any
) -> Any:
    """A CALC_COND_BATCH wrapper: each group's rows alone, then put together in the batch's order."""
    first = next((cond for conditionings in conds if conditionings for cond in conditionings), None)
    if first is None or _GROUPS not in first:
        return executor(model, conds, x, timestep, options)
    outputs = [torch.zeros_like(x) for _ in conds]
    for index, (rows, _) in enumerate(first[_GROUPS]):
        part = [None if each is None else [_group(cond, index) for cond in each] for each in conds]
        picked = list(rows)
        for output, rows_output in zip(
            outputs, executor(model, part, x[picked], timestep[picked], options), strict=True
        ):
            output[picked] = rows_output
    return outputs


def _group(cond: Mapping[str, Any], index: int) -> Any:
    if _GROUPS not in cond:
        raise Refused(
            "FusedModel",
            "model",
            "a patch adds a conditioning of its own while sampling, which cannot be split.",
        )
    return cond[_GROUPS][index][1]


def _row_key(conds: Sequence[Mapping[str, Any]], row: int, batch: int) -> tuple[Any, ...]:
    """All true sizes of a row, in every conditioning: rows with one key are a plain batch."""
    key: list[Any] = []
    for cond in conds:
        for name, (_, sizes) in sorted(cond.get(LENGTHS, {}).items()):
            key.append((name, sizes[row] if len(sizes) == batch else sizes[0]))
    return tuple(key)


def _part(
    model: Any, kind: str, cond: Mapping[str, Any], rows: Sequence[int], extra: Mapping[str, Any]
) -> Any:
    noise: torch.Tensor = extra["noise"]
    part = rows_of(cond, rows, noise.shape[0])
    part["model_conds"] = {}
    few = noise[list(rows)]
    others = rows_of(
        {"latent_image": extra["latent_image"], "denoise_mask": extra["denoise_mask"]}, rows, noise.shape[0]
    )
    encoded = comfy.samplers.encode_model_conds(
        model.extra_conds,
        [part],
        few,
        few.device,
        kind,
        seed=extra["seed"],
        latent_shapes=[few.shape],
        **others,
    )
    return encoded[0]
