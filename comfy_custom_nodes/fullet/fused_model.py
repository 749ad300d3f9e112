# SPDX-License-Identifier: GPL-3.0-or-later
"""FusedModel: the model that runs prompts of unequal length in one batch, each as it would run alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import comfy.conds
import torch
from comfy.patcher_extension import WrappersMP

from . import guard, previews, split
from .conditioning import (
    GUARD,
    LENGTHS,
    REFERENCES,
    SECOND_TEXT,
    SIZES,
    TEXT,
    left_zeros,
    repeated,
    rows_of,
    text_lengths,
    valid,
)
from .hiding import hidden
from .inputs import Refused, classes_of, verdict
from .layouts import LAYOUTS, Layout
from .lengths import FLUX2_TEXT_LENGTH, Plan, family_of, plan, stacks
from .zimage import own_layout

# Each row's text length: in a laid-out conditioning, and (long [B]) among the arguments of a model call.
_ROWS = "fullet_rows"
_HOOKED = ("hidden", "flux2", "zimage")  # families whose networks get hooks
_VOUCHED = "fullet_vouched"  # in transformer_options: the node classes that the operator vouches for


class FusedModel:
    """Patches a model so that the rows that JoinRows joined run exactly; refuses what would not be exact."""

    DESCRIPTION = "Runs prompts of unequal token lengths in one sampler run, each as it would run alone."
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"model": ("MODEL",), "positive": ("CONDITIONING",)},
            "optional": {
                "negative": ("CONDITIONING",),
                "vouched": ("STRING", {"default": "[]", "multiline": True}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, vouched: str | None = None) -> bool | str:
        return verdict(classes_of, "FusedModel", vouched)

    def patch(self, model: Any, positive: Any, negative: Any = None, vouched: str = "[]") -> tuple[Any]:
        trusted = classes_of("FusedModel", vouched)
        family, multiple = _family(model)
        plans = [
            _plan(kind, text, options, family, multiple)
            for kind, conditioning in (("positive", positive), ("negative", negative or []))
            for text, options in conditioning
        ]
        if any(len(each.rows) > 1 for each in plans if each):
            guard.check_model(model, model.model_options, trusted, sub_batches=_splits(plans))
        fused = model.clone()
        fused.model_options["transformer_options"][_VOUCHED] = trusted
        for place, wrapper in _WRAPPERS:
            fused.remove_wrappers_with_key(place, "fullet")  # a fused model may be fused again
            fused.add_wrapper_with_key(place, "fullet", wrapper)
        return (fused,)


def _family(patcher: Any) -> tuple[str, int]:
    network = getattr(patcher.model, "diffusion_model", None)
    family = family_of(type(patcher.model).__name__, type(network).__name__)
    multiple = getattr(network, "pad_tokens_multiple", None)
    if not guard.exact_attention():
        family = "other"  # nothing is hidden or repeated: only prompts of equal length run together
    if family in _HOOKED and guard.compiled(patcher):
        family = "other"  # a network that is already compiled does not call the hooks that hide
    return family, multiple or 1


def _layout(model: Any) -> Layout | None:
    return LAYOUTS.get((type(model).__name__, type(model.diffusion_model).__name__))


def _splits(plans: Iterable[Plan | None]) -> bool:
    return any(each is not None and each.kind == "split" for each in plans)


def _plan(
    kind: str, text: torch.Tensor | None, options: Mapping[str, Any], family: str, multiple: int
) -> Plan | None:
    """The plan for one conditioning, or None if JoinRows joined no texts in it."""
    lengths = text_lengths(options)
    if lengths is None or text is None:
        return None
    if text.shape[:2] != (len(lengths), max(lengths)):
        raise Refused(
            "FusedModel",
            kind,
            f"its text was changed after JoinRows ({text.shape[0]} × {text.shape[1]} tokens, "
            f"its prompts are {list(lengths)} long), so the prompts cannot be told apart.",
        )
    unequal = {name: sizes for name, (_, sizes) in options[LENGTHS].items() if len(set(sizes)) > 1}
    if family == "hidden" and SECOND_TEXT in unequal:
        lengths = unequal.pop(SECOND_TEXT)
    elif TEXT in unequal:
        del unequal[TEXT]
    unequal.pop("attention_mask", None)
    tied = (  # what would see the text's padding
        (family != "unet" and options.get("control") is not None)
        or (family == "zimage" and options.get(REFERENCES))
        or "attention_mask_img_shape" in options
    )
    alone = bool(unequal) or SIZES in options or (bool(tied) and len(set(lengths)) > 1)
    return plan(family, lengths, pad_multiple=multiple, alone=alone)


def _lay_out(  # noqa: PLR0917 - ComfyUI calls it so
    executor: Any,
    noise: torch.Tensor,
    latent: Any,
    sampler: Any,
    sigmas: Any,
    mask: Any = None,
    callback: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """An OUTER_SAMPLE wrapper: lays out every conditioning of the run that is about to start."""
    guider = executor.class_obj
    family, multiple = _family(guider.model_patcher)
    plans: list[tuple[dict[str, Any], Plan]] = []
    for kind, conditionings in guider.conds.items():
        for cond in conditionings:
            chosen = _plan(kind, cond.get(TEXT), cond, family, multiple)
            if chosen is not None:
                _check_batch(kind, chosen, noise)
                plans.append((cond, chosen))
    splits = _splits(chosen for _, chosen in plans)
    layout = _layout(guider.model_patcher.model)
    if layout is not None and layout.counted:
        for kind, conditionings in guider.conds.items():
            for cond in conditionings:
                _count_once(kind, cond)
    run = guider.model_options["transformer_options"]
    # Checked again: the model may have been patched after the FusedModel node.
    splits = noise.shape[0] > 1 and (splits or family == "other")
    guard.check_run(guider, noise.shape[0], noise.ndim - 2, run.get(_VOUCHED, ()), sub_batches=splits)
    if splits:
        for cond, _ in plans:
            _lift_guard(cond)
        run[split.RAW] = {kind: list(conditionings) for kind, conditionings in guider.conds.items()}
        # ComfyUI prepares only the first row, as a lone prompt's; `split` prepares each sub-batch.
        for kind, conditionings in guider.conds.items():
            conditionings[:] = [rows_of(kind, cond, (0,), noise.shape[0]) for cond in conditionings]
    else:
        for cond, chosen in plans:
            _lay_out_one(cond, chosen)
        if any(chosen.kind in ("key_mask", "bucket", "masked_layout") for _, chosen in plans):
            _number_rows(guider.conds, FLUX2_TEXT_LENGTH if family == "flux2" else 1)
    callback = previews.watched(callback, guider, noise.shape[0])
    return executor(noise, latent, sampler, sigmas, mask, callback, *args, **kwargs)


def _check_batch(kind: str, chosen: Plan, noise: torch.Tensor) -> None:
    if len(chosen.rows) not in (1, noise.shape[0]):
        raise Refused(
            "FusedModel",
            kind,
            f"it holds {len(chosen.rows)} prompts, but the latent is a batch of {noise.shape[0]}.",
        )


def _count_once(kind: str, cond: dict[str, Any]) -> None:
    """One row of ones for all: the model takes their sum for the text's length."""
    mask, lengths = cond.get("attention_mask"), text_lengths(cond)
    if mask is not None and lengths is not None and len(mask) > 1:
        if int(mask.sum()) != sum(lengths):
            raise Refused("FusedModel", kind, "its attention mask leaves out tokens of its prompts.")
        cond["attention_mask"] = torch.ones_like(mask[:1])


