"""Whole graphs of many kinds, fused against alone, in ComfyUI's own executor with tiny networks (no server).

REAL_COMFY_PATH names a ComfyUI's folder, REAL_COMFY_PYTHON the Python that it runs with (default: this one).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.ai.fusion.fuse import fuse, plain
from modules.ai.workflows.cards import ModelCard
from modules.ai.workflows.graph import NodeInput, read_graph, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest, Size, SourceImage, Variation
from tests.fakes import request
from tests.real_comfy.test_networks import FOLDER, PACK, PYTHON

SCRIPT = Path(__file__).with_name("whole_graphs.py")
OFF = 2e-5  # float64 networks, float32 latents and pictures
PROMPTS = ("a fox", "an owl that reads " + "a very old book " * 30, "seven elks in the rain")
SIZE = Size(width=64, height=64)

Nodes = dict[str, dict[str, Any]]
Link = list[Any]


class Drawing:
    """A graph under way: each call adds a node and gives its first output."""

    def __init__(self, network: str, **more: Any) -> None:
        self.nodes: Nodes = {}
        self.roles: dict[str, list[str]] = {}
        self.network = network
        self.model = self.add("UNETLoader", unet_name=network)
        self.clip = self.add("CLIPLoader", clip_name=network)
        self.vae = self.add("VAELoader", vae_name=network)
        self.negative_use = "none"

    def add(self, class_type: str, **inputs: Any) -> Link:
        name = str(len(self.nodes) + 1)
        self.nodes[name] = {"class_type": class_type, "inputs": inputs}
        return [name, 0]

    def role(self, role: str, link: Link, name: str) -> Link:
        self.roles.setdefault(role, []).append(f"{link[0]}.{name}")
        return link

    def text(
        self, role: str = "prompt", class_type: str = "CLIPTextEncode", name: str = "text", **more: Any
    ) -> Link:
        if role == "negative":
            self.negative_use = "own"
        return self.role(role, self.add(class_type, clip=self.clip, **{name: "the author's"}, **more), name)

    def picture(self) -> Link:
        return self.role("sources", self.add("LoadImage", image="mine.png"), "image")

    def empty(self, class_type: str = "EmptyLatentImage") -> Link:
        return self.role("batch", self.add(class_type, width=64, height=64, batch_size=1), "batch_size")

    def sampled(self, positive: Link, negative: Link, latent: Link, **more: Any) -> Link:
        how = {
            "seed": 5,
            "steps": 3,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
        }
        link = self.add(
            "KSampler",
            **{**how, "model": self.model, **more},
            positive=positive,
            negative=negative,
            latent_image=latent,
        )
        return self.role("seed", link, "seed")

    def ranged(self, positive: Link, negative: Link, latent: Link, start: int, end: int, **more: Any) -> Link:
        how = {
            "add_noise": "enable",
            "noise_seed": 5,
            "steps": 4,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "return_with_leftover_noise": "disable",
            "model": self.model,
        }
        return self.add(
            "KSamplerAdvanced",
            **{**how, **more},
            positive=positive,
            negative=negative,
            latent_image=latent,
            start_at_step=start,
            end_at_step=end,
        )

    def decoded(self, latent: Link) -> Link:
        return self.add("VAEDecode", samples=latent, vae=self.vae)

    def ends(self, image: Link, class_type: str = "SaveImage", **more: Any) -> Drawing:
        self.role("output", self.add(class_type, images=image, **more), "images")
        return self

    def template(self) -> WorkflowTemplate:
        count = len(self.roles.get("sources", ()))
        roles = {
            role: tuple(NodeInput(*place.split(".")) for place in places)
            for role, places in self.roles.items()
        }
        card = ModelCard(
            label="x",
            kind="edit" if count else "imagine",
            steps=3,
            description=(),
            sizes=(SIZE,),
            default_size=SIZE,
            roles=roles,
            negative=self.negative_use,
            source_count=(count, count),
        )
        return WorkflowTemplate(name="drawn", card=card, graph=read_graph(self.nodes))


CASES: dict[str, Drawing] = {}


def case(name: str) -> Any:
    def keep(draw: Any) -> Any:
        CASES[name] = draw()
        return draw

    return keep


def both(d: Drawing) -> tuple[Link, Link]:
    return d.text(), d.text("negative")


@case("KSampler")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    return d.ends(d.decoded(d.sampled(*both(d), d.empty())), "PreviewImage")


@case("CLIPTextEncodeSDXL, refiner, KSamplerAdvanced with leftover noise")
def _() -> Drawing:
    d = Drawing("SDXL")
    sizes = {
        "width": 64,
        "height": 64,
        "crop_w": 0,
        "crop_h": 0,
        "target_width": 64,
        "target_height": 64,
        "text_l": "drawing",
    }
    sides = [d.text(role, "CLIPTextEncodeSDXL", "text_g", **sizes) for role in ("prompt", "negative")]
    more = {"ascore": 6.0, "width": 64, "height": 64}
    refined = [d.text(role, "CLIPTextEncodeSDXLRefiner", **more) for role in ("prompt", "negative")]
    base = d.ranged(
        *sides, d.empty(), 0, 3, return_with_leftover_noise="enable", sampler_name="euler_ancestral"
    )
    d.role("seed", base, "noise_seed")
    end = d.ranged(
        *refined, base, 3, 10000, add_noise="disable", noise_seed=0, sampler_name="euler_ancestral"
    )
    return d.ends(d.decoded(end), "SaveImageWebsocket")


@case("KSamplerAdvanced that stops early, without leftover noise")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    sides = both(d)
    base = d.role("seed", d.ranged(*sides, d.empty(), 0, 2), "noise_seed")
    again = d.role("seed", d.ranged(*sides, base, 2, 4, sampler_name="dpmpp_2m"), "noise_seed")
    return d.ends(d.decoded(again))


@case("CLIPTextEncodeFlux")
def _() -> Drawing:
    d = Drawing("Flux.1")
    text = d.text("prompt", "CLIPTextEncodeFlux", "t5xxl", clip_l="drawing", guidance=3.5)
    d.role("prompt", text, "clip_l")
    zero = d.add("ConditioningZeroOut", conditioning=text)
    return d.ends(d.decoded(d.sampled(text, zero, d.empty("EmptySD3LatentImage"), cfg=1.0)))


@case("CLIPTextEncodeSD3")
def _() -> Drawing:
    d = Drawing("SD3")
    text = d.text("prompt", "CLIPTextEncodeSD3", "clip_g", clip_l="x", t5xxl="y", empty_padding="none")
    return d.ends(d.decoded(d.sampled(text, d.text("negative"), d.empty("EmptySD3LatentImage"))))


@case("CLIPTextEncodeLumina2")
def _() -> Drawing:
    d = Drawing("Lumina Image 2.0")
    text = d.text("prompt", "CLIPTextEncodeLumina2", "user_prompt", system_prompt="superior")
    return d.ends(d.decoded(d.sampled(text, d.text("negative"), d.empty("EmptySD3LatentImage"))))


@case("TextEncodeQwenImageEditPlus with two pictures each")
def _() -> Drawing:
    d = Drawing("Qwen-Image")
    first, second = d.picture(), d.picture()
    side = [
        d.text(role, "TextEncodeQwenImageEditPlus", "prompt", vae=d.vae, image1=first, image2=second)
        for role in ("prompt", "negative")
    ]
    small = d.add("ImageScale", image=first, upscale_method="area", width=64, height=64, crop="center")
    latent = d.add("VAEEncode", pixels=small, vae=d.vae)
    return d.ends(d.decoded(d.sampled(*side, latent, steps=1)))


@case("TextEncodeQwenImageEdit, CFGNorm, ModelSamplingAuraFlow")
def _() -> Drawing:
    d = Drawing("Qwen-Image")
    picture = d.add("FluxKontextImageScale", image=d.picture())
    sides = [
        d.text(role, "TextEncodeQwenImageEdit", "prompt", image=picture) for role in ("prompt", "negative")
    ]
    model = d.add("CFGNorm", model=d.add("ModelSamplingAuraFlow", model=d.model, shift=3.0), strength=1.0)
    small = d.add("ImageScale", image=picture, upscale_method="area", width=64, height=64, crop="disabled")
    latent = d.add("VAEEncode", pixels=small, vae=d.vae)
    return d.ends(d.decoded(d.sampled(*sides, latent, model=model)))


@case("SamplerCustom twice, the second without noise")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    positive, negative = both(d)
    sigmas = d.add("BasicScheduler", model=d.model, scheduler="karras", steps=4, denoise=1.0)
    split = d.add("SplitSigmas", sigmas=sigmas, step=2)
    how = {"model": d.model, "cfg": 2.0, "positive": positive, "negative": negative, "noise_seed": 5}
    how["sampler"] = d.add("SamplerEulerAncestral", eta=1.0, s_noise=1.0)
    first = d.add("SamplerCustom", **how, add_noise=True, sigmas=split, latent_image=d.empty())
    second = d.add("SamplerCustom", **how, add_noise=False, sigmas=[split[0], 1], latent_image=first)
    for sampled in (first, second):
        d.role("seed", sampled, "noise_seed")
    return d.ends(d.decoded([second[0], 1]))


@case("DualCFGGuider")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    positive, negative = both(d)
    guider = d.add(
        "DualCFGGuider",
        model=d.model,
        cond1=positive,
        cond2=d.text("negative"),
        negative=negative,
        cfg_conds=2.0,
        cfg_cond2_negative=3.0,
        style="regular",
    )
    noise = d.role("seed", d.add("RandomNoise", noise_seed=5), "noise_seed")
    sampled = d.add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=d.add("KSamplerSelect", sampler_name="euler"),
        sigmas=d.add("BasicScheduler", model=d.model, scheduler="simple", steps=3, denoise=1.0),
        latent_image=d.empty(),
    )
    return d.ends(d.decoded(sampled))


@case("ConditioningCombine, SetTimestepRange, SetArea, SetMask")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    text, own = d.text(), d.text()
    early = d.add("ConditioningSetTimestepRange", conditioning=text, start=0.0, end=0.5)
    late = d.add("ConditioningSetTimestepRange", conditioning=own, start=0.5, end=1.0)
    area = d.add("ConditioningSetArea", conditioning=text, width=64, height=64, x=8, y=16, strength=0.8)
    masked = d.add(
        "ConditioningSetMask",
        conditioning=d.text(),
        mask=[d.picture()[0], 1],
        strength=0.7,
        set_cond_area="default",
    )
    joined = d.add("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    joined = d.add("ConditioningCombine", conditioning_1=joined, conditioning_2=area)
    joined = d.add("ConditioningCombine", conditioning_1=joined, conditioning_2=masked)
    wide = d.add("EmptyLatentImage", width=96, height=96, batch_size=1)
    return d.ends(d.decoded(d.sampled(joined, d.text("negative"), wide)))


@case("ConditioningConcat, ConditioningAverage")
def _() -> Drawing:
    d = Drawing("Flux.1")
    joined = d.add("ConditioningConcat", conditioning_to=d.text(), conditioning_from=d.text("negative"))
    mixed = d.add(
        "ConditioningAverage",
        conditioning_to=joined,
        conditioning_from=d.text(),
        conditioning_to_strength=0.6,
    )
    return d.ends(
        d.decoded(
            d.sampled(mixed, d.add("ConditioningZeroOut", conditioning=mixed), d.empty("EmptySD3LatentImage"))
        )
    )


@case("texts that are put together in the graph")
def _() -> Drawing:
    d = Drawing("Z-Image")
    written = d.role("prompt", d.add("PrimitiveStringMultiline", value="x"), "value")
    whole = d.add("StringConcatenate", string_a="a drawing of", string_b=written, delimiter=" ")
    text = d.add("CLIPTextEncode", clip=d.clip, text=whole)
    zero = d.add("ConditioningZeroOut", conditioning=text)
    return d.ends(d.decoded(d.sampled(text, zero, d.empty("EmptySD3LatentImage"), cfg=1.0)))


@case("resized, cropped and stitched pictures")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    first = d.add(
        "ResizeImageMaskNode",
        **{
            "input": d.picture(),
            "resize_type": "scale dimensions",
            "resize_type.width": 80,
            "resize_type.height": 72,
            "resize_type.crop": "center",
            "scale_method": "area",
        },
    )
    first = d.add("ImageCrop", image=first, width=48, height=64, x=8, y=4)
    second = d.add("ImageScaleToMaxDimension", image=d.picture(), upscale_method="area", largest_size=64)
    both_of = d.add(
        "ImageStitch",
        image1=first,
        image2=second,
        direction="right",
        match_image_size=True,
        spacing_width=0,
        spacing_color="white",
    )
    small = d.add(
        "ImageScale", image=both_of, upscale_method="bilinear", width=64, height=64, crop="disabled"
    )
    latent = d.add("VAEEncode", pixels=small, vae=d.vae)
    return d.ends(d.decoded(d.sampled(*both(d), latent, denoise=0.6)))


@case("masks of LoadImage: SetLatentNoiseMask")
def _() -> Drawing:
    d = Drawing("Flux.1")
    picture = d.picture()
    latent = d.add("VAEEncode", pixels=picture, vae=d.vae)
    masked = d.add("SetLatentNoiseMask", samples=latent, mask=[picture[0], 1])
    return d.ends(d.decoded(d.sampled(*both(d), masked, denoise=0.8)))


@case("masks of LoadImage: InpaintModelConditioning, DifferentialDiffusion")
def _() -> Drawing:
    d = Drawing("SD 1.5 inpainting")
    picture = d.picture()
    positive, negative = both(d)
    filled = d.add(
        "InpaintModelConditioning",
        positive=positive,
        negative=negative,
        vae=d.vae,
        pixels=picture,
        mask=[picture[0], 1],
        noise_mask=True,
    )
    model = d.add("DifferentialDiffusion", model=d.model, strength=1.0)
    return d.ends(d.decoded(d.sampled(filled, [filled[0], 1], [filled[0], 2], model=model)))


@case("ImagePadForOutpaint, InpaintModelConditioning on Flux")
def _() -> Drawing:
    d = Drawing("Flux.1 inpainting")
    padded = d.add("ImagePadForOutpaint", image=d.picture(), left=16, top=0, right=0, bottom=16, feathering=8)
    text = d.add("FluxGuidance", conditioning=d.text(), guidance=30.0)
    filled = d.add(
        "InpaintModelConditioning",
        positive=text,
        negative=d.add("ConditioningZeroOut", conditioning=text),
        vae=d.vae,
        pixels=padded,
        mask=[padded[0], 1],
        noise_mask=False,
    )
    return d.ends(d.decoded(d.sampled(filled, [filled[0], 1], [filled[0], 2], cfg=1.0)))


@case("Canny, ControlNetApplyAdvanced twice")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    picture = d.picture()
    edges = d.add("Canny", image=picture, low_threshold=0.1, high_threshold=0.3)
    net = d.add("ControlNetLoader", control_net_name="x")
    union = d.add("SetUnionControlNetType", control_net=net, type="auto")
    link, sides = None, both(d)
    for image, used in ((edges, union), (picture, net)):
        link = d.add(
            "ControlNetApplyAdvanced",
            positive=sides[0],
            negative=sides[1],
            control_net=used,
            image=image,
            strength=0.7,
            start_percent=0.0,
            end_percent=0.8,
        )
        sides = link, [link[0], 1]
    return d.ends(d.decoded(d.sampled(*sides, d.empty())))


def seen(d: Drawing) -> Link:
    vision = d.add("CLIPVisionLoader", clip_name="x")
    return d.add("CLIPVisionEncode", clip_vision=vision, image=d.picture(), crop="none")


def styled(way: str, strength: float) -> Drawing:
    d = Drawing("Flux.1")
    style = d.add("StyleModelLoader", style_model_name="x")
    how = {"strength": strength, "strength_type": way, "clip_vision_output": seen(d), "style_model": style}
    text = d.text()
    sides = (
        d.add("StyleModelApply", conditioning=text, **how),
        d.add("ConditioningZeroOut", conditioning=text),
    )
    return d.ends(d.decoded(d.sampled(*sides, d.empty("EmptySD3LatentImage"), cfg=1.0)))


@case("StyleModelApply")
def _() -> Drawing:
    return styled("multiply", 0.8)


@case("StyleModelApply by a bias")
def _() -> Drawing:
    return styled("attn_bias", 0.5)


@case("SeedVR2Conditioning")
def _() -> Drawing:
    d = Drawing("SeedVR2")
    latent = d.add("VAEEncode", pixels=d.picture(), vae=d.vae)
    sides = d.add("SeedVR2Conditioning", model=d.model, vae_conditioning=latent)
    return d.ends(d.decoded(d.sampled(sides, [sides[0], 1], latent, cfg=1.0)))


@case("a second, larger pass over the latent")
def _() -> Drawing:
    d = Drawing("SD 1.5")
    sides = both(d)
    first = d.sampled(*sides, d.empty())
    larger = d.add("LatentUpscaleBy", samples=first, upscale_method="bislerp", scale_by=1.5)
    return d.ends(d.decoded(d.sampled(*sides, larger, denoise=0.5, sampler_name="dpmpp_2m_sde")))


@case("a second pass over the picture")
def _() -> Drawing:
    d = Drawing("FLUX.2 Klein")
    text = d.text()
    sides = text, d.add("ConditioningZeroOut", conditioning=text)
    image = d.decoded(d.sampled(*sides, d.empty("EmptyFlux2LatentImage")))
    larger = d.add("ImageScaleBy", image=image, upscale_method="lanczos", scale_by=1.5)
    latent = d.add("VAEEncode", pixels=larger, vae=d.vae)
    return d.ends(d.decoded(d.sampled(*sides, latent, denoise=0.5, sampler_name="euler_ancestral")))


@case("ReferenceLatent, sizes from each person's picture")
def _() -> Drawing:
    d = Drawing("FLUX.2 Klein")
    small = d.add(
        "ImageScaleToTotalPixels",
        image=d.picture(),
        upscale_method="nearest-exact",
        megapixels=0.01,
        resolution_steps=1,
    )
    size = d.add("GetImageSize", image=small)
    wide = {"width": size, "height": [size[0], 1]}
    reference = d.add("VAEEncode", pixels=small, vae=d.vae)
    text = d.text()
    sides = [
        d.add("ReferenceLatent", conditioning=each, latent=reference)
        for each in (text, d.add("ConditioningZeroOut", conditioning=text))
    ]
    guider = d.add("CFGGuider", model=d.model, positive=sides[0], negative=sides[1], cfg=2.0)
    noise = d.role("seed", d.add("RandomNoise", noise_seed=5), "noise_seed")
    latent = d.role("batch", d.add("EmptyFlux2LatentImage", **wide, batch_size=1), "batch_size")
    sampled = d.add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=d.add("KSamplerSelect", sampler_name="euler"),
        sigmas=d.add("Flux2Scheduler", steps=3, **wide),
        latent_image=latent,
    )
    return d.ends(d.decoded(sampled))


@case("ModelSamplingFlux in the size of each person's picture")
def _() -> Drawing:
    d = Drawing("Flux.1")
    picture = d.picture()
    size = d.add("GetImageSize", image=picture)
    model = d.add(
        "ModelSamplingFlux", model=d.model, max_shift=1.15, base_shift=0.5, width=size, height=[size[0], 1]
    )
    latent = d.add("VAEEncode", pixels=picture, vae=d.vae)
    text = d.text()
    zero = d.add("ConditioningZeroOut", conditioning=text)
    return d.ends(d.decoded(d.sampled(text, zero, latent, model=model, denoise=0.7, cfg=1.0)))


def unknown() -> Drawing:
    """What JoinRows does not know: a picture as unCLIP sees it."""
    d = Drawing("SD 1.5")
    text = d.add(
        "unCLIPConditioning",
        conditioning=d.text(),
        clip_vision_output=seen(d),
        strength=1.0,
        noise_augmentation=0.0,
    )
    return d.ends(d.decoded(d.sampled(text, d.text("negative"), d.empty())))


def people(template: WorkflowTemplate, count: int = 2) -> tuple[list[GenerationRequest], list[list[str]]]:
    """Requests that differ in all that may differ, and the pictures that they bring."""
    requests = [
        replace(
            request(prompt=PROMPTS[i], negative=f"nothing {'blurred ' * 40 * i}", seed=100 + i, size=SIZE),
            sources=(SourceImage(key="", size=SIZE),) * template.card.source_count[1],
            variation=Variation(seed=7, strength=0.3) if i > 1 else None,
        )
        for i in range(count)
    ]
    names = [[f"64x64-{i}{j}.png" for j in range(len(r.sources))] for i, r in enumerate(requests)]
    return requests, names


def told(name: str, template: WorkflowTemplate, count: int = 2) -> str:
    """The line for the script."""
    requests, names = people(template, count)
    keys = [f"{i:032x}" for i in range(count)]
    alone = [
        plain(template, r, key=key, source_names=n, mixes_noise=True).graph
        for r, key, n in zip(requests, keys, names, strict=True)
    ]
    fused = fuse(template, requests, keys=keys, source_names=names)
    graphs = [write_graph(graph) for graph in (fused.graph, *alone)]
    return json.dumps({"name": name, "fused": graphs[0], "alone": graphs[1:], "keys": keys})


def measured(lines: Sequence[str]) -> list[dict[str, Any]]:
    command = [PYTHON, str(SCRIPT), os.path.abspath(FOLDER), str(PACK)]
    ran = subprocess.run(command, input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")
def test_each_person_gets_the_picture_that_they_get_alone() -> None:
    graphs = [told(name, each.template(), 3 if "Sampler" in name else 2) for name, each in CASES.items()]
    *found, odd = measured([*graphs, told("unCLIPConditioning", unknown().template())])
    print(*found, sep="\n")
    assert "Refused: JoinRows: input row0: its 'unclip_conditioning' differs between people" in odd["refused"]
    assert [each["name"] for each in found] == list(CASES)
    assert [each for each in found if "refused" in each] == []
    assert [each for each in found if each["off"] > OFF * max(1.0, each["largest"] / 20)] == []
    assert [each for each in found if each["apart"] < 100 * each["off"] or each["apart"] == 0] == []
