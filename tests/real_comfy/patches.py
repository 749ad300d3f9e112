"""Runs tiny networks with what patches a model or stands in a conditioning; prints JSON lines.

ComfyUI's own Python runs this (see test_patches.py): python patches.py COMFYUI_FOLDER PACK_FOLDER. Networks
and texts are networks.py's, in float64. Each line tells of one batch: was it refused, how far is each picture
from its own lone one, and is it nearer to that than to anybody else's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import import_module
from typing import Any
from unittest.mock import patch

import networks  # first: it finds ComfyUI

# isort: split
import comfy.cldm.cldm
import comfy.controlnet
import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.samplers
import comfy.sd
import nodes
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers import set_torch_compile_wrapper
from fullet_nodes import guard
from networks import Refused, Text, build, encoded, fused_model, merge, sampling

STEPS = 3
Extras = Callable[[Sequence[int], tuple[int, ...]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A batch that FusedModel runs in its own way; `other`: as if it knew nothing of the family."""

    network: str
    name: str
    positive: tuple[int, ...]
    negative: tuple[int, ...]
    other: bool = False


WAYS = (
    Way(network="SD 1.5", name="plain", positive=(7, 7, 7), negative=(7, 7, 7)),
    Way(network="SD 1.5", name="repeat", positive=(7, 14, 21), negative=(7, 7, 14)),
    Way(network="SD 1.5", name="split", positive=(35, 49, 35, 7), negative=(7, 7, 7, 14)),
    Way(network="Flux.1", name="plain", positive=(30, 30), negative=(30, 30)),
    Way(network="Flux.1", name="key_mask", positive=(30, 90), negative=(30, 45)),
    Way(network="Flux.1", name="split", positive=(30, 40, 30), negative=(30, 30, 30), other=True),
    Way(network="Z-Image", name="bucket", positive=(8, 14, 30), negative=(9, 3, 14)),
    Way(network="Z-Image", name="masked_layout", positive=(8, 40, 70), negative=(9, 40, 14)),
    Way(network="Z-Image", name="split", positive=(8, 40, 8), negative=(9, 14, 9), other=True),
    Way(network="Qwen-Image", name="own_mask", positive=(20, 33, 50), negative=(5, 60, 20)),
    Way(network="Qwen-Image", name="split", positive=(20, 33, 20), negative=(5, 60, 5), other=True),
    Way(network="SD3", name="plain", positive=(15, 15), negative=(15, 15)),
    Way(network="SD3", name="key_mask", positive=(15, 23, 15), negative=(15, 15, 15)),
    Way(network="SD3", name="split", positive=(15, 23, 15), negative=(15, 15, 15), other=True),
)
LATENTS = {
    "SD 1.5": (4, 12, 12),
    "Flux.1": (16, 8, 10),
    "Z-Image": (16, 6, 8),
    "Qwen-Image": (16, 1, 8, 8),
    "SD3": (16, 8, 8),
}
SMALLER = {"Z-Image": {"n_layers": 1}}
EVERYWHERE = tuple(dict.fromkeys(way.network for way in WAYS if way.network != "SD3"))
UNET, FLUX, NOT_UNET = ("SD 1.5",), ("Flux.1",), ("Flux.1", "Z-Image", "Qwen-Image")
HIDING = ("key_mask", "masked_layout", "bucket", "own_mask")  # with a control net, sub-batches


@dataclass(frozen=True, kw_only=True)
class Case:
    """A node of ComfyUI's that patches a model, or what a conditioning or latent may hold a row of."""

    name: str
    on: tuple[str, ...] = EVERYWHERE
    node: str = ""  # a module of comfy_extras and a class there
    inputs: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Callable[[Any], Any]] = field(default_factory=dict)  # inputs that are made of the model
    make: Callable[[Any], Any] | None = None  # instead of a node: patches a model
    guider: str = ""  # as node, instead of CFGGuider
    ways: tuple[str, ...] = ()  # these only
    extras: Extras | None = None  # of each conditioning, for these rows and latents of this shape
    noise_mask: bool = False
    steps: int = STEPS
    parts: bool = False  # the positive is two conditionings, one of them for an area


