# SPDX-License-Identifier: GPL-3.0-or-later
"""Which code that patches a model keeps the rows of a batch apart (pure; standard library only).

Code is named by its module and by the class or function that it was written in. Each entry of KNOWN was
measured: tests/real_comfy/patches.py runs it on small networks, in a batch and in sub-batches, and
docs/fidelity.md has the numbers. What changes weights only is the same for every row and needs no entry.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PLAIN_NAMES = ("dtype", "device", "UUID")
# ComfyUI's own closures around somebody else's function, which is what counts.
_AROUND = {"comfy.model_patcher.ModelPatcher"}
_PACKAGE = re.compile(r"(?:.*[\\/])?[^.]*")  # a custom node's module begins with its path, dots and all
_EXTRA = re.compile(r"[\\/]comfy_extras[\\/](\w+)$")


@dataclass(frozen=True)
class Known:
    """`sub_batches`: also in sub-batches. `only`: what its variables must be for it to be exact."""

    sub_batches: bool = True
    only: Mapping[str, object] = field(default_factory=dict)


_EXACT = Known()
KNOWN: dict[str, Known] = {
    "comfy.ldm.modules.attention.attention_pytorch": _EXACT,
    "comfy.model_base.model_sampling": _EXACT,
    "comfy.samplers.CFGGuider": _EXACT,
    "comfy_extras.nodes_apg.APG": _EXACT,
    "comfy_extras.nodes_cfg.CFGNorm": _EXACT,
    "comfy_extras.nodes_cfg.CFGZeroStar": _EXACT,
    "comfy_extras.nodes_custom_sampler.CFGOverride": _EXACT,
    "comfy_extras.nodes_custom_sampler.Guider_Basic": _EXACT,
    "comfy_extras.nodes_custom_sampler.Guider_DualCFG": _EXACT,
    "comfy_extras.nodes_differential_diffusion.DifferentialDiffusion": _EXACT,
    "comfy_extras.nodes_eps.EpsilonScaling": _EXACT,
    "comfy_extras.nodes_freelunch.FreeU": _EXACT,
    "comfy_extras.nodes_freelunch.FreeU_V2": _EXACT,
    "comfy_extras.nodes_fresca.FreSca": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingContinuousEDM": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingContinuousV": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingDiscrete": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingFlux": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingSD3": _EXACT,
    "comfy_extras.nodes_model_advanced.ModelSamplingStableCascade": _EXACT,
    "comfy_extras.nodes_model_advanced.RescaleCFG": _EXACT,
    "comfy_extras.nodes_model_downscale.PatchModelAddDownscale": _EXACT,
    "comfy_extras.nodes_pag.PerturbedAttentionGuidance": _EXACT,
    # One attention map is kept for the whole batch.
    "comfy_extras.nodes_sag.SelfAttentionGuidance": Known(sub_batches=False),
    # Rescaling measures the whole batch.
    "comfy_extras.nodes_slg.SkipLayerGuidanceDiT": Known(only={"rescaling_scale": 0}),
    "comfy_extras.nodes_slg.SkipLayerGuidanceDiTSimple": _EXACT,
    "comfy_extras.nodes_tcfg.TCFG": _EXACT,
}


def unknown(part: object, *, sub_batches: bool) -> bool:
    """Whether a function, a class's instance or a class is not known to keep rows apart."""
    known = KNOWN.get(".".join(home(part)))
    if known is None or (sub_batches and not known.sub_batches):
        return True
    variables = inspect.getclosurevars(part).nonlocals if inspect.isfunction(part) else {}
    return any(variables.get(name, value) != value for name, value in known.only.items())


def home(part: object) -> tuple[str, str]:
    """The module that a function or an object comes from, and the outermost class or function there."""
    while isinstance(part, partial):
        part = part.func
    if inspect.ismethod(part):
        part = part.__self__ if inspect.isclass(part.__self__) else type(part.__self__)
    elif not (inspect.isclass(part) or inspect.isroutine(part)):
        part = type(part)
    return module_name(str(part.__module__)), str(part.__qualname__).split(".")[0]


def module_name(module: str) -> str:
    """ComfyUI names its extra nodes' modules by their path; here they are always comfy_extras.nodes_…."""
    extra = _EXTRA.search(module)
    return f"comfy_extras.{extra[1]}" if extra else module


def package(module: str) -> str:
    """What is vouched for together: a custom node pack, or one of ComfyUI's own modules."""
    name = module_name(module)
    if name.split(".")[0] in ("comfy", "comfy_extras", "comfy_api"):
        return name
    return _PACKAGE.match(name)[0]  # type: ignore[index] - it matches every text


def parts(value: object) -> Iterator[Any]:
    """Everything in nested dicts and lists that is not plain data: functions, objects, tensors."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from parts(each)
    elif inspect.isfunction(value) and ".".join(home(value)) in _AROUND:
        yield from parts(list(inspect.getclosurevars(value).nonlocals.values()))
    elif not isinstance(value, _PLAIN) and type(value).__name__ not in _PLAIN_NAMES:
        yield value
