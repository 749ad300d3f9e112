"""The nodes that take no time worth counting: pure functions from a node's inputs to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modules.demo.comfy_server.nodes.pack_inputs import NodeFailure, refusal, seeds
from modules.demo.comfy_server.nodes.values import (
    Composite,
    Conditioning,
    Guider,
    Images,
    Latent,
    Mask,
    Model,
    Noise,
    Part,
    Photo,
    Recipe,
    Sampler,
    Sigmas,
    guided,
    identity,
    joined,
    scaled,
    told,
    with_reference,
)

Inputs = Mapping[str, Any]
InstantNode = Callable[[Inputs], tuple[Any, ...]]

# KSampler leaves out the last noise level but one for these
_LESS_ONE_LEVEL = ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")
# the rows of these depend on each other, whatever their noise
_NEVER_EXACT = ("dpm_adaptive", "lcm_upscale")


# ── loaders ─────────────────────────────────────────────────────────────────────────────────────


def _clip(inputs: Inputs) -> tuple[Part]:
    names = [str(inputs[name]) for name in ("clip_name", "clip_name1", "clip_name2") if name in inputs]
    return (Part(kind="clip", file="+".join(names), made=told("clip", inputs)),)


def _vae(inputs: Inputs) -> tuple[Part]:
    return (Part(kind="vae", file=inputs["vae_name"], made=told("vae", inputs)),)


def _upscaler(inputs: Inputs) -> tuple[Part]:
    return (Part(kind="upscale", file=inputs["model_name"], made=told("upscaler", inputs)),)


def _patched(node: str) -> InstantNode:
    def patch(inputs: Inputs) -> tuple[Any, ...]:
        parts = (inputs["model"], inputs["clip"]) if "clip" in inputs else (inputs["model"],)
        return tuple(replace(part, made=f"{part.made} > {told(node, inputs)}") for part in parts)

    return patch


def _mixing(node: str) -> InstantNode:
    def patch(inputs: Inputs) -> tuple[Any]:
        return (replace(inputs["model"], mixing=True, made=f"{inputs['model'].made} > {told(node, inputs)}"),)

    return patch


# ── text ────────────────────────────────────────────────────────────────────────────────────────


def _encode(inputs: Inputs) -> tuple[Conditioning]:
    return (Conditioning(prompts=(inputs["text"],), made=inputs["clip"].made),)


def _encode_edit(inputs: Inputs) -> tuple[Conditioning]:
    given = (inputs.get(name) for name in ("image", "image1", "image2", "image3"))
    references = tuple(image.rows for image in given if image is not None)
    made = f"{inputs['clip'].made} > TextEncodeQwenImageEdit"
    return (Conditioning(prompts=(inputs["prompt"],), made=made, references=references),)


def _zero_out(inputs: Inputs) -> tuple[Conditioning]:
    source: Conditioning = inputs["conditioning"]
    return (replace(source, prompts=("",) * len(source.prompts), made=f"{source.made} > zero"),)


def _told_of(node: str) -> InstantNode:
    def tell(inputs: Inputs) -> tuple[Conditioning]:
        source: Conditioning = inputs["conditioning"]
        return (replace(source, made=f"{source.made} > {told(node, inputs)}"),)

    return tell


def _inpainted(inputs: Inputs) -> tuple[Conditioning, Conditioning, Latent]:
    (latent,) = _vae_encode(inputs)
    positive, negative = (
        with_reference(replace(side, made=f"{side.made} > masked by {inputs['mask']}"), latent)
        for side in (inputs["positive"], inputs["negative"])
    )
    return positive, negative, latent


def _restored(inputs: Inputs) -> tuple[Conditioning, Conditioning]:
    latent: Latent = inputs["vae_conditioning"]
    empty = Conditioning(prompts=("",) * len(latent.rows), made=told("SeedVR2Conditioning", inputs))
    side = with_reference(empty, latent)
    return side, side


def _control_net(inputs: Inputs) -> tuple[Part]:
    return (Part(kind="control", file=inputs["control_net_name"], made=told("ControlNetLoader", inputs)),)


def _controlled(inputs: Inputs) -> tuple[Conditioning, Conditioning]:
    net, hints = inputs["control_net"], inputs["image"]
    how = told("ControlNetApplyAdvanced", inputs)
    made = f"{how} by {net.made} of {[identity(hint) for hint in hints.rows]}"
    sides = (inputs["positive"], inputs["negative"])
    positive, negative = (replace(side, made=f"{side.made} > {made}") for side in sides)
    return positive, negative


def _one_colour(inputs: Inputs) -> tuple[Images]:
    size = (inputs["width"], inputs["height"])
    photo = Photo(pixels=b"colour %d" % inputs["color"], size=size)
    return (Images(rows=(photo,) * inputs["batch_size"]),)


def _joined(node: str) -> InstantNode:
    def join(inputs: Inputs) -> tuple[Conditioning]:
        names = ("conditioning_1", "conditioning_2", "conditioning_to", "conditioning_from")
        first, second = (inputs[name] for name in names if name in inputs)
        rows = max(len(first.prompts), len(second.prompts))
        pairs = zip(_repeated(first.prompts, rows), _repeated(second.prompts, rows), strict=True)
        return (
            Conditioning(
                prompts=tuple(" + ".join(pair) for pair in pairs),
                made=f"{node}({first.made}, {second.made})",
                references=first.references + second.references,
            ),
        )

    return join


def _reference(inputs: Inputs) -> tuple[Conditioning]:
    latent = inputs.get("latent")
    return (inputs["conditioning"] if latent is None else with_reference(inputs["conditioning"], latent),)


def _fused(inputs: Inputs) -> tuple[Model]:
    model: Model = inputs["model"]
    positive: Conditioning = inputs["positive"]
    return (replace(model, fused_for=positive.prompts),)


# ── rows ────────────────────────────────────────────────────────────────────────────────────────


def _join_rows(inputs: Inputs) -> tuple[Any]:
    given = [inputs[f"row{index}"] for index in range(len(inputs))]
    first = given[0]
    if isinstance(first, Conditioning):
        return (joined(given),)
    sizes = {each.size for each in given} if isinstance(first, Images | Latent) else set()
    if len(sizes) > 1 or (not sizes and any(each != first for each in given)):
        raise NodeFailure("The people of a batch have unequal sizes or settings, which cannot run together.")
    if not sizes:
        return (first,)
    joint = replace(first, rows=tuple(row for each in given for row in each.rows))
    if isinstance(first, Latent):
        joint = replace(joint, masks=tuple(mask for each in given for mask in each.masks))
    return (joint,)


def _take_row(inputs: Inputs) -> tuple[Latent]:
    samples: Latent = inputs["samples"]
    row = slice(inputs["row"], inputs["row"] + 1)
    return (replace(samples, rows=samples.rows[row], masks=samples.masks[row]),)


# ── noise, sampler, schedule, guider ────────────────────────────────────────────────────────────


def _noise(inputs: Inputs) -> tuple[Noise]:
    return (Noise(seed=inputs["noise_seed"]),)


def _no_noise(inputs: Inputs) -> tuple[None]:
    return (None,)


def _noise_batch(inputs: Inputs) -> tuple[Noise]:
    return (Noise(own=seeds("RandomNoiseBatch", inputs["seeds"])),)


def _sampler(inputs: Inputs) -> tuple[Sampler]:
    return (Sampler(name=inputs["sampler_name"]),)


def _named_sampler(name: str) -> InstantNode:
    return lambda inputs: (Sampler(name=name),)


def _sampler_batch(inputs: Inputs) -> tuple[Sampler]:
    sampler: Sampler = inputs["sampler"]
    if sampler.name in _NEVER_EXACT:
        raise refusal("SamplerBatch", "sampler", f"{sampler.name} makes each picture from the whole batch.")
    return (replace(sampler, own=seeds("SamplerBatch", inputs["seeds"])),)


def _flux2_schedule(inputs: Inputs) -> tuple[Sigmas]:
    return (Sigmas(steps=int(inputs["steps"]), made=told("Flux2Scheduler", inputs)),)


def _schedule(inputs: Inputs) -> tuple[Sigmas]:
    steps, denoise = int(inputs["steps"]), float(inputs["denoise"])
    made = repr((inputs["scheduler"], steps, denoise, inputs["model"].made))
    return (Sigmas(steps=steps if denoise > 0 else 0, made=made, denoise=denoise),)


def _late_levels(inputs: Inputs) -> tuple[Sigmas, Sigmas]:
    """SplitSigmas: the levels of the first steps, and the rest."""
    sigmas, step = inputs["sigmas"], inputs["step"]
    late = max(0, sigmas.steps - step)
    return (
        replace(sigmas, steps=sigmas.steps - late, made=f"{sigmas.made} up to {step}"),
        Sigmas(steps=late, made=f"{sigmas.made} from {step}", denoise=late / sigmas.steps),
    )


def ksampler_sigmas(inputs: Inputs) -> tuple[Sigmas]:
    """The schedule that KSampler makes of its own inputs."""
    (sigmas,) = _schedule(inputs)
    if inputs["sampler_name"] in _LESS_ONE_LEVEL:
        sigmas = replace(sigmas, made=f"{sigmas.made} less one level")
    start, end = inputs.get("start_at_step", 0), min(inputs.get("end_at_step", sigmas.steps), sigmas.steps)
    if (start, end) != (0, sigmas.steps):
        leftover = end < sigmas.steps and inputs["return_with_leftover_noise"]
        sigmas = Sigmas(
            steps=max(0, end - start),
            made=f"{sigmas.made} from {start} to {end} ({leftover})",
            denoise=1 - start / sigmas.steps,
        )
    return (sigmas,)


def _cfg_guider(inputs: Inputs) -> tuple[Guider]:
    return (guided(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),)


def _basic_guider(inputs: Inputs) -> tuple[Guider]:
    return (Guider(model=inputs["model"], positive=inputs["conditioning"]),)


def _dual_guider(inputs: Inputs) -> tuple[Guider]:
    others = (inputs["cond2"], inputs["negative"])
    scale = told("DualCFGGuider", inputs)
    return (Guider(model=inputs["model"], positive=inputs["cond1"], others=others, scale=scale),)


# ── latents and pictures ────────────────────────────────────────────────────────────────────────


def _empty_latent(step: int) -> InstantNode:
    def node(inputs: Inputs) -> tuple[Latent]:
        size = (inputs["width"] // step * step, inputs["height"] // step * step)
        return (Latent(size=size, rows=(None,) * inputs["batch_size"]),)

    return node


def _latent_size(inputs: Inputs) -> tuple[Latent]:
    latent: Latent = inputs["samples"]
    if "scale_by" in inputs:
        size = (round(latent.size[0] * inputs["scale_by"]), round(latent.size[1] * inputs["scale_by"]))
    else:
        size = (inputs["width"] or latent.size[0], inputs["height"] or latent.size[1])
    way = f"latent {inputs['upscale_method']}"
    rows = tuple(None if row is None else scaled(row, size, way) for row in latent.rows)
    return (Latent(size=size, rows=rows),)


def _latent_slice(inputs: Inputs) -> tuple[Latent]:
    latent: Latent = inputs["samples"]
    return (replace(latent, rows=_slice(latent.rows, inputs["batch_index"], inputs["length"])),)


def _latent_join(inputs: Inputs) -> tuple[Latent]:
    first, second = inputs["samples1"], inputs["samples2"]
    return (replace(first, rows=(*first.rows, *second.rows)),)


def _latent_repeat(inputs: Inputs) -> tuple[Latent]:
    latent: Latent = inputs["samples"]
    return (replace(latent, rows=latent.rows * inputs["amount"]),)


def _vae_encode(inputs: Inputs) -> tuple[Latent]:
    images: Images = inputs["pixels"]
    width, height = images.size
    size = (width // 8 * 8, height // 8 * 8)
    return (Latent(size=size, rows=tuple(scaled(row, size, "cut") for row in images.rows)),)


def _masked(inputs: Inputs) -> tuple[Latent]:
    return (replace(inputs["samples"], masks=(inputs["mask"],)),)


def _threshold(inputs: Inputs) -> tuple[Mask]:
    mask, value = inputs["mask"], inputs["value"]
    return (replace(mask, pixels=mask.image.point(lambda grey: 255 if grey / 255 > value else 0).tobytes()),)


def _composite(inputs: Inputs) -> tuple[Images]:
    under, over = inputs["destination"], inputs["source"]
    if not under.size == over.size == inputs["mask"].size:
        raise NodeFailure("the embedded server composes pictures of equal size only", "NotImplementedError")
    pairs = zip(over.rows, under.rows, strict=True)
    return (Images(rows=tuple(Composite(over=a, under=b, mask=inputs["mask"]) for a, b in pairs)),)


def _image_scale(inputs: Inputs) -> tuple[Images]:
    images: Images = inputs["image"]
    width, height = inputs["width"], inputs["height"]
    old_width, old_height = images.size
    size = (
        width or max(1, round(old_width * height / old_height)),
        height or max(1, round(old_height * width / old_width)),
    )
    return (Images(rows=tuple(scaled(row, size, inputs["upscale_method"]) for row in images.rows)),)


def _image_scale_by(inputs: Inputs) -> tuple[Images]:
    images: Images = inputs["image"]
    size = (round(images.size[0] * inputs["scale_by"]), round(images.size[1] * inputs["scale_by"]))
    return (Images(rows=tuple(scaled(row, size, inputs["upscale_method"]) for row in images.rows)),)


def _padded(inputs: Inputs) -> tuple[Images, str]:
    images: Images = inputs["image"]
    width, height = images.size
    size = (width + inputs["left"] + inputs["right"], height + inputs["top"] + inputs["bottom"])
    way = told("pad", inputs)
    return Images(rows=tuple(scaled(row, size, way) for row in images.rows)), way


def _scale_to_pixels(inputs: Inputs) -> tuple[Images]:
    step = inputs["resolution_steps"]
    return (_of_pixels(inputs["image"], inputs["megapixels"], step, inputs["upscale_method"]),)


def _of_pixels(images: Images, megapixels: float, step: int, way: str) -> Images:
    rows: list[Recipe] = []
    for row in images.rows:
        width, height = row.size
        factor = (megapixels * 1024 * 1024 / (width * height)) ** 0.5
        size = (round(width * factor / step) * step, round(height * factor / step) * step)
        rows.append(scaled(row, size, way))
    return Images(rows=tuple(rows))


def _image_size(inputs: Inputs) -> tuple[int, int, int]:
    images: Images = inputs["image"]
    return (*images.size, len(images.rows))


def _image_join(inputs: Inputs) -> tuple[Images]:
    first: Images = inputs["image1"]
    second: Images = inputs["image2"]
    return (Images(rows=(*first.rows, *(scaled(row, first.size, "bilinear") for row in second.rows))),)


def _image_slice(inputs: Inputs) -> tuple[Images]:
    images: Images = inputs["image"]
    return (Images(rows=_slice(images.rows, inputs["batch_index"], inputs["length"])),)


INSTANT_NODES: Mapping[str, InstantNode] = {
    "CLIPLoader": _clip,
    "CLIPLoaderGGUF": _clip,
    "DualCLIPLoader": _clip,
    "DualCLIPLoaderGGUF": _clip,
    "VAELoader": _vae,
    "UpscaleModelLoader": _upscaler,
    "ControlNetLoader": _control_net,
    "ControlNetApplyAdvanced": _controlled,
    "EmptyImage": _one_colour,
    "LoraLoader": _patched("LoraLoader"),
    "LoraLoaderModelOnly": _patched("LoraLoaderModelOnly"),
    "ModelSamplingAuraFlow": _patched("ModelSamplingAuraFlow"),
    "ModelSamplingFlux": _patched("ModelSamplingFlux"),
    "ModelSamplingSD3": _patched("ModelSamplingSD3"),
    "CFGNorm": _patched("CFGNorm"),
    "DifferentialDiffusion": _patched("DifferentialDiffusion"),
    "EasyCache": _mixing("EasyCache"),
    "HyperTile": _mixing("HyperTile"),
    "LazyCache": _mixing("LazyCache"),
    "Mahiro": _mixing("Mahiro"),
    "NAGuidance": _mixing("NAGuidance"),
    "RenormCFG": _mixing("RenormCFG"),
    "SamplerDPMAdaptative": _named_sampler("dpm_adaptive"),
    "SamplerLCMUpscale": _named_sampler("lcm_upscale"),
    "CLIPTextEncode": _encode,
    "TextEncodeQwenImageEdit": _encode_edit,
    "TextEncodeQwenImageEditPlus": _encode_edit,
    "JoinRows": _join_rows,
    "TakeRow": _take_row,
    "ConditioningZeroOut": _zero_out,
    "ConditioningCombine": _joined("ConditioningCombine"),
    "ConditioningConcat": _joined("ConditioningConcat"),
    "FluxGuidance": _told_of("FluxGuidance"),
    "FluxKontextMultiReferenceLatentMethod": _told_of("FluxKontextMultiReferenceLatentMethod"),
    "InpaintModelConditioning": _inpainted,
    "SeedVR2Conditioning": _restored,
    "ReferenceLatent": _reference,
    "FusedModel": _fused,
    "RandomNoise": _noise,
    "DisableNoise": _no_noise,
    "RandomNoiseBatch": _noise_batch,
    "KSamplerSelect": _sampler,
    "SamplerBatch": _sampler_batch,
    "SplitSigmas": _late_levels,
    "SetLatentNoiseMask": _masked,
    "ThresholdMask": _threshold,
    "ImageCompositeMasked": _composite,
    "Flux2Scheduler": _flux2_schedule,
    "BasicScheduler": _schedule,
    "SigmasLikeKSampler": ksampler_sigmas,
    "CFGGuider": _cfg_guider,
    "BasicGuider": _basic_guider,
    "DualCFGGuider": _dual_guider,
    "EmptyFlux2LatentImage": _empty_latent(16),
    "EmptySD3LatentImage": _empty_latent(8),
    "EmptyLatentImage": _empty_latent(8),
    "LatentUpscale": _latent_size,
    "LatentUpscaleBy": _latent_size,
    "LatentFromBatch": _latent_slice,
    "LatentBatch": _latent_join,
    "RepeatLatentBatch": _latent_repeat,
    "VAEEncode": _vae_encode,
    "VAEEncodeTiled": _vae_encode,
    "ImageScaleBy": _image_scale_by,
    "ImagePadForOutpaint": _padded,
    "FluxKontextImageScale": lambda inputs: (_of_pixels(inputs["image"], 1.0, 8, "kontext"),),
    "SeedVR2Preprocess": lambda inputs: (inputs["resized_images"],),
    "SeedVR2PostProcessing": lambda inputs: (inputs["images"],),
    "ImageScale": _image_scale,
    "ImageScaleToTotalPixels": _scale_to_pixels,
    "GetImageSize": _image_size,
    "ImageBatch": _image_join,
    "ImageFromBatch": _image_slice,
}


def _repeated(rows: tuple[str, ...], count: int) -> tuple[str, ...]:
    return tuple(rows[index % len(rows)] for index in range(count))


def _slice(rows: tuple[Any, ...], start: int, length: int) -> tuple[Any, ...]:
    start = max(0, min(len(rows) - 1, start if start >= 0 else start + len(rows)))
    return rows[start : start + length]
