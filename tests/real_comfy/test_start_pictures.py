"""Start pictures and masks, fused against alone: many graphs in ComfyUI's own executor (see
test_whole_graphs.py), and our own models on a server."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from modules.ai.fusion.fuse import example, fuse, mask_use, plain, why_no_start
from modules.ai.models.loading import load_model
from modules.ai.workflows.graph import Graph, Node, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import LoraUse, Size, SourceImage, Style, Variation
from modules.utils.images import masks
from tests.fakes import request
from tests.real_comfy.comfy import Comfy, pixel_differences, pixels
from tests.real_comfy.graphs import KLEIN, ZIMAGE
from tests.real_comfy.test_networks import FOLDER
from tests.real_comfy.test_templates import FOLDER as FLUJOS
from tests.real_comfy.test_templates import smaller
from tests.real_comfy.test_whole_graphs import OFF, PROMPTS, SIZE, Drawing, Link, both, measured


def sampled(sampler: str, network: str = "SD 1.5", latent: str = "EmptyLatentImage") -> Drawing:
    d = Drawing(network)
    return d.ends(d.decoded(d.sampled(*both(d), d.empty(latent), sampler_name=sampler)))


def ranged() -> Drawing:
    d = Drawing("SD 1.5")
    return d.ends(d.decoded(d.role("seed", d.ranged(*both(d), d.empty(), 0, 10000), "noise_seed")))


def twice() -> Drawing:
    d = Drawing("SD 1.5")
    sides = both(d)
    first = d.sampled(*sides, d.empty())
    larger = d.add("LatentUpscaleBy", samples=first, upscale_method="bislerp", scale_by=1.5)
    return d.ends(d.decoded(d.sampled(*sides, larger, denoise=0.5)))


def custom(class_type: str, network: str, latent: str, **levels: Any) -> Drawing:
    d = Drawing(network)
    text = d.text()
    guider = d.add(
        "CFGGuider",
        model=d.model,
        positive=text,
        negative=d.add("ConditioningZeroOut", conditioning=text),
        cfg=2.0,
    )
    advanced(
        d,
        guider,
        d.empty(latent),
        d.add(class_type, **levels, **({"model": d.model} if "scheduler" in levels else {})),
    )
    return d


def advanced(d: Drawing, guider: Link, latent: Link, sigmas: Link) -> None:
    noise = d.role("seed", d.add("RandomNoise", noise_seed=5), "noise_seed")
    choice = d.add("KSamplerSelect", sampler_name="euler_ancestral")
    how = {"noise": noise, "guider": guider, "sampler": choice, "sigmas": sigmas, "latent_image": latent}
    d.ends(d.decoded(d.add("SamplerCustomAdvanced", **how)))


def klein_edit() -> Drawing:
    d = Drawing("FLUX.2 Klein")
    small = d.add(
        "ImageScaleToTotalPixels", image=d.picture(), upscale_method="nearest-exact",
        megapixels=0.01, resolution_steps=1,
    )  # fmt: skip
    size = d.add("GetImageSize", image=small)
    wide = {"width": size, "height": [size[0], 1]}
    reference = d.add("VAEEncode", pixels=small, vae=d.vae)
    text = d.text()
    sides = [
        d.add("ReferenceLatent", conditioning=each, latent=reference)
        for each in (text, d.add("ConditioningZeroOut", conditioning=text))
    ]
    guider = d.add("CFGGuider", model=d.model, positive=sides[0], negative=sides[1], cfg=2.0)
    latent = d.role("batch", d.add("EmptyFlux2LatentImage", **wide, batch_size=1), "batch_size")
    advanced(d, guider, latent, d.add("Flux2Scheduler", steps=3, **wide))
    return d


def qwen_edit() -> Drawing:
    d = Drawing("Qwen-Image")
    picture = d.add(
        "ImageScale", image=d.picture(), upscale_method="area", width=64, height=64, crop="center"
    )
    sides = [
        d.text(role, "TextEncodeQwenImageEdit", "prompt", image=picture) for role in ("prompt", "negative")
    ]
    return d.ends(d.decoded(d.sampled(*sides, d.add("VAEEncode", pixels=picture, vae=d.vae), steps=2)))


def filled(*, padded: bool) -> Drawing:
    d = Drawing("Flux.1 inpainting" if padded else "SD 1.5 inpainting")
    positive, negative = both(d)
    picture = d.picture()
    if padded:
        picture = d.add(
            "ImagePadForOutpaint", image=picture, left=16, top=0, right=0, bottom=16, feathering=8
        )
    inpainted = d.add(
        "InpaintModelConditioning", positive=positive, negative=negative, vae=d.vae, pixels=picture,
        mask=[picture[0], 1], noise_mask=not padded,
    )  # fmt: skip
    model = d.add("DifferentialDiffusion", model=d.model, strength=1.0)
    latent = [inpainted[0], 2]
    return d.ends(d.decoded(d.sampled(inpainted, [inpainted[0], 1], latent, model=model)))


def encoded_with_mask(encoder: str) -> Drawing:
    d = Drawing("SD 1.5")
    sides, picture = both(d), d.picture()
    mask = [picture[0], 1]
    if encoder == "VAEEncodeForInpaint":
        latent = d.add(encoder, pixels=picture, vae=d.vae, mask=mask, grow_mask_by=6)
    else:
        latent = d.add(encoder, samples=d.add("VAEEncode", pixels=picture, vae=d.vae), mask=mask)
    return d.ends(d.decoded(d.sampled(*sides, latent)))


PAINTERS: dict[str, Callable[[], Drawing]] = {
    "KSampler": lambda: sampled("euler"),
    "KSampler with step noise": lambda: sampled("dpmpp_2m_sde"),
    "ddim, which draws a noise for the mask": lambda: sampled("ddim"),
    "Qwen-Image, whose latents have frames": lambda: sampled("euler", "Qwen-Image", "EmptySD3LatentImage"),
    "Z-Image": lambda: sampled("res_multistep", "Z-Image", "EmptySD3LatentImage"),
    "KSamplerAdvanced": ranged,
    "BasicScheduler": lambda: custom(
        "BasicScheduler", "Flux.1", "EmptySD3LatentImage", scheduler="simple", steps=3, denoise=1.0
    ),
    "Flux2Scheduler": lambda: custom(
        "Flux2Scheduler", "FLUX.2 Klein", "EmptyFlux2LatentImage", steps=3, width=64, height=64
    ),
}
EDITORS: dict[str, Callable[[], Drawing]] = {
    "FLUX.2 Klein with references": klein_edit,
    "Qwen-Image edit": qwen_edit,
    "an inpainting model": lambda: filled(padded=False),
    "an inpainting model whose graph pads": lambda: filled(padded=True),
    "VAEEncodeForInpaint": lambda: encoded_with_mask("VAEEncodeForInpaint"),
    "SetLatentNoiseMask": lambda: encoded_with_mask("SetLatentNoiseMask"),
}


def told(
    name: str, draw: Callable[[], Drawing], count: int = 3, *, strength: float | None, mask: bool
) -> str:
    """The line for the script."""
    template = draw().template()
    own = SourceImage(key="", size=SIZE)
    requests = [
        replace(
            request(prompt=PROMPTS[i], seed=100 + i, size=SIZE),
            sources=(own,),
            strength=strength,
            mask=own if mask else None,
            variation=Variation(seed=7, strength=0.3) if i > 1 else None,
        )
        for i in range(count)
    ]
    names = [[f"64x64-{i}.png", *([f"64x64-{i + 1}.png"] if mask else [])] for i in range(count)]
    keys = [f"{i:032x}" for i in range(count)]
    alone = [
        plain(template, r, key=key, source_names=n, mixes_noise=True).graph
        for r, key, n in zip(requests, keys, names, strict=True)
    ]
    fused = fuse(template, requests, keys=keys, source_names=names)
    graphs = [write_graph(graph) for graph in (fused.graph, *alone)]
    case = {"name": name, "fused": graphs[0], "alone": graphs[1:], "keys": keys}
    return json.dumps({**case, "masks": names if mask else []})


def test_all_painters_start_and_mask_and_all_editors_mask() -> None:
    for draw in PAINTERS.values():
        assert (why_no_start(draw().template()), mask_use(draw().template())) == (None, "may")
    uses = [mask_use(draw().template()) for draw in EDITORS.values()]
    assert uses == ["may", "may", "must", "best", "must", "must"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("flux", "start"),
        ("z-image", "start"),
        *[(name, how) for name in ("flux", "z-image", "flux_edit") for how in ("mask", "zoom", "pan")],
    ],
)
async def test_on_a_server_our_models_do_it_for_each_as_alone_and_keep_the_rest_to_the_bit(
    comfy: Comfy, name: str, how: str
) -> None:
    await compare(comfy, small_model(name), [how] * 3)


@pytest.mark.parametrize(
    ("name", "hows"),
    [
        ("flux", ["start"] * 3),
        ("z-image", ["start"] * 3),
        *[(name, ["zoom", "pan", "mask"]) for name in ("flux", "z-image", "flux_edit")],
    ],
)
async def test_on_a_server_a_lora_a_style_a_variation_and_masks_of_every_kind_share_a_run(
    comfy: Comfy, name: str, hows: list[str]
) -> None:
    template = small_model(name)
    file = "tiny_z_image.safetensors" if name == "z-image" else "tiny_klein.safetensors"
    lora = LoraUse(name="tiny", label="Tiny", file=file, strength=0.75, clip=True, words="grainy")
    changes: list[dict[str, Any]] = [
        {"style": Style(name="noir", label=(("en", "Noir"),), prompt="{prompt}, at night")},
        {"variation": Variation(seed=7, strength=0.3)},
        {},
    ]
    await compare(comfy, template, hows, [{"lora": lora, **each} for each in changes])


def small_model(name: str) -> WorkflowTemplate:
    template = load_model(FLUJOS / f"{name}.json").template
    return replace(template, graph=unquantised(smaller(template.graph)))


async def compare(
    comfy: Comfy,
    template: WorkflowTemplate,
    hows: list[str],
    changes: list[dict[str, Any]] | None = None,
) -> None:
    """Compare a picture for each of ``hows``, fused, with the same alone, and what is to stay with the start
    picture; none may equal what the model makes without these ``changes`` of the requests."""
    size = Size(width=192, height=160)
    people, names, pairs = [], [], []
    for i, how in enumerate(hows):
        drawn = Image.effect_noise((size.width, size.height), 90 + i).convert("RGB")
        picture, mask = parts(drawn, how)
        pairs.append((picture, mask))
        uploaded = [await send(comfy, part) for part in (picture, mask) if part is not None]
        names.append(uploaded)
        own = SourceImage(key="", size=size)
        people.append(
            replace(
                example(template),
                prompt=PROMPTS[i],
                seed=70 + i,
                size=size,
                sources=(own,),
                strength=0.4 if how == "start" else None,
                mask=None if mask is None else own,
                **(changes[i] if changes else {}),
            )
        )
    keys = [uuid.uuid4().hex for _ in people]
    await comfy.run(write_graph(fuse(template, people, keys=keys, source_names=names).graph))

    async def alone(who: int, **change: Any) -> bytes:
        key, person = uuid.uuid4().hex, replace(people[who], **change)
        graph = plain(template, person, key=key, source_names=names[who], mixes_noise=True)
        outputs = await comfy.run(write_graph(graph.graph))
        return await comfy.view(outputs[graph.places[0].node]["images"][0])

    for who, (how, key, (start, mask)) in enumerate(zip(hows, keys, pairs, strict=True)):
        lone, fused = await alone(who), await comfy.picture(key)
        largest, share = pixel_differences(pixels(fused), pixels(lone))
        print(template.name, how, largest, share)
        for change in changes[who] if changes else ():
            assert pixels(await alone(who, **{change: None})) != pixels(lone)
        assert largest <= 1
        assert share <= 0.0005
        assert pixels(fused) != start.tobytes()
        if mask is not None:
            black = mask.point(lambda grey: 0 if grey else 255)
            nothing = Image.new("RGB", black.size)
            for made in (fused, lone):
                shown = Image.frombytes("RGB", black.size, pixels(made))
                kept = [Image.composite(each, nothing, black).tobytes() for each in (shown, start)]
                assert kept[0] == kept[1]


def unquantised(graph: Graph) -> Graph:
    """With the same models' files that stock nodes load."""
    loaders = {"UnetLoaderGGUF": "UNETLoader", "CLIPLoaderGGUF": "CLIPLoader"}
    files = {
        "flux-2-klein-4b-Q5_K_M.gguf": KLEIN.unet,
        "z-image-turbo-Q5_K_M.gguf": ZIMAGE.unet,
        "Qwen3-4B-Q6_K.gguf": KLEIN.clip[0],
    }
    return {
        node_id: Node(
            class_type=loaders.get(node.class_type, node.class_type),
            inputs={name: files.get(str(value), value) for name, value in node.inputs.items()}
            | ({"weight_dtype": "default"} if node.class_type == "UnetLoaderGGUF" else {}),
        )
        for node_id, node in graph.items()
    }