def drawn(name: str, rows: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Random numbers of each row's own, the same alone and in a batch."""
    seeded = (torch.Generator().manual_seed(hash_of(name) + row) for row in rows)
    return torch.cat([torch.randn((1, *shape), generator=generator) for generator in seeded])


def hash_of(name: str) -> int:
    return sum(position * ord(letter) for position, letter in enumerate(name, 1))


@cache
def control_network() -> Any:
    config = {
        name: value
        for name, value in networks._UNET.items()
        if name not in ("out_channels", "transformer_depth_output")
    }
    network = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, dtype=torch.float64, operations=comfy.ops.disable_weight_init
    )
    generator = torch.Generator().manual_seed(4)
    for _, weights in sorted(network.named_parameters()):
        weights.requires_grad_(False)
        scale = weights[0].numel() ** 0.5 if weights.ndim >= 2 else 10.0
        weights.copy_(torch.randn(weights.shape, generator=generator) / scale)
    return network.to(torch.float64)


class TokenControl(torch.nn.Module):
    """What a control net is to a transformer: it adds to the image's tokens, by its hint and the text."""

    dtype = torch.float64

    def forward(self, x: Any, hint: Any, timesteps: Any, context: Any, **_: Any) -> dict[str, Any]:
        told = hint.mean((1, 2, 3))[:, None, None] + context.mean(1)[:, None]
        return {"input": [told.repeat(1, 4, 3)[..., :128]]}


@cache
def control_for(name: str, rows: tuple[int, ...], size: int, *, chained: bool, unet: bool) -> Any:
    """One object for positive and negative, as ComfyUI's nodes make it."""
    network = control_network() if unet else TokenControl()
    control = comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))
    control.set_cond_hint(drawn(name, rows, (3, size, size)), 0.7)
    if chained:
        control.set_previous_controlnet(control_for(f"before {name}", rows, size, chained=False, unet=unet))
    return control


