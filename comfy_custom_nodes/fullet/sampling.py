# SPDX-License-Identifier: GPL-3.0-or-later
"""RandomNoiseBatch, SamplerBatch and SigmasLikeKSampler: stock sampling, with each picture's own noise."""

from __future__ import annotations

import inspect
from typing import Any

import comfy.samplers
import torch

from . import previews
from .inputs import Refused, SeedEntry, seeds_of, verdict
from .noise import start_noise, step_noise

_SEEDS = ("STRING", {"default": "[0]", "multiline": True})
_KNOWN_MODULES = ("comfy.k_diffusion.sampling", "comfy.extra_samplers.uni_pc", "comfy.samplers")
_NEVER_EXACT = {
    "dpm_adaptive_function": "dpm_adaptive chooses its steps from the whole batch.",
    "sample_ar_video": "ar_video draws noise from one stream for the whole batch.",
}
_WHOLE_BATCH_OPTIONS = {
    "s_churn": "churn draws noise from one stream for the whole batch.",
    "noise_clip_std": "clipping measures the whole batch's noise.",
}


class BatchNoise:
    """A NOISE: row i of a latent gets what stock RandomNoise(seeds[i]) gives a latent of one picture."""

    def __init__(self, entries: tuple[SeedEntry, ...]) -> None:
        self.entries = entries
        self.seed = entries[0].seed

    def generate_noise(self, latent: dict[str, Any]) -> torch.Tensor:
        samples = latent["samples"]
        if getattr(samples, "is_nested", False):
            raise Refused(
                "RandomNoiseBatch", "seeds", "a latent of several streams (video with sound) cannot be fused."
            )
        if samples.shape[0] != len(self.entries):
            raise Refused(
                "RandomNoiseBatch",
                "seeds",
                f"{len(self.entries)} seeds for a batch of {samples.shape[0]} latents.",
            )
        mask = latent.get("noise_mask")
        if mask is not None and samples.ndim == 5 > mask.ndim and mask[..., 0, 0].numel() > 1:
            raise Refused(
                "RandomNoiseBatch",
                "seeds",
                "ComfyUI would take the latent's noise masks, one per picture, for frames of a video.",
            )
        return start_noise(samples.shape[1:], samples.dtype, self.entries)


class RandomNoiseBatch:
    """NOISE with one seed per picture."""

    DESCRIPTION = "Start noise with one seed per picture; an entry may be [seed, variation_seed, strength]."
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("NOISE",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"seeds": _SEEDS}}

    @classmethod
    def VALIDATE_INPUTS(cls, seeds: str | None) -> bool | str:
        return verdict(seeds_of, "RandomNoiseBatch", seeds)

    def make(self, seeds: str) -> tuple[BatchNoise]:
        return (BatchNoise(seeds_of("RandomNoiseBatch", seeds)),)