def parts(drawn: Image.Image, how: str) -> tuple[Image.Image, Image.Image | None]:
    """A picture to start from, and its mask."""
    if how == "start":
        return drawn, None
    if how == "mask":
        hole = Image.new("L", drawn.size)
        hole.paste(255, (40, 30, 120, 110))
        return drawn, masks.with_seam(hole)
    return masks.zoomed(drawn, 1.5) if how == "zoom" else masks.panned(drawn, "left")


async def send(comfy: Comfy, image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return await comfy.upload(f"{uuid.uuid4().hex}.png", out.getvalue())


@pytest.mark.skipif(not FOLDER, reason="REAL_COMFY_PATH names no ComfyUI")
def test_each_person_gets_the_picture_that_they_get_alone_and_keeps_what_the_mask_leaves() -> None:
    lines = [
        *[told(f"{name} at 0.6", draw, strength=0.6, mask=False) for name, draw in PAINTERS.items()],
        told("a second, larger pass at 0.35", twice, strength=0.35, mask=False),
        *[
            told(f"{name} masked", draw, strength=None, mask=True)
            for name, draw in (PAINTERS | EDITORS).items()
        ],
        told("KSampler masked at 0.5", PAINTERS["KSampler"], strength=0.5, mask=True),
    ]
    found = measured(lines)
    print(*found, sep="\n")
    assert len(found) == len(lines)
    assert [each for each in found if "refused" in each] == []
    assert [each for each in found if each["off"] > OFF * max(1.0, each["largest"] / 20)] == []
    assert [each for each in found if each["apart"] < 100 * each["off"] or each["apart"] == 0] == []
    assert [each for each in found if each["outside"] != 0.0] == []