def _lay_out_one(cond: dict[str, Any], chosen: Plan) -> None:
    text, lengths = cond[TEXT], text_lengths(cond) or ()
    _lift_guard(cond)
    if chosen.kind in ("left_zeros", "key_mask") and SECOND_TEXT not in cond:
        cond[TEXT] = left_zeros(text, lengths, chosen.rows)
    elif chosen.kind == "repeat":
        cond[TEXT] = repeated(text, lengths, chosen.total)
    elif chosen.kind == "own_mask":
        own = cond.get("attention_mask")
        mask = valid(lengths, text.shape[1]).long()
        cond["attention_mask"] = mask if own is None else mask * own.to(mask)
    cond[_ROWS] = chosen.rows


def _lift_guard(cond: dict[str, Any]) -> None:
    cond["model_conds"] = {
        name: value for name, value in cond.get("model_conds", {}).items() if name != GUARD
    }


def _number_rows(conds: Mapping[str, list[dict[str, Any]]], least: int) -> None:
    """Every conditioning tells its rows' lengths to the model call: positive and negative may run stacked.

    `least`: the length to which the model itself fills a shorter text.
    """
    for cond in (cond for conditionings in conds.values() for cond in conditionings):
        if cond.get(TEXT) is not None:
            text = cond.get(SECOND_TEXT, cond[TEXT])
            rows = cond.get(_ROWS, (text.shape[-2],) * text.shape[0])
            numbers = torch.tensor([max(least, row) for row in rows])
            cond["model_conds"] = {**cond.get("model_conds", {}), _ROWS: comfy.conds.CONDRegular(numbers)}


def _split(  # noqa: PLR0917 - ComfyUI calls it so
    executor: Any,
    guider: Any,
    sigmas: Any,
    extra_args: Any,
    callback: Any,
    noise: torch.Tensor,
    latent_image: Any = None,
    denoise_mask: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A SAMPLER_SAMPLE wrapper: prepares the sub-batches of a run that needs them."""
    raw = extra_args["model_options"]["transformer_options"].get(split.RAW)
    if raw is not None:
        extra = {
            "noise": noise,
            "latent_image": latent_image,
            "denoise_mask": denoise_mask,
            "seed": extra_args.get("seed"),
        }
        model = guider.inner_model
        known = stacks(type(model).__name__, type(model.diffusion_model).__name__)
        split.prepare(guider, raw, extra, stack=known)
    return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *args, **kwargs)


def _apply(  # noqa: PLR0917 - ComfyUI calls it so
    executor: Any,
    x: torch.Tensor,
    t: Any,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: Any = None,
    **kwargs: Any,
) -> Any:
    """An APPLY_MODEL wrapper: lets the network know the rows' lengths for one call."""
    rows = kwargs.pop(_ROWS, None)
    options = transformer_options or {}
    text = kwargs.get("encoder_hidden_states_llama3", c_crossattn)
    if rows is None or int(rows.min()) == text.shape[-2]:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    model = executor.class_obj
    layout = _layout(model)
    if layout is None:
        own = own_layout(model.diffusion_model, rows)
    else:
        own = hidden(model.diffusion_model, layout, rows, text.shape[-2], options)
    with own:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


_WRAPPERS = (
    (WrappersMP.OUTER_SAMPLE, _lay_out),
    (WrappersMP.SAMPLER_SAMPLE, _split),
    (WrappersMP.CALC_COND_BATCH, split.calculate),
    (WrappersMP.APPLY_MODEL, _apply),
)