def own_hints(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    unet = latent[0] == 4
    return {"control": control_for("own", tuple(rows), latent[-1] * 8, chained=True, unet=unet)}


def one_hint(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    return {"control": control_for("one", (0,), latent[-1] * 8, chained=False, unet=latent[0] == 4)}


def own_masks(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    return {"mask": (drawn("mask", rows, latent[-2:]) > 0).float(), "set_area_to_bounds": False}


def references(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    return {"reference_latents": [drawn("reference", rows, latent)]}


def inpainting(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    mask = (drawn("inpaint", rows, (1, *latent[-2:])) > 0).float()
    return {"concat_latent_image": drawn("hidden", rows, latent), "concat_mask": mask}


_KEY = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"


def lora() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return {
        f"{_KEY}.lora_up.weight": torch.randn((64, 4), generator=generator),
        f"{_KEY}.lora_down.weight": torch.randn((4, 64), generator=generator),
    }


@cache
def lora_hooks() -> Any:
    return comfy.hooks.create_hook_lora(lora(), 0.5, 0.0)


def hooked(rows: Sequence[int], latent: tuple[int, ...]) -> dict[str, Any]:
    return {"hooks": lora_hooks()}


def with_lora(model: Any) -> Any:
    return comfy.sd.load_lora_for_models(model, None, lora(), 0.5, 0)[0]


def with_lora_on_another(model: Any) -> Any:
    """The same network with other weights, to be merged."""
    return comfy.sd.load_lora_for_models(model, None, lora(), -0.8, 0)[0]


_TIMES = {"start_percent": 0.0, "end_percent": 1.0}
_CACHE = {"reuse_threshold": 0.12, **_TIMES, "verbose": False}
_LAYERS = {"double_layers": "0", "single_layers": "0", **_TIMES}
_PARTS = {"q": 1.1, "k": 0.9, "v": 1.2, "out": 0.8}
_SHRINK = {
    "block_number": 1, "downscale_factor": 2.0, "start_percent": 0.0, "end_percent": 0.6,
    "downscale_after_skip": True, "downscale_method": "bicubic", "upscale_method": "bicubic",
}  # fmt: skip
_ROPE = {"scale_x": 1.5, "shift_x": 1.0, "scale_y": 0.7, "shift_y": 2.0, "scale_t": 1.0, "shift_t": 0.0}
_TEMPORAL = {
    "self_structural": 1.1, "self_temporal": 1.1, "cross_structural": 0.9, "cross_temporal": 1.0,
}  # fmt: skip
_OTHER = {"model2": with_lora_on_another}
_ADVANCED = "model_advanced"

EXACT = (
    Case(name="nothing", on=(*EVERYWHERE, "SD3")),
    Case(name="APG", node="apg.APG", inputs={"eta": 0.5, "norm_threshold": 5.0, "momentum": -0.5}),
    Case(name="CFGNorm", node="cfg.CFGNorm", inputs={"strength": 1.0}),
    Case(name="CFGNorm (pre_cfg)", node="cfg.CFGNorm", inputs={"strength": 0.8, "pre_cfg": True}),
    Case(name="CFGOverride", node="custom_sampler.CFGOverride",
         inputs={"cfg": 2.0, "start_percent": 0.0, "end_percent": 0.6}),
    Case(name="CFGZeroStar", node="cfg.CFGZeroStar"),
    Case(name="DifferentialDiffusion", node="differential_diffusion.DifferentialDiffusion",
         inputs={"strength": 0.8}, noise_mask=True, on=("SD 1.5", "Flux.1", "Z-Image")),
    Case(name="Epsilon Scaling", node="eps.EpsilonScaling", inputs={"scaling_factor": 1.05}),
    Case(name="FreSca", node="fresca.FreSca",
         inputs={"scale_low": 1.0, "scale_high": 1.25, "freq_cutoff": 2}),
    Case(name="FreeU", node="freelunch.FreeU", on=UNET, inputs={"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}),
    Case(name="FreeU_V2", node="freelunch.FreeU_V2", on=UNET,
         inputs={"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    Case(name="LoraLoader", make=with_lora, on=UNET),
    Case(name="LoraModelLoader", node="train.LoraModelLoader", on=UNET,
         inputs={"strength_model": 0.5}, made={"lora": lambda _: lora()}),
    Case(name="ModelAttentionBackend", node=f"{_ADVANCED}.ModelAttentionBackend",
         inputs={"attention": "pytorch attention"}),
    Case(name="ModelComputeDtype", node=f"{_ADVANCED}.ModelComputeDtype", inputs={"dtype": "fp32"}),
    Case(name="ModelMergeAdd", node="model_merging.ModelAdd", on=UNET, made=_OTHER),
    Case(name="ModelMergeBlocks", node="model_merging.ModelMergeBlocks", on=UNET, made=_OTHER,
         inputs={"input": 0.7, "middle": 0.4, "out": 0.2}),
    Case(name="ModelMergeSimple", node="model_merging.ModelMergeSimple", on=UNET, made=_OTHER,
         inputs={"ratio": 0.6}),
    Case(name="ModelMergeSubtract", node="model_merging.ModelSubtract", on=UNET, made=_OTHER,
         inputs={"multiplier": 0.3}),
    Case(name="ModelNoiseScale", node=f"{_ADVANCED}.ModelNoiseScale", on=("Z-Image",),
         inputs={"noise_scale": 7.5}),
    Case(name="ModelSamplingAuraFlow",
         on=("Z-Image", "Qwen-Image"), node=f"{_ADVANCED}.ModelSamplingAuraFlow",
         inputs={"shift": 1.73}),
    Case(name="ModelSamplingContinuousEDM", node=f"{_ADVANCED}.ModelSamplingContinuousEDM", on=UNET,
         inputs={"sampling": "edm", "sigma_max": 80.0, "sigma_min": 0.002}),
    Case(name="ModelSamplingContinuousV", node=f"{_ADVANCED}.ModelSamplingContinuousV", on=UNET,
         inputs={"sampling": "v_prediction", "sigma_max": 80.0, "sigma_min": 0.03}),
    Case(name="ModelSamplingDiscrete", node=f"{_ADVANCED}.ModelSamplingDiscrete", on=UNET,
         inputs={"sampling": "v_prediction", "zsnr": True}),
    Case(name="ModelSamplingDiscrete (lcm)", node=f"{_ADVANCED}.ModelSamplingDiscrete", on=UNET,
         inputs={"sampling": "lcm", "zsnr": False}),
    Case(name="ModelSamplingFlux", node=f"{_ADVANCED}.ModelSamplingFlux", on=FLUX,
         inputs={"max_shift": 1.15, "base_shift": 0.5, "width": 128, "height": 112}),
    Case(name="ModelSamplingSD3", node=f"{_ADVANCED}.ModelSamplingSD3", on=("SD3",), inputs={"shift": 3.0}),
    Case(name="ModelSamplingStableCascade", node=f"{_ADVANCED}.ModelSamplingStableCascade", on=UNET,
         inputs={"shift": 2.0}),
    Case(name="PatchModelAddDownscale", node="model_downscale.PatchModelAddDownscale", on=UNET,
         inputs=_SHRINK),
    Case(name="PerturbedAttentionGuidance", node="pag.PerturbedAttentionGuidance", on=UNET,
         inputs={"scale": 3.0}),
    Case(name="RescaleCFG", node=f"{_ADVANCED}.RescaleCFG", on=UNET, inputs={"multiplier": 0.7}),
    Case(name="ScaleROPE", node="rope.ScaleROPE", on=("Flux.1", "Z-Image"), inputs=_ROPE),
    Case(name="SelfAttentionGuidance", node="sag.SelfAttentionGuidance", on=UNET,
         inputs={"scale": 0.5, "blur_sigma": 2.0}),
    Case(name="SkipLayerGuidanceDiT", node="slg.SkipLayerGuidanceDiT", on=FLUX,
         inputs={"scale": 3.0, **_LAYERS}),
    Case(name="SkipLayerGuidanceDiTSimple", node="slg.SkipLayerGuidanceDiTSimple", on=FLUX, inputs=_LAYERS),
    Case(name="SkipLayerGuidanceSD3", node="sd3.SkipLayerGuidanceSD3", on=("SD3",),
         inputs={"layers": "0", "scale": 3.0, **_TIMES}),
    Case(name="TCFG", node="tcfg.TCFG"),
    Case(name="UNetCrossAttentionMultiply", node="attention_multiply.UNetCrossAttentionMultiply", on=UNET,
         inputs=_PARTS),
    Case(name="UNetSelfAttentionMultiply", node="attention_multiply.UNetSelfAttentionMultiply", on=UNET,
         inputs=_PARTS),
    Case(name="UNetTemporalAttentionMultiply", on=UNET, inputs=_TEMPORAL,
         node="attention_multiply.UNetTemporalAttentionMultiply"),
)  # fmt: skip
ROWS = (
    Case(name="BasicGuider", guider="custom_sampler.BasicGuider"),
    Case(name="DualCFGGuider", guider="custom_sampler.DualCFGGuider"),
    Case(name="ControlNet, a hint each", extras=own_hints, on=UNET),
    Case(name="ControlNet, one hint for all", extras=one_hint, on=UNET),
    Case(name="ControlNet, a hint each", extras=own_hints, on=NOT_UNET, ways=HIDING),
    Case(name="ControlNet, one hint for all", extras=one_hint, on=NOT_UNET, ways=HIDING),
    Case(name="conditioning mask, one each", extras=own_masks),
    Case(name="noise mask, one each", noise_mask=True),
    Case(name="reference picture, one each", extras=references, on=FLUX),
    Case(name="inpainting picture, one each", extras=inpainting, on=("SD 1.5 inpainting",)),
    Case(name="LoRA as a hook", extras=hooked, on=UNET),
    Case(name="conditioning for an area", parts=True, on=UNET),
)
WRONG = (
    Case(name="EasyCache", node="easycache.EasyCacheNode", on=UNET, inputs=_CACHE, steps=8),
    Case(name="LazyCache", node="easycache.LazyCacheNode", on=UNET, inputs=_CACHE, steps=8),
    Case(name="PerpNegGuider", guider="perpneg.PerpNegGuider", on=UNET),
    Case(name="DualModelGuider", guider="custom_sampler.DualModelGuider", on=UNET),
    Case(name="Mahiro", node="mahiro.Mahiro", on=UNET),
    Case(name="NAGuidance", node="nag.NAGuidance", on=FLUX,
         inputs={"nag_scale": 5.0, "nag_alpha": 0.5, "nag_tau": 1.5}),
    Case(name="PerpNeg", node="perpneg.PerpNeg", on=UNET, inputs={"neg_scale": 1.0}),
    Case(name="RenormCFG", node="lumina2.RenormCFG", on=("Z-Image",),
         inputs={"cfg_trunc": 100, "renorm_cfg": 1.0}),
    Case(name="SkipLayerGuidanceDiT (rescaling)", node="slg.SkipLayerGuidanceDiT", on=FLUX,
         inputs={"scale": 3.0, **_LAYERS, "rescaling_scale": 0.7}),
    Case(name="TemporalScoreRescaling", node="eps.TemporalScoreRescaling", on=FLUX,
         inputs={"tsr_k": 0.9, "tsr_sigma": 1.0}),
    Case(name="TomePatchModel", node="tomesd.TomePatchModel", on=UNET, inputs={"ratio": 0.5}),
    Case(name="VideoLinearCFGGuidance", node="video_model.VideoLinearCFGGuidance", on=UNET,
         inputs={"min_cfg": 1.0}),
    Case(name="VideoTriangleCFGGuidance", node="video_model.VideoTriangleCFGGuidance", on=UNET,
         inputs={"min_cfg": 1.0}),
)  # fmt: skip


@cache
def network_of(name: str) -> networks.Network:
    plain = name.removesuffix(" inpainting")
    (network,) = (each for each in networks.NETWORKS if each.name == plain)
    return replace(network, latent=LATENTS[plain], unet={**network.unet, **SMALLER.get(plain, {})})


@cache
def model_of(name: str) -> Any:
    network = network_of(name)
    if not name.endswith("inpainting"):
        return build(network, torch.float64)
    model = build(replace(network, unet={**network.unet, "in_channels": 9}), torch.float64)
    model.model.set_inpaint()
    return model


def patched(case: Case, name: str, model: Any = None) -> Any:
    model = model_of(name) if model is None else model
    if case.make is not None:
        return case.make(model)
    if not case.node:
        return model
    node = node_class(case)
    inputs = {**case.inputs, **{each: make(model) for each, make in case.made.items()}}
    if case.name == "PerpNeg":
        inputs["empty_conditioning"] = [list(encoded(network_of(name), 7, 999))]
    if hasattr(node, "execute"):
        out = node.execute(model=model, **inputs)
        return out[0] if isinstance(out, tuple) else out.args[0]
    return getattr(node(), node.FUNCTION)(model, **inputs)[0]


def guider_of(case: Case, name: str, model: Any, conds: list[Any], guidance: float) -> Any:
    if not case.guider:
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(*conds)
        guider.set_cfg(guidance)
        return guider
    positive, negative = conds
    inputs = {
        "BasicGuider": {"conditioning": positive},
        "DualCFGGuider": {
            "cond1": positive, "cond2": negative, "negative": negative, "cfg_conds": guidance,
            "cfg_cond2_negative": 2.0, "style": "nested",
        },
        "DualModelGuider": {
            "model_negative": model, "positive": positive, "negative": negative, "cfg": guidance,
        },
        "PerpNegGuider": {
            "positive": positive, "negative": negative, "cfg": guidance, "neg_scale": 1.0,
            "empty_conditioning": [list(encoded(network_of(name), 7, 999))],
        },
    }[case.name]  # fmt: skip
    return node_class(case).execute(model=model, **inputs).args[0]


def node_class(case: Case) -> Any:
    module, _, name = (case.node or case.guider).partition(".")
    return getattr(import_module(f"comfy_extras.nodes_{module}"), name)


def conditioning(
    case: Case, texts: Sequence[Text], rows: Sequence[int], latent: tuple[int, ...]
) -> list[Any]:
    text, options = merge(texts) if len(texts) > 1 else texts[0]
    extras = case.extras(rows, latent) if case.extras else {}
    return [[text, {**options, **extras}]]


@dataclass(kw_only=True)
class Run:
    """What both the fused run and the lone ones are given, for some rows of a way."""

    case: Case
    way: Way
    guidance: float

    def texts(self, side: str, row: int) -> Text:
        lengths = getattr(self.way, side)
        return encoded(network_of(self.way.network), lengths[row], row + 50 * (side == "negative"))

    def conds(self, rows: Sequence[int]) -> list[list[Any]]:
        latent = network_of(self.way.network).latent
        both = [
            conditioning(self.case, [self.texts(side, row) for row in rows], rows, latent)
            for side in ("positive", "negative")
        ]
        if self.case.parts:
            area = {"area": (8, 8, 2, 4), "strength": 0.8}
            swapped = conditioning(self.case, [self.texts("negative", row) for row in rows], rows, latent)
            both[0] += [[text, {**options, **area}] for text, options in swapped]
        return both

    def start(self, rows: Sequence[int]) -> torch.Tensor:
        latent = network_of(self.way.network).latent
        return drawn("latent", rows, latent) if self.case.noise_mask else torch.zeros((len(rows), *latent))

    def mask(self, rows: Sequence[int]) -> torch.Tensor | None:
        latent = network_of(self.way.network).latent
        return drawn("noise mask", rows, (1, *latent[-2:])).sigmoid() if self.case.noise_mask else None

    def seeds(self, rows: Sequence[int]) -> list[int]:
        return [100 + row for row in rows]

    def alone(self, row: int) -> torch.Tensor:
        """As stock nodes make it."""
        start, (seed,) = self.start([row]), self.seeds([row])
        model, conds = patched(self.case, self.way.network), self.conds([row])
        noise, mask = comfy.sample.prepare_noise(start, seed), self.mask([row])
        if not self.case.guider:
            return comfy.sample.sample(
                model, noise, self.case.steps, self.guidance, "euler", "simple", *conds, start,
                noise_mask=mask, disable_pbar=True, seed=seed,
            )  # fmt: skip
        sigmas = comfy.samplers.calculate_sigmas(
            model.get_model_object("model_sampling"), "simple", self.case.steps
        )
        return guider_of(self.case, self.way.network, model, conds, self.guidance).sample(
            noise, start, comfy.samplers.sampler_object("euler"), sigmas, mask, seed=seed, disable_pbar=True
        )

    def together(
        self, rows: Sequence[int], *, vouched: Sequence[str] = (), later: bool = False
    ) -> torch.Tensor:
        """As SamplerCustomAdvanced makes it with the pack's nodes; `later`: what patches comes after them."""
        conds, start, mask = self.conds(rows), self.start(rows), self.mask(rows)
        node, told = fused_model.FusedModel(), json.dumps(self.seeds(rows))
        name = self.way.network
        if later:
            (fused,) = node.patch(model_of(name), *conds, vouched=json.dumps(vouched))
            fused = patched(self.case, name, fused)
        else:
            (fused,) = node.patch(patched(self.case, name), *conds, vouched=json.dumps(vouched))
        (noise,) = sampling.RandomNoiseBatch().make(told)
        (sampler,) = sampling.SamplerBatch().make(comfy.samplers.sampler_object("euler"), told)
        (sigmas,) = sampling.SigmasLikeKSampler().compute(fused, "euler", "simple", self.case.steps, 1.0)
        guider = guider_of(self.case, name, fused, conds, self.guidance)
        latent = {"samples": start} if mask is None else {"samples": start, "noise_mask": mask}
        return guider.sample(
            noise.generate_noise(latent), start, sampler, sigmas, mask, seed=noise.seed, disable_pbar=True
        )

    def measured(self, **how: Any) -> dict[str, Any]:
        """A refusal, or how far each picture is from its own lone one and whether that is the nearest."""
        family = patch.object(fused_model, "family_of", lambda *_: "other")
        try:
            with family if self.way.other else nullcontext():
                result = self.together(range(len(self.way.positive)), **how)
        except Refused as refused:
            return {"refused": str(refused)}
        except RuntimeError as error:
            return {"failed": str(error)}
        apart = (result[:, None] - self.solos[None]).flatten(2).abs().amax(2)
        return {
            "latents": float(apart.diagonal().max()),
            "largest": float(self.solos.abs().max()),
            "own": apart.argmin(1).tolist() == list(range(len(result))),
        }

    @cached_property
    def solos(self) -> torch.Tensor:
        return torch.cat([self.alone(row) for row in range(len(self.way.positive))])


def ways_of(name: str) -> Iterator[Way]:
    for way in WAYS:
        if way.network == name.removesuffix(" inpainting"):
            yield replace(way, network=name)


def main() -> None:
    print(
        json.dumps({"version": networks.comfyui_version.__version__, "torch": torch.__version__}), flush=True
    )
    only = os.environ.get("ONLY_CASES", "").split("|") if os.environ.get("ONLY_CASES") else None
    comfy.model_management.in_training = True  # ComfyUI's fast kernels have no float64
    with torch.no_grad():
        for kind, cases in (("exact", EXACT), ("rows", ROWS), ("wrong", WRONG)):
            for case in cases:
                if only is None or case.name in only:
                    tell(kind, case)
        tell_ids()
    tell_trusted()
    tell_merges()


def tell(kind: str, case: Case) -> None:
    vouched = []
    if case.node or case.guider:
        vouched = [case.name.partition(" (")[0]]
        nodes.NODE_CLASS_MAPPINGS[vouched[0]] = node_class(case)
    for name in case.on:
        for way in ways_of(name):
            if case.ways and way.name not in case.ways:
                continue
            # Guidance 1 skips the negative; what a node does to the guidance is nothing then.
            for guidance in (1.0, 4.0) if case.extras or way.name == "split" else (4.0,):
                run = Run(case=case, way=way, guidance=guidance)
                found = {
                    "kind": kind, "case": case.name, "node": case.node or case.guider, "network": name,
                    "way": way.name, "guidance": guidance, **run.measured(),
                }  # fmt: skip
                if kind == "wrong":
                    found["vouched"] = run.measured(vouched=vouched)
                    found["later"] = run.measured(later=True)
                if guidance > 1 and way.name in ("plain", "bucket", "own_mask") and not case.ways:
                    solo = run.solos[:1] if "latents" in found else run.alone(0)
                    found["lone"] = bool(torch.equal(run.together([0]), solo))
                print(json.dumps(found), flush=True)


class Recorder:
    """Stands for a custom node; writes down under which ids it would keep its state."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[str]]] = []  # rows of one conditioning, ids

    def __call__(self, executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        (options,) = (
            each for each in (*args, *kwargs.values()) if isinstance(each, dict) and "uuids" in each
        )
        ids = [str(each) for each in options["uuids"]]
        self.seen.append((x.shape[0] // len(ids), ids))
        return executor(x, *args, **kwargs)


def tell_ids() -> None:
    """Under which ids the model is called for the conditionings of a batch in sub-batches, step by step."""
    nodes.NODE_CLASS_MAPPINGS["Recorder"] = Recorder
    recorder = Recorder()

    def recorded(model: Any) -> Any:
        model = model.clone()
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "recorder", recorder)
        return model

    (way,) = (way for way in WAYS if (way.network, way.name) == ("SD 1.5", "split"))
    run = Run(case=Case(name="recorder", make=recorded), way=way, guidance=4.0)
    run.together(range(len(way.positive)), vouched=["Recorder"])
    print(json.dumps({"ids": recorder.seen, "steps": STEPS}), flush=True)


def tell_trusted() -> None:
    """Whether TorchCompileModel is trusted, and which family each model is taken for, also compiled."""
    nodes.NODE_CLASS_MAPPINGS["TorchCompileModel"] = import_module(
        "comfy_extras.nodes_torch_compile"
    ).TorchCompileModel
    told = {"trusted": sorted(guard._packages(["TorchCompileModel", "NoSuchNode"])), "families": {}}
    for name in ("Flux.1", "Z-Image", "Qwen-Image"):
        model = model_of(name)
        compiled = model.clone()
        set_torch_compile_wrapper(compiled, backend="inductor")
        told["families"][name] = [fused_model._family(each)[0] for each in (model, compiled)]
    print(json.dumps(told), flush=True)


def tell_merges() -> None:
    """The nodes that do what ModelMergeBlocks does, with other names for the blocks."""
    merging, specific = (
        import_module(f"comfy_extras.nodes_model_merging{suffix}") for suffix in ("", "_model_specific")
    )
    same = [
        name
        for name, node in specific.NODE_CLASS_MAPPINGS.items()
        if getattr(node, node.FUNCTION) is merging.ModelMergeBlocks.merge
    ]
    print(json.dumps({"merges": same}), flush=True)


if __name__ == "__main__":
    main()
