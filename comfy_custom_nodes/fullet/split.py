# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs sub-batches of equal length inside one sampler run: to the model, each is a plain batch.

Each row's conditionings are made as ComfyUI makes a lone picture's, and those of equal shape are stacked:
with ids of their own, under which patches keep state, and with the rows of masks, hints and pictures that
are theirs.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import comfy.samplers
import torch

from .conditioning import rows_of
from .inputs import Refused

RAW = "fullet_conds"  # in transformer_options of a run in sub-batches: its conditionings, not yet processed
_GROUPS = "fullet_groups"  # in a processed conditioning: (rows, its part) for each sub-batch

Conds = dict[str, list[dict[str, Any]]]


def prepare(guider: Any, raw: Conds, extra: Mapping[str, Any], *, stack: bool) -> None:
    """Before a guider samples, gives each of its conditionings one part for each sub-batch.

    Each row is processed as if alone; with `stack`, rows whose results are of equal shape are stacked, as
    ComfyUI stacks a positive and a negative. `raw`: the guider's conditionings before they were processed.
    `extra`: what ComfyUI processes them with: noise [N, …], latent_image, denoise_mask, seed.
    """
    batch = extra["noise"].shape[0]
    alone = [_processed(guider.inner_model, raw, row, extra) for row in range(batch)]
    for rows in _groups(alone) if stack else [[row] for row in range(batch)]:
        # What two conditionings share, they go on sharing: they may run stacked.
        controls: dict[int, Any] = {}
        for kind, conditionings in guider.conds.items():
            for i, cond in enumerate(conditionings):
                part = _stacked([alone[row][kind][i] for row in rows])
                if "control" in part:
                    part["control"] = _control_for(part["control"].whole, rows, batch, controls)
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


def _processed(model: Any, raw: Conds, row: int, extra: Mapping[str, Any]) -> Conds:
    noise: torch.Tensor = extra["noise"]
    batch, controls = noise.shape[0], {}
    part: Conds = {}
    for kind, conditionings in raw.items():
        part[kind] = []
        for cond in conditionings:
            own = rows_of(kind, cond, (row,), batch)
            if "control" in own:
                own["control"] = _control_for(own["control"], (row,), batch, controls)
            part[kind].append(own)
    few = noise[[row]]
    latent_image, denoise_mask = (
        each if each is None or each.shape[0] == 1 else each[[row]]
        for each in (extra["latent_image"], extra["denoise_mask"])
    )
    return comfy.samplers.process_conds(
        model, few, part, few.device, latent_image, denoise_mask, extra["seed"], latent_shapes=[few.shape]
    )


def _groups(alone: Sequence[Conds]) -> list[list[int]]:
    groups: list[list[int]] = []
    for row in range(len(alone)):
        found = next((rows for rows in groups if _alike(alone[rows[0]], alone[row])), None)
        if found is None:
            groups.append([row])
        else:
            found.append(row)
    return groups


def _alike(first: Conds, second: Conds) -> bool:
    """Whether two rows' conditionings can be stacked without repeating any text."""
    for kind, conditionings in first.items():
        for one, other in zip(conditionings, second[kind], strict=True):
            mine, theirs = one["model_conds"], other["model_conds"]
            if mine.keys() != theirs.keys() or not all(
                mine[name].size() == theirs[name].size() and mine[name].can_concat(theirs[name])
                for name in mine
            ):
                return False
    return True


def _stacked(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One conditioning of as many rows as `parts`, each of one row."""
    first = parts[0]
    conds = {}
    for name, cond in first["model_conds"].items():
        conds[name] = copy.copy(cond)
        conds[name].cond = cond.concat([part["model_conds"][name] for part in parts[1:]])
    stacked = {**first, "model_conds": conds, "uuid": uuid.uuid4()}
    if "mask" in first:
        stacked["mask"] = torch.cat([part["mask"] for part in parts])
    return stacked


def _control_for(control: Any, rows: Sequence[int], batch: int, made: dict[int, Any]) -> Any:
    """A control net, which is ready to run, and those before it, with these rows' hints only."""
    if control is None:
        return None
    if id(control) not in made:
        part = copy.copy(control)
        part.whole = control
        part.pre_run = lambda *_: None  # done; a control LoRA would build its network again
        part.cond_hint = part.extra_concat = None
        if hasattr(part, "control_input"):
            part.control_input = None
        part.cond_hint_original = _hint(control.cond_hint_original, rows, batch)
        part.extra_concat_orig = [_hint(each, rows, batch) for each in control.extra_concat_orig]
        part.previous_controlnet = _control_for(control.previous_controlnet, rows, batch, made)
        made[id(control)] = part
    return made[id(control)]


def _hint(hint: Any, rows: Sequence[int], batch: int) -> Any:
    return hint[list(rows)] if hint is not None and hint.shape[0] == batch else hint
