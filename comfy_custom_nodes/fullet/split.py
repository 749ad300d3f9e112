# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs sub-batches of equal length inside one sampler run: to the model, each is a plain batch.

Each sub-batch has conditionings of its own, made as ComfyUI makes a plain batch's: with ids of their own,
under which patches keep state, and with the rows of masks, hints and pictures that are theirs.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import comfy.samplers
import torch

from .conditioning import LENGTHS, rows_of
from .inputs import Refused
from .lengths import groups_of

RAW = "fullet_conds"  # in transformer_options of a run in sub-batches: its conditionings, not yet processed
_GROUPS = "fullet_groups"  # in a processed conditioning: (rows, its part) for each sub-batch

Conds = dict[str, list[dict[str, Any]]]


def prepare(guider: Any, raw: Conds, extra: Mapping[str, Any]) -> None:
    """Gives each conditioning of a guider about to sample its parts, each processed as a batch of its own.

    `raw`: the guider's conditionings before they were processed. `extra`: what ComfyUI processes them with:
    noise [N, …], latent_image, denoise_mask, seed.
    """
    batch = extra["noise"].shape[0]
    conds = [cond for conditionings in raw.values() for cond in conditionings]
    for rows in groups_of([_row_key(conds, row, batch) for row in range(batch)]):
        parts = _processed(guider.inner_model, raw, rows, extra)
        for kind, conditionings in guider.conds.items():
            for cond, part in zip(conditionings, parts[kind], strict=True):
                cond.setdefault(_GROUPS, []).append((rows, part))


def calculate(  # noqa: PLR0917 - ComfyUI calls it so
    executor: Any, model: Any, conds: Any, x: torch.Tensor, timestep: torch.Tensor, options: Any
) -> Any:
    """A CALC_COND_BATCH wrapper: each sub-batch alone, then put together in the batch's order."""
    given = [cond for conditionings in conds if conditionings for cond in conditionings]
    if RAW not in options.get("transformer_options", {}) or not given:
        return executor(model, conds, x, timestep, options)
    if any(_GROUPS not in cond for cond in given):
        raise Refused(
            "FusedModel",
            "model",
            "a patch adds a conditioning of its own while sampling, which cannot be split into sub-batches.",
        )
    outputs = [torch.zeros_like(x) for _ in conds]
    for index, (rows, _) in enumerate(given[0][_GROUPS]):
        part = [None if each is None else [cond[_GROUPS][index][1] for cond in each] for each in conds]
        picked = list(rows)
        for output, rows_output in zip(
            outputs, executor(model, part, x[picked], timestep[picked], options), strict=True
        ):
            output[picked] = rows_output
    return outputs


def _row_key(conds: Sequence[Mapping[str, Any]], row: int, batch: int) -> tuple[Any, ...]:
    """All true sizes of a row, in every conditioning: rows with one key are a plain batch."""
    key: list[Any] = []
    for cond in conds:
        for name, (_, sizes) in sorted(cond.get(LENGTHS, {}).items()):
            key.append((name, sizes[row] if len(sizes) == batch else sizes[0]))
    return tuple(key)


def _processed(model: Any, raw: Conds, rows: Sequence[int], extra: Mapping[str, Any]) -> Conds:
    noise: torch.Tensor = extra["noise"]
    batch, picked = noise.shape[0], list(rows)
    controls: dict[int, Any] = {}  # what two conditionings share, they go on sharing: they may run stacked
    parts: Conds = {}
    for kind, conditionings in raw.items():
        parts[kind] = []
        for cond in conditionings:
            part = {**rows_of(kind, cond, rows, batch), "uuid": uuid.uuid4()}
            if "control" in cond:
                part["control"] = _control_for(cond["control"], picked, batch, controls)
            parts[kind].append(part)
    few = noise[picked]
    latent_image, denoise_mask = (
        each if each is None or each.shape[0] == 1 else each[picked]
        for each in (extra["latent_image"], extra["denoise_mask"])
    )
    return comfy.samplers.process_conds(
        model, few, parts, few.device, latent_image, denoise_mask, extra["seed"], latent_shapes=[few.shape]
    )


def _control_for(control: Any, rows: list[int], batch: int, made: dict[int, Any]) -> Any:
    """A control net, which is ready to run, and those before it, with these rows' hints only."""
    if control is None:
        return None
    if id(control) not in made:
        part = copy.copy(control)
        part.pre_run = lambda *_: None  # done; a control LoRA would build its network again
        part.cond_hint = part.extra_concat = None
        if hasattr(part, "control_input"):
            part.control_input = None
        part.cond_hint_original = _hint(control.cond_hint_original, rows, batch)
        part.extra_concat_orig = [_hint(each, rows, batch) for each in control.extra_concat_orig]
        part.previous_controlnet = _control_for(control.previous_controlnet, rows, batch, made)
        made[id(control)] = part
    return made[id(control)]


def _hint(hint: Any, rows: list[int], batch: int) -> Any:
    return hint[rows] if hint is not None and hint.shape[0] == batch else hint