class BatchSampler(comfy.samplers.Sampler):
    """A SAMPLER that runs another one with each picture's own step noise."""

    def __init__(self, sampler: Any, entries: tuple[SeedEntry, ...]) -> None:
        self._sampler, self._entries = sampler, entries

    def sample(  # noqa: PLR0917 - ComfyUI calls it so
        self,
        model_wrap: Any,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: torch.Tensor,
        latent_image: Any = None,
        denoise_mask: Any = None,
        disable_pbar: bool = False,
    ) -> torch.Tensor:
        if noise.shape[0] != len(self._entries):
            raise Refused(
                "SamplerBatch",
                "seeds",
                f"{len(self._entries)} seeds for a batch of {noise.shape[0]} latents.",
            )
        callback = previews.watched(callback, model_wrap, noise.shape[0])
        sampler, extra_args = self._own_noise(noise, extra_args)
        if denoise_mask is not None and sampler.inpaint_options.get("random"):
            sampler = self._own_mask_noise(sampler)
        sigmas = sigmas.clone()  # uni_pc writes into them, and the scheduler's output may be cached
        return sampler.sample(
            model_wrap, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar
        )

    def _own_mask_noise(self, sampler: Any) -> Any:
        """ddim, which draws new noise for the part that a mask keeps: here from one stream per picture."""

        def sample(model: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            streams = [torch.Generator().manual_seed(entry.seed + 1) for entry in self._entries]
            drawn = [torch.randn((1, *x.shape[1:]), generator=stream) for stream in streams]
            model.noise = torch.cat(drawn).to(x)
            return sampler.sampler_function(model, x, *args, **kwargs)

        return comfy.samplers.KSAMPLER(sample, sampler.extra_options)

    def _own_noise(self, x: torch.Tensor, extra_args: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The stock sampler and its arguments, so that its step noise comes from one stream per picture."""
        function = self._sampler.sampler_function
        if "noise_sampler" not in inspect.signature(function).parameters:
            return self._sampler, extra_args  # draws none
        if _draws_brownian(function.__name__):  # it takes a list of seeds by itself
            return self._sampler, {**extra_args, "seed": [entry.seed for entry in self._entries]}
        options = {**self._sampler.extra_options, "noise_sampler": step_noise(x, self._entries)}
        return comfy.samplers.KSAMPLER(function, options, self._sampler.inpaint_options), extra_args


class SamplerBatch:
    """SAMPLER with one stream of step noise per picture; refuses samplers that cannot be exact."""

    DESCRIPTION = "Runs a sampler with each picture's own step noise (ancestral and SDE samplers need it)."
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("SAMPLER",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"sampler": ("SAMPLER",), "seeds": _SEEDS}}

    @classmethod
    def VALIDATE_INPUTS(cls, seeds: str | None) -> bool | str:
        return verdict(seeds_of, "SamplerBatch", seeds)

    def make(self, sampler: Any, seeds: str) -> tuple[BatchSampler]:
        _check(sampler)
        return (BatchSampler(sampler, seeds_of("SamplerBatch", seeds)),)


class SigmasLikeKSampler:
    """SIGMAS exactly as KSampler computes them, or KSamplerAdvanced for a range of the steps."""

    DESCRIPTION = "The noise levels that KSampler would use (it drops the last but one for dpm_2 and uni_pc)."
    CATEGORY = "FuLLet"
    RETURN_TYPES = ("SIGMAS",)
    FUNCTION = "compute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL",),
                "sampler_name": (comfy.samplers.KSampler.SAMPLERS,),
                "scheduler": (comfy.samplers.KSampler.SCHEDULERS,),
                "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
                "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
            },
            "optional": {
                "start_at_step": ("INT", {"default": 0, "min": 0, "max": 10000}),
                "end_at_step": ("INT", {"default": 10000, "min": 0, "max": 10000}),
                "return_with_leftover_noise": (["disable", "enable"],),
            },
        }

    def compute(  # noqa: PLR0917 - ComfyUI calls it by the names
        self,
        model: Any,
        sampler_name: str,
        scheduler: str,
        steps: int,
        denoise: float,
        start_at_step: int = 0,
        end_at_step: int = 10000,
        return_with_leftover_noise: str = "disable",
    ) -> tuple[torch.Tensor]:
        stock = comfy.samplers.KSampler(
            model,
            steps=steps,
            device=torch.device("cpu"),
            sampler=sampler_name,
            scheduler=scheduler,
            denoise=denoise,
            model_options=model.model_options,
        )
        sigmas = stock.sigmas[: end_at_step + 1].clone()
        if end_at_step < len(stock.sigmas) - 1 and return_with_leftover_noise == "disable":
            sigmas[-1] = 0
        return (sigmas[start_at_step:] if start_at_step < len(sigmas) - 1 else sigmas[:0],)


def _check(sampler: Any) -> None:
    if not isinstance(sampler, comfy.samplers.KSAMPLER):
        raise Refused(
            "SamplerBatch", "sampler", f"{type(sampler).__name__} is not one of ComfyUI's own samplers."
        )
    function = sampler.sampler_function
    name = getattr(function, "__name__", type(function).__name__)  # a custom node's may be any callable
    if name in _NEVER_EXACT:
        raise Refused("SamplerBatch", "sampler", _NEVER_EXACT[name])
    if function.__module__ not in _KNOWN_MODULES:
        raise Refused("SamplerBatch", "sampler", f"{name} is not one of ComfyUI's own samplers.")
    for option, why in _WHOLE_BATCH_OPTIONS.items():
        if sampler.extra_options.get(option):
            raise Refused("SamplerBatch", "sampler", why)


def _draws_brownian(name: str) -> bool:
    return name.startswith("sample_dpmpp_") and "sde" in name
