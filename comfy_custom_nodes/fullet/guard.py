# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses what is not known to keep the rows of a batch apart: patches, guiders, hooks and control nets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import comfy.controlnet
import comfy.hooks
import comfy.model_management
import nodes

from .conditioning import REFERENCES, rows_of
from .inputs import Refused
from .known import home, module_name, package, parts, unknown

_NODE = "FusedModel"
_FOLDERS = re.compile(r".*[\\/]")
# A LoRA, and models that are only loaded: the same for every row.
_STEADY_HOOKS = (comfy.hooks.WeightHook, comfy.hooks.AdditionalModelsHook)
_OWN = __name__.rpartition(".")[0]


def check_model(
    patcher: Any, options: Mapping[str, Any], vouched: Sequence[str], *, sub_batches: bool
) -> None:
    """Refuses a MODEL that is not known to keep several rows apart (its options may be those of a run, with
    more in them)."""
    if patcher.additional_models.get("multigpu"):
        raise Refused(_NODE, "model", "it is split over several GPUs, which was never tried with a batch.")
    trusted = _packages(vouched)
    for part in _patches(patcher, options):
        _check(part, trusted, "is patched by", sub_batches=sub_batches)


def check_run(guider: Any, rows: int, dimensions: int, vouched: Sequence[str], *, sub_batches: bool) -> None:
    """Refuses a guider that is not known to keep its `rows` latents apart; `dimensions`: how many each has
    (2 for an image's)."""
    if rows == 1:
        return
    check_model(guider.model_patcher, guider.model_options, vouched, sub_batches=sub_batches)
    trusted = _packages(vouched)
    _check(type(guider), trusted, "is run by", sub_batches=sub_batches)
    for kind, conditionings in guider.conds.items():
        for cond in conditionings:
            _check_conditioning(kind, cond, rows, dimensions)
            for control in chain(cond.get("control")):
                _check_control(kind, control, rows, trusted, sub_batches=sub_batches)


def chain(control: Any) -> Iterator[Any]:
    """A control net and those before it."""
    while control is not None:
        yield control
        control = control.previous_controlnet


def exact_attention() -> bool:
    """False if ComfyUI was started with an attention that rounds by blocks of tokens or drops masks."""
    management = comfy.model_management
    kitchen = getattr(management, "comfy_kitchen_attention_enabled", None)  # older versions do not have it
    return not (management.sage_attention_enabled() or (kitchen is not None and kitchen()))


def compiled(patcher: Any) -> bool:
    """Whether torch.compile was asked for: what it made once does not see hooks that come later."""
    return any(
        type(part).__name__ == "OptimizedModule" or home(part)[0].startswith("comfy_api.torch_helpers.")
        for part in _patches(patcher, patcher.model_options)
    )


def _patches(patcher: Any, options: Mapping[str, Any]) -> Iterator[Any]:
    injected = [[(each.inject, each.eject) for each in group] for group in patcher.injections.values()]
    for part in parts([options, patcher.wrappers, patcher.callbacks, patcher.object_patches, injected]):
        if isinstance(part, comfy.hooks.HookGroup):
            for hook in part.hooks:
                if isinstance(hook, comfy.hooks.TransformerOptionsHook):
                    yield from parts(hook.transformers_dict)
                elif not isinstance(hook, _STEADY_HOOKS):
                    yield hook
        elif home(part)[0].rpartition(".")[0] != _OWN:
            yield part


def _check(part: Any, trusted: frozenset[str], how: str, *, sub_batches: bool) -> None:
    if not unknown(part, sub_batches=sub_batches) or package(home(part)[0]) in trusted:
        return
    if sub_batches and not unknown(part, sub_batches=False):
        why = "which cannot run the sub-batches that prompts of these lengths need"
    else:
        why = "which is not known to keep the pictures of a batch apart"
    raise Refused(_NODE, "model", f"it {how} {_name(part)}, {why}.")


def _name(part: Any) -> str:
    """The node if it is known, else the class or function, and where it comes from."""
    module, owner = home(part)
    classes = nodes.NODE_CLASS_MAPPINGS
    here = [name for name, node in classes.items() if module_name(node.__module__) == module]
    named = [name for name in here if classes[name].__name__ == owner]
    told = " or ".join(named or here) if len(named or here) in (1, 2) else owner
    return f"{told} ({_FOLDERS.sub('', module)})"


def _packages(vouched: Sequence[str]) -> frozenset[str]:
    """Where vouched nodes' patches may come from: their pack, and ComfyUI's compiler if they import it."""
    trusted = set()
    for name in vouched:
        node = nodes.NODE_CLASS_MAPPINGS.get(name)
        if node is not None:
            trusted.add(package(node.__module__))
            names = vars(sys.modules.get(node.__module__, node)).values()
            used = {str(getattr(each, "__module__", "")) for each in names}
            trusted |= {each for each in used if each.startswith("comfy_api.torch_helpers.")}
    return frozenset(trusted)


def _check_conditioning(kind: str, cond: Mapping[str, Any], rows: int, dimensions: int) -> None:
    mask = cond.get("mask")
    if mask is not None and mask.shape[0] > 1:
        if dimensions > 2 and mask.ndim == dimensions:
            why = "ComfyUI would take its masks, one per picture, for frames of a video."
            raise Refused(_NODE, kind, why)
        if cond.get("set_area_to_bounds") and mask.ndim > dimensions:
            raise Refused(_NODE, kind, "its area would surround the masks of all pictures of the batch.")
    if "unclip_conditioning" in cond:
        raise Refused(_NODE, kind, "unCLIP draws its noise from one seed for the whole batch.")
    if cond.get("noise_augmentation"):
        raise Refused(_NODE, kind, "noise augmentation draws from one seed for the whole batch.")
    if "text_input_ids" in cond and cond.get(REFERENCES):
        raise Refused(_NODE, kind, "HiDream-O1 tells reference pictures apart by where they lie in memory.")
    rows_of(kind, cond, (0,), rows)  # refuses what has no row for each


def _check_control(kind: str, control: Any, rows: int, trusted: frozenset[str], *, sub_batches: bool) -> None:
    module, owner = home(control)
    if module != comfy.controlnet.__name__ and (sub_batches or package(module) not in trusted):
        raise Refused(
            _NODE, kind, f"its control net {owner} is not known to keep the pictures of a batch apart."
        )
    for hint in (control.cond_hint_original, *control.extra_concat_orig):
        if hint is not None and hint.shape[0] not in (1, rows):
            raise Refused(_NODE, kind, f"its control net has {hint.shape[0]} hints for a batch of {rows}.")
