"""Graphs for comparing: a batch through the node pack, and each of its pictures through stock nodes alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.real_comfy.comfy import Graph

SHIFT_NODE = {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": ["unet", 0], "shift": 3.0}}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model as its official workflow loads it."""

    name: str
    unet: str
    clip: tuple[str, ...]
    clip_type: str
    vae: str
    latent: str = "EmptySD3LatentImage"
    multiple: int = 16  # of a side, in pixels
    shift: bool = False
    flux2: bool = False

    @property
    def files(self) -> set[str]:
        return {self.unet, *self.clip, self.vae}


FLUX1 = Family(
    name="Flux.1 schnell",
    unet="flux1-schnell.safetensors",
    clip=("clip_l.safetensors", "t5xxl_fp16.safetensors"),
    clip_type="flux",
    vae="ae.safetensors",
)
KLEIN = Family(
    name="FLUX.2 Klein 4B",
    unet="flux-2-klein-4b.safetensors",
    clip=("qwen_3_4b.safetensors",),
    clip_type="flux2",
    vae="flux2-vae.safetensors",
    latent="EmptyFlux2LatentImage",
    flux2=True,
)
ZIMAGE = Family(
    name="Z-Image Turbo",
    unet="z_image_turbo_bf16.safetensors",
    clip=("qwen_3_4b.safetensors",),
    clip_type="lumina2",
    vae="ae.safetensors",
    shift=True,
)
FAMILIES = (
    FLUX1,
    KLEIN,
    ZIMAGE,
    replace(FLUX1, name="Flux.1 schnell GGUF", unet="flux1-schnell-Q4_K_S.gguf"),
    replace(
        KLEIN, name="FLUX.2 Klein 4B GGUF", unet="flux-2-klein-4b-Q5_K_M.gguf", clip=("Qwen3-4B-Q6_K.gguf",)
    ),
    replace(
        ZIMAGE, name="Z-Image Turbo GGUF", unet="z-image-turbo-Q5_K_M.gguf", clip=("Qwen3-4B-Q6_K.gguf",)
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all pictures of a batch have in common."""

    family: Family
    sampler: str = "euler"
    scheduler: str = "simple"
    steps: int = 3
    guidance: float = 1.0
    width: int = 240
    height: int = 208
    megapixels: float = 0.04  # of an edit's scaled references
    resolution_steps: int = 1  # what their sides are multiples of


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One person's picture."""

    prompt: str
    seed: int
    key: str
    negative: str | None = (
        None  # None: the prompt's conditioning zeroed out, as the distilled models' workflows do
    )
    references: tuple[str, ...] = field(default=())


def fused(settings: Settings, requests: Sequence[ImageRequest], *, preview_every: int = 0) -> Graph:
    """All requests in one sampler run; nodes "latents" (SaveLatent) and "save" (SaveImageBatch).

    What each person has of their own is as in `stock`, under names that end in their number.
    """
    graph = _loaders(settings.family)
    own = [{f"{name}{i}" for name in _own(settings, request)} for i, request in enumerate(requests)]
    for i, request in enumerate(requests):
        graph |= {f"{name}{i}": _renamed(node, own[i], i) for name, node in _own(settings, request).items()}
    ends = _ends_of(requests[0])
    for name in (*ends, "latent"):
        end = ends.get(name, name)
        graph[name] = _node("JoinRows", **{f"row{i}": [f"{end}{i}", 0] for i in range(len(requests))})
    seeds = json.dumps([image_request.seed for image_request in requests])
    sides = {side: [side, 0] for side in ("positive", "negative")}
    graph["model"] = _node("FusedModel", model=_model(settings.family), **sides)
    graph["guider"] = _node("CFGGuider", model=["model", 0], **sides, cfg=settings.guidance)
    graph["noise"] = _node("RandomNoiseBatch", seeds=seeds)
    graph["select"] = _node("KSamplerSelect", sampler_name=settings.sampler)
    graph["sampler"] = _node("SamplerBatch", sampler=["select", 0], seeds=seeds)
    graph["sigmas"] = _flux2_sigmas(settings) or _node(
        "SigmasLikeKSampler",
        model=_model(settings.family),
        sampler_name=settings.sampler,
        scheduler=settings.scheduler,
        steps=settings.steps,
        denoise=1.0,
    )
    graph["sampled"] = _advanced()
    graph |= _ends()
    graph["save"] = _node(
        "SaveImageBatch",
        images=["decoded", 0],
        keys=json.dumps([image_request.key for image_request in requests]),
        format="png",
        quality=90,
        preview_every=preview_every,
    )
    return graph


def _own(settings: Settings, image_request: ImageRequest) -> Graph:
    """What a person has of their own, up to the sampler: see `_ends_of`, and "latent"."""
    graph: Graph = {"text": _node("CLIPTextEncode", text=image_request.prompt, clip=["clip", 0])}
    if image_request.negative is None:
        graph["other"] = _node("ConditioningZeroOut", conditioning=["text", 0])
    else:
        graph["other"] = _node("CLIPTextEncode", text=image_request.negative, clip=["clip", 0])
    size: dict[str, object] = {"width": settings.width, "height": settings.height}
    for i, name in enumerate(image_request.references):
        graph[f"loaded{i}"] = _node("LoadImage", image=name)
        graph[f"scaled{i}"] = _node(
            "ImageScaleToTotalPixels",
            image=[f"loaded{i}", 0],
            upscale_method="nearest-exact",
            megapixels=settings.megapixels,
            resolution_steps=settings.resolution_steps,
        )
        graph[f"encoded{i}"] = _node("VAEEncode", pixels=[f"scaled{i}", 0], vae=["vae", 0])
        for side in ("text", "other"):
            before = f"{side}{i - 1}" if i else side
            graph[f"{side}{i}"] = _node(
                "ReferenceLatent", conditioning=[before, 0], latent=[f"encoded{i}", 0]
            )
        graph["size"] = _node("GetImageSize", image=["scaled0", 0])
        size = {"width": ["size", 0], "height": ["size", 1]}
    graph["latent"] = _node(settings.family.latent, batch_size=1, **size)
    return graph


def _ends_of(image_request: ImageRequest) -> dict[str, str]:
    """What the two sides of the sampler take, of `_own`."""
    last = str(len(image_request.references) - 1) if image_request.references else ""
    return {"positive": f"text{last}", "negative": f"other{last}"}


def _renamed(node: dict[str, object], own: set[str], number: int) -> dict[str, object]:
    """The node of person `number`, linked to what is theirs."""
    inputs = {
        name: [f"{value[0]}{number}", value[1]]
        if isinstance(value, list) and f"{value[0]}{number}" in own
        else value
        for name, value in node["inputs"].items()  # type: ignore[attr-defined]
    }
    return _node(str(node["class_type"]), **inputs)


def stock(settings: Settings, image_request: ImageRequest) -> Graph:
    """The request alone through stock nodes only; nodes "latents" (SaveLatent) and "save" (SaveImage)."""
    graph = {**_loaders(settings.family), **_own(settings, image_request)}
    positive, negative = ([end, 0] for end in _ends_of(image_request).values())
    if settings.family.flux2:
        graph["guider"] = _node(
            "CFGGuider",
            model=_model(settings.family),
            positive=positive,
            negative=negative,
            cfg=settings.guidance,
        )
        graph["noise"] = _node("RandomNoise", noise_seed=image_request.seed)
        graph["sampler"] = _node("KSamplerSelect", sampler_name=settings.sampler)
        graph["sigmas"] = _flux2_sigmas(settings) or {}
        graph["sampled"] = _advanced()
    else:
        graph["sampled"] = _node(
            "KSampler",
            model=_model(settings.family),
            seed=image_request.seed,
            steps=settings.steps,
            cfg=settings.guidance,
            sampler_name=settings.sampler,
            scheduler=settings.scheduler,
            positive=positive,
            negative=negative,
            latent_image=["latent", 0],
            denoise=1.0,
        )
    graph |= _ends()
    graph["save"] = _node(
        "SaveImage", images=["decoded", 0], filename_prefix=f"real_comfy/{image_request.key}"
    )
    return graph


def _node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs}


def _loaders(family: Family) -> Graph:
    gguf = family.unet.endswith(".gguf")
    if gguf:
        graph = {"unet": _node("UnetLoaderGGUF", unet_name=family.unet)}
    else:
        graph = {"unet": _node("UNETLoader", unet_name=family.unet, weight_dtype="default")}
    suffix = "GGUF" if gguf else ""
    if len(family.clip) == 2:
        names = dict(zip(("clip_name1", "clip_name2"), family.clip, strict=True))
        graph["clip"] = _node(f"DualCLIPLoader{suffix}", type=family.clip_type, **names)
    else:
        graph["clip"] = _node(f"CLIPLoader{suffix}", type=family.clip_type, clip_name=family.clip[0])
    graph["vae"] = _node("VAELoader", vae_name=family.vae)
    if family.shift:
        graph["shifted"] = dict(SHIFT_NODE)
    return graph


def _model(family: Family) -> list[object]:
    return ["shifted" if family.shift else "unet", 0]


def _flux2_sigmas(settings: Settings) -> dict[str, object] | None:
    if not settings.family.flux2:
        return None
    return _node("Flux2Scheduler", steps=settings.steps, width=settings.width, height=settings.height)


def _advanced() -> dict[str, object]:
    links = {
        "noise": "noise",
        "guider": "guider",
        "sampler": "sampler",
        "sigmas": "sigmas",
        "latent_image": "latent",
    }
    return _node("SamplerCustomAdvanced", **{name: [node, 0] for name, node in links.items()})


def _ends() -> Graph:
    return {
        "latents": _node("SaveLatent", samples=["sampled", 0], filename_prefix="real_comfy/latents"),
        "decoded": _node("VAEDecode", samples=["sampled", 0], vae=["vae", 0]),
    }
