"""Whose picture is it: the embedded ComfyUI's pictures tell their prompt and seed, whatever the graph."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from modules.ai.fusion.fuse import fuse, plain
from modules.ai.workflows.graph import write_graph
from modules.demo.comfy_server import (
    ComfyServer,
    Drawing,
    NoMark,
    ServerProfile,
    Timing,
    mark_of,
    picture_of,
    read_mark,
    read_marks,
    variation_seed,
)
from modules.demo.comfy_server.drawing.figures import FIGURES
from modules.demo.comfy_server.drawing.marks import stamp
from modules.demo.comfy_server.drawing.pictures import preview_of
from modules.demo.comfy_server.drawing.scenes import PLACES, scene
from modules.demo.comfy_server.drawing.subjects import Subject, subject_of
from modules.queue_manager.jobs import GenerationRequest, Size, SourceImage
from tests import workflow_graphs
from tests.examples import examples
from tests.fakes import request
from tests.integration import embedded_comfy
from tests.integration.embedded_comfy import (
    Listener,
    fused_graph,
    joined,
    mark_in_file,
    new_keys,
    opened,
    stock_graph,
    zimage_graph,
)

drawn = workflow_graphs.node


def png(size: tuple[int, int], colour: tuple[int, int, int] = (200, 30, 30), **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG", **more)
    return buffer.getvalue()


# ── the mark ────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(15), deadline=None)
@given(
    prompt=st.text(max_size=200),
    seed=st.integers(0, 2**64 - 1),
    size=st.sampled_from([(64, 64), (96, 160), (192, 192), (256, 320)]),
    kind=st.sampled_from(["PNG", "WEBP", "JPEG"]),
    factor=st.sampled_from([1.0, 0.75, 2.0]),
)
def test_the_mark_survives_encoding_and_scaling(
    prompt: str, seed: int, size: tuple[int, int], kind: str, factor: float
) -> None:
    buffer = io.BytesIO()
    picture_of(prompt, seed, size).save(buffer, kind, **({} if kind == "PNG" else {"quality": 75}))
    delivered = Image.open(io.BytesIO(buffer.getvalue()))
    seen = delivered.resize((round(size[0] * factor), round(size[1] * factor)), Image.Resampling.BICUBIC)

    assert read_mark(seen) == mark_of(prompt, seed)


def test_a_picture_follows_from_all_that_made_it() -> None:
    one = picture_of("a cat", 1, (128, 128))

    assert one.tobytes() == picture_of("a cat", 1, (128, 128)).tobytes()
    others = [picture_of("a cat", 2, (128, 128)), picture_of("a dog", 1, (128, 128))]
    others.append(picture_of("a cat", 1, (128, 128), making="by another model"))
    assert len({one.tobytes(), *(other.tobytes() for other in others)}) == 4


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart in the mean, in levels of 0 to 255."""
    levels = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return sum(levels) / len(levels)


def test_the_mark_of_a_large_picture_is_hardly_seen() -> None:
    plain = Image.linear_gradient("L").resize((1024, 1024)).convert("RGB")
    assert difference(stamp(plain, 0xDEADBEEF, 0xC0FFEE), plain) < 5


def test_a_variation_looks_like_its_original_and_another_prompt_does_not() -> None:
    size = (192, 192)
    one = picture_of("mountains at sunset", 7, size)
    varied = [picture_of("mountains at sunset", variation_seed(7, number, 0.2), size) for number in range(3)]
    others = [picture_of("a fox", 7, size), picture_of("tokyo at night", 7, size)]
    assert max(difference(one, each) for each in varied) < min(difference(one, each) for each in others) / 2
    assert len({each.tobytes() for each in (one, *varied)}) == 4


@pytest.mark.parametrize(
    ("prompts", "subject"),
    [
        (
            ("a lighthouse in the fog at night", "un faro en la niebla, de noche"),
            Subject(place="sea", time="night", weather="fog", figure="lighthouse"),
        ),
        (
            ("a castle in the snow at dawn", "un castillo en la nieve al amanecer"),
            Subject(place="mountains", time="dawn", weather="snow", figure="castle"),
        ),
        (
            ("A fox at sunset", "Un zorro al atardecer"),
            Subject(place="hills", time="sunset", weather="", figure="fox"),
        ),
    ],
)
def test_a_prompts_words_decide_what_is_painted(prompts: tuple[str, str], subject: Subject) -> None:
    assert [subject_of(words, random.Random(1)) for words in prompts] == [subject, subject]


@pytest.mark.parametrize("size", [(40, 40), (256, 96), (96, 256)])
def test_each_scene_is_painted_at_each_shape(size: tuple[int, int]) -> None:
    subjects = [Subject(place=place, time="day", weather="rain", figure="") for place in PLACES]
    subjects += [Subject(place="sea", time="aurora", weather="fog", figure=figure) for figure in FIGURES]
    for subject in subjects:
        assert scene(size, subject, random.Random(1), random.Random(2)).size == size


def test_a_preview_forms_out_of_noise() -> None:
    whole = picture_of("a castle", 3, (256, 256))
    away = [difference(preview_of(whole, (1, 2), done / 4), whole) for done in range(5)]
    assert away == sorted(away, reverse=True)
    assert away[0] > 5 * away[-1]


def test_a_picture_of_somebody_elses_has_no_mark() -> None:
    with pytest.raises(NoMark):
        read_mark(Image.new("RGB", (512, 512), (120, 130, 140)))


# ── batches ─────────────────────────────────────────────────────────────────────────────────────


async def test_each_row_of_a_fused_batch_is_its_owners(client: Listener) -> None:
    prompts, seeds, keys = ["a cat", "un niño en la montaña", 'quotes " \\ </s>'], [1, 2, 3], new_keys(3)

    await client.run(fused_graph(prompts, seeds, keys, kind="webp"))

    for prompt, seed, key in zip(prompts, seeds, keys, strict=True):
        async with client.http.get(f"/fullet/pictures/{key}") as response:
            assert response.content_type == "image/webp"
            assert mark_in_file(await response.read()) == mark_of(prompt, seed)


async def test_a_plain_graph_gives_the_same_picture_as_the_fused_one(client: Listener) -> None:
    prompt_id, _ = await client.run(stock_graph("a cat", 7))
    key = new_keys(1)
    await client.run(fused_graph(["a cat"], [7], key))

    alone = opened((await client.pictures(prompt_id))[0])
    fused = opened(await client.read(f"/fullet/pictures/{key[0]}"))
    assert alone.convert("RGB").tobytes() == fused.convert("RGB").tobytes()


async def test_two_models_paint_two_pictures_of_one_prompt_and_seed(client: Listener) -> None:
    pixels = []
    for graph in (stock_graph("a cat", 7), zimage_graph("a cat", 7)):
        prompt_id, _ = await client.run(graph)
        (data,) = await client.pictures(prompt_id)
        assert mark_in_file(data) == mark_of("a cat", 7)
        pixels.append(opened(data).convert("RGB").tobytes())

    assert pixels[0] != pixels[1]


async def test_only_the_first_row_of_a_stock_batch_is_what_its_seed_gives_alone(client: Listener) -> None:
    prompt_id, _ = await client.run(stock_graph("a cat", 7, rows=2))

    first, second = (mark_in_file(data) for data in await client.pictures(prompt_id))
    assert first == mark_of("a cat", 7)
    assert second != first


async def test_step_noise_makes_rows_wrong_unless_each_has_its_own(client: Listener) -> None:
    keys = new_keys(2)
    graph = fused_graph(["a cat", "a dog"], [1, 2], keys)
    graph["8"]["inputs"]["sampler_name"] = "euler_ancestral"
    await client.run(graph)
    wrong = mark_in_file(await client.read(f"/fullet/pictures/{keys[1]}"))
    own = json.dumps([1, 2])
    graph["15"] = {"class_type": "SamplerBatch", "inputs": {"sampler": ["8", 0], "seeds": own}}
    graph["11"]["inputs"]["sampler"] = ["15", 0]
    await client.run(graph)
    right = mark_in_file(await client.read(f"/fullet/pictures/{keys[1]}"))

    assert right == mark_of("a dog", 2)
    assert wrong != right


async def test_a_variation_is_reproducible_and_its_ends_are_the_plain_pictures(client: Listener) -> None:
    keys = new_keys(3)
    await client.run(fused_graph(["a cat"] * 3, [[1, 2, 0], [1, 2, 1], [1, 2, 0.25]], keys))

    marks = [mark_in_file(await client.read(f"/fullet/pictures/{key}")) for key in keys]
    seeds = (1, 2, variation_seed(1, 2, 0.25))
    assert marks == [mark_of("a cat", seed) for seed in seeds]


async def test_unequal_prompts_are_refused_where_nothing_keeps_them_apart(client: Listener) -> None:
    keys = new_keys(2)
    graph = fused_graph(["a cat", "a much longer prompt of a dog"], [1, 2], keys)
    graph["1"]["inputs"]["unet_name"] = "z-image-turbo-Q5_K_M.gguf"
    graph["10"]["inputs"]["model"] = ["1", 0]

    prompt_id, events = await client.run(graph)

    (error,) = (event["data"] for event in events if event["type"] == "execution_error")
    assert "put FusedModel before the sampler" in error["exception_message"]
    assert (await client.history(prompt_id))["outputs"] == {}


@pytest.mark.parametrize(
    ("node", "name", "text"),
    [
        ("7", "seeds", "[-1, 2]"),
        ("7", "seeds", "[[1, 2, 1.5], 2]"),
        ("13", "keys", '["abc", "def"]'),
    ],
)
async def test_the_pack_refuses_before_the_run_and_names_the_input(
    client: Listener, node: str, name: str, text: str
) -> None:
    graph = fused_graph(["a cat", "a dog"], [1, 2], new_keys(2))
    graph[node]["inputs"][name] = text

    body = await client.post("/prompt", {"prompt": graph}, status=400)

    (error,) = body["node_errors"][node]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert error["details"].startswith(f"{name} - {graph[node]['class_type']}: input {name}: ")


# ── what travels in the files ───────────────────────────────────────────────────────────────────


async def test_save_image_writes_the_whole_prompt_into_the_file(client: Listener) -> None:
    prompt_id, _ = await client.run(stock_graph("my secret"))

    image = opened((await client.pictures(prompt_id))[0])
    assert json.loads(image.text["prompt"])["4"]["inputs"]["text"] == "my secret"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
async def test_save_image_batch_writes_nothing_but_the_picture(client: Listener, kind: str) -> None:
    keys = new_keys(1)
    await client.run(fused_graph(["my secret"], [1], keys, kind=kind))

    data = await client.read(f"/fullet/pictures/{keys[0]}")
    image = opened(data)
    assert b"secret" not in data
    assert not getattr(image, "text", {})
    assert not image.getexif()
    assert not {"xmp", "icc_profile", "comment"} & set(image.info)


async def test_a_dropped_picture_is_gone(client: Listener) -> None:
    keys = new_keys(1)
    await client.run(fused_graph(["a cat"], [1], keys))

    async with client.http.delete(f"/fullet/pictures/{keys[0]}") as response:
        assert response.status == 204
    assert (await client.get(f"/fullet/pictures/{keys[0]}", status=404))["error"]


async def test_a_picture_waits_for_its_encoder_while_the_server_is_free_again() -> None:
    async with ComfyServer(timing=Timing(encode=0.3)) as comfy, aiohttp.ClientSession(comfy.url) as http:
        client = Listener(http)
        await client.connect()
        keys = new_keys(4)
        await client.run(fused_graph(["a"] * 4, [1, 2, 3, 4], keys))
        assert comfy.core.queue.remaining == 0
        assert not any(task.done() for task in comfy.bench.shelf._tasks.values())
        assert mark_in_file(await client.read(f"/fullet/pictures/{keys[3]}")) == mark_of("a", 4)
        await client.close()


# ── previews ────────────────────────────────────────────────────────────────────────────────────


async def test_each_row_has_previews_of_its_own(client: Listener) -> None:
    prompts, seeds, keys = ["a cat", "a dog"], [1, 2], new_keys(2)
    prompt_id, events = await client.run(fused_graph(prompts, seeds, keys, every=2, size=256))

    previews = [event["data"] for event in events if event["type"] == "fullet_preview"]
    assert [(data["step"], data["key"]) for data in previews] == [
        (step, key) for step in (2, 4) for key in keys
    ]
    for data in previews:
        image = opened(base64.b64decode(data["image"]))
        index = keys.index(data["key"])
        assert (data["prompt_id"], data["steps"], image.format) == (prompt_id, 4, "JPEG")
        assert max(image.size) <= 256
        assert read_mark(image) == mark_of(prompts[index], seeds[index])


# ── edits and upscaling ─────────────────────────────────────────────────────────────────────────


def edit_graph(load: dict[str, Any], prompt: str = "make it blue") -> dict[str, Any]:
    """The official FLUX.2 Klein edit: the result's size follows from the scaled source."""
    graph = stock_graph(prompt, 5)
    graph["20"] = load
    graph["21"] = {
        "class_type": "ImageScaleToTotalPixels",
        "inputs": {
            "image": ["20", 0],
            "upscale_method": "nearest-exact",
            "megapixels": 0.1,
            "resolution_steps": 1,
        },
    }
    graph["22"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["21", 0], "vae": ["3", 0]}}
    graph["23"] = {"class_type": "GetImageSize", "inputs": {"image": ["21", 0]}}
    for node, source in (("24", "4"), ("25", "5")):
        graph[node] = {
            "class_type": "ReferenceLatent",
            "inputs": {"conditioning": [source, 0], "latent": ["22", 0]},
        }
    graph["10"]["inputs"].update(positive=["24", 0], negative=["25", 0])
    for node in ("6", "9"):
        graph[node]["inputs"].update(width=["23", 0], height=["23", 1])
    return graph


async def _upload(client: Listener, data: bytes, name: str) -> str:
    form = aiohttp.FormData()
    form.add_field("image", data, filename=name)
    form.add_field("subfolder", "bot")
    async with client.http.post("/upload/image", data=form) as response:
        answer = await response.json()
    return f"{answer['subfolder']}/{answer['name']}"


async def test_an_edit_shows_its_source_and_takes_its_size(client: Listener) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter: 300×200 on disk is 200×300 for a viewer
    name = await _upload(client, png((300, 200), exif=exif), "red.png")

    prompt_id, _ = await client.run(edit_graph({"class_type": "LoadImage", "inputs": {"image": name}}))

    image = opened((await client.pictures(prompt_id))[0])
    assert image.size == (256, 384)
    assert read_mark(image) == mark_of("make it blue", 5)
    red, green, blue = image.convert("RGB").getpixel((128, 270))  # type: ignore[misc]
    assert red > 150 > green
    assert red > 150 > blue


_OF_ROWS = ("4", "text0", "text1", "7", "13")


async def test_fused_edits_keep_each_rows_source(client: Listener) -> None:
    names = [
        await _upload(client, png((200, 200), (220, 20, 20)), "a.png"),
        await _upload(client, png((400, 400), (20, 20, 220)), "b.png"),
    ]
    keys = new_keys(2)
    graph = edit_graph(joined(["scaled0", "scaled1"]))
    for row, name in enumerate(names):
        graph[f"loaded{row}"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        scaling = {"megapixels": 0.1, "upscale_method": "area", "resolution_steps": 1}
        scaling["image"] = [f"loaded{row}", 0]
        graph[f"scaled{row}"] = {"class_type": "ImageScaleToTotalPixels", "inputs": scaling}
    graph.update({n: node for n, node in fused_graph(["x", "y"], [1, 2], keys).items() if n in _OF_ROWS})
    graph["6"]["inputs"]["batch_size"] = 2
    await client.run(graph)

    pictures = [opened(await client.read(f"/fullet/pictures/{key}")).convert("RGB") for key in keys]
    assert [read_mark(picture) for picture in pictures] == [mark_of("x", 1), mark_of("y", 2)]
    centres = [picture.getpixel((picture.width // 2, picture.height * 7 // 10)) for picture in pictures]
    assert centres[0][0] > 150 > centres[0][2]  # type: ignore[index]
    assert centres[1][2] > 150 > centres[1][0]  # type: ignore[index]


async def test_an_edit_of_two_pictures_shows_both(client: Listener) -> None:
    names = [
        await _upload(client, png((200, 200), (220, 20, 20)), "a.png"),
        await _upload(client, png((200, 200), (20, 20, 220)), "b.png"),
    ]
    graph = edit_graph({"class_type": "LoadImage", "inputs": {"image": names[0]}})
    graph["30"] = {"class_type": "LoadImage", "inputs": {"image": names[1]}}
    graph["31"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["30", 0], "vae": ["3", 0]}}
    for node, before, input_name in (("32", "24", "positive"), ("33", "25", "negative")):
        inputs = {"conditioning": [before, 0], "latent": ["31", 0]}
        graph[node] = {"class_type": "ReferenceLatent", "inputs": inputs}
        graph["10"]["inputs"][input_name] = [node, 0]

    prompt_id, _ = await client.run(graph)

    image = opened((await client.pictures(prompt_id))[0]).convert("RGB")
    left, right = (image.getpixel((image.width * x // 10, image.height * 7 // 10)) for x in (3, 7))
    assert left[0] > 150 > left[2]  # type: ignore[index]
    assert right[2] > 150 > right[0]  # type: ignore[index]


async def test_pictures_of_several_sizes_are_no_batch(client: Listener) -> None:
    names = [await _upload(client, png((60, 60)), "a.png"), await _upload(client, png((80, 60)), "b.png")]
    graph = {
        "a": {"class_type": "LoadImage", "inputs": {"image": names[0]}},
        "b": {"class_type": "LoadImage", "inputs": {"image": names[1]}},
        "1": joined(["a", "b"]),
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    _, events = await client.run(graph)

    (error,) = (event["data"] for event in events if event["type"] == "execution_error")
    assert "have unequal sizes" in error["exception_message"]
    assert error["exception_type"] == "ValueError"


async def test_an_upload_that_is_no_picture_fails_in_the_run(client: Listener) -> None:
    name = await _upload(client, b"no picture", "x.png")
    _, events = await client.run(edit_graph({"class_type": "LoadImage", "inputs": {"image": name}}))

    (error,) = (event["data"] for event in events if event["type"] == "execution_error")
    assert error["exception_message"].startswith("cannot identify image file")
    assert error["exception_type"] == "PIL.UnidentifiedImageError"


async def test_an_upscaled_picture_is_still_its_owners(client: Listener) -> None:
    graph = stock_graph("a cat", 3, size=192)
    graph["20"] = {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "RealESRGAN_x2plus.pth"}}
    graph["21"] = {
        "class_type": "ImageUpscaleWithModel",
        "inputs": {"upscale_model": ["20", 0], "image": ["12", 0]},
    }
    graph["13"]["inputs"]["images"] = ["21", 0]
    prompt_id, _ = await client.run(graph)

    image = opened((await client.pictures(prompt_id))[0])
    assert image.size == (384, 384)
    assert read_mark(image) == mark_of("a cat", 3)


def upscaling(name: str, model: str = "RealESRGAN_x2plus.pth") -> embedded_comfy.Graph:
    """An uploaded picture, enlarged."""
    return {
        "1": drawn("LoadImage", image=name),
        "2": drawn("UpscaleModelLoader", model_name=model),
        "3": drawn("ImageUpscaleWithModel", upscale_model=["2", 0], image=["1", 0]),
        "4": drawn("SaveImage", images=["3", 0], filename_prefix="mine"),
    }


@pytest.mark.parametrize("drawing", ["full", "plain"])
async def test_an_enlarged_upload_tells_whose_it_was_what_it_was_and_by_what_it_was_enlarged(
    drawing: Drawing,
) -> None:
    models = {"upscale_models": ("RealESRGAN_x2plus.pth", "another_x2.pth")}
    async with (
        ComfyServer(profile=ServerProfile(extra_models=models), drawing=drawing) as comfy,
        aiohttp.ClientSession(comfy.url) as http,
    ):
        client = Listener(http)
        await client.connect()

        async def enlarged(graph: embedded_comfy.Graph) -> tuple[int, int]:
            prompt_id, _ = await client.run(graph)
            return read_marks(opened((await client.pictures(prompt_id))[0]))

        buffer = io.BytesIO()
        picture_of("a cat", 3, (192, 128)).save(buffer, "PNG")
        ours = await _upload(client, buffer.getvalue(), "ours.png")
        theirs = await _upload(client, png((192, 128)), "theirs.png")
        made = [
            await enlarged(upscaling(ours)),
            await enlarged(upscaling(ours, "another_x2.pth")),
            await enlarged(upscaling(theirs)),
        ]
        await client.close()
    assert [whose for whose, _ in made] == [mark_of("a cat", 3), mark_of("a cat", 3), 0]
    assert len({how for _, how in made}) == 3


async def test_another_mask_makes_another_picture(client: Listener) -> None:
    """A mask is what is transparent in the upload; the colours under it are the same."""
    made = []
    for left in (10, 20, 20):
        buffer = io.BytesIO()
        picture = Image.new("RGBA", (128, 128), (9, 99, 199, 255))
        picture.paste((9, 99, 199, 0), (left, 0, 60, 60))
        picture.save(buffer, "PNG")
        graph = edit_graph(drawn("LoadImage", image=await _upload(client, buffer.getvalue(), f"{left}.png")))
        graph["26"] = drawn(
            "InpaintModelConditioning", positive=["4", 0], negative=["5", 0], vae=["3", 0], pixels=["20", 0],
            mask=["20", 1], noise_mask=True,
        )  # fmt: skip
        graph["10"]["inputs"].update(positive=["26", 0], negative=["26", 1])
        graph["11"]["inputs"].update(latent_image=["26", 2])
        prompt_id, _ = await client.run(graph)
        made.append(read_marks(opened((await client.pictures(prompt_id))[0])))
    assert made[0] != made[1] == made[2]


# ── all that makes a picture ────────────────────────────────────────────────────────────────────

# from a picture, with everything that people connect: checkpoint, LoRA, shift, guidance, two texts
RICH = workflow_graphs.template(
    {
        "1": drawn("CheckpointLoaderSimple", ckpt_name="flux1-schnell-fp8.safetensors"),
        "2": drawn(
            "LoraLoader", model=["1", 0], clip=["1", 1], lora_name="one.safetensors", strength_model=0.5,
            strength_clip=0.5,
        ),
        "3": drawn("ModelSamplingSD3", model=["2", 0], shift=3.0),
        "4": drawn("CLIPTextEncode", clip=["2", 1], text=""),
        "5": drawn("CLIPTextEncode", clip=["2", 1], text=""),
        "6": drawn("FluxGuidance", conditioning=["4", 0], guidance=3.5),
        "7": drawn("LoadImage", image="x.png"),
        "8": drawn(
            "ImageScaleToTotalPixels", image=["7", 0], upscale_method="lanczos", megapixels=0.1,
            resolution_steps=16,
        ),
        "9": drawn("VAEEncode", pixels=["8", 0], vae=["1", 2]),
        "10": drawn(
            "KSampler", model=["3", 0], positive=["6", 0], negative=["5", 0], latent_image=["9", 0], seed=0,
            steps=4, cfg=2.0, sampler_name="euler_ancestral", scheduler="simple", denoise=0.6,
        ),
        "11": drawn("VAEDecode", samples=["10", 0], vae=["1", 2]),
        "12": drawn("SaveImage", images=["11", 0], filename_prefix="mine"),
    },
    """
    label = "Rich"
    kind = "edit"
    steps = 4
    negative = "own"
    source_count = [1, 1]
    [roles]
    prompt = "4.text"
    negative = "5.text"
    seed = "10.seed"
    sources = "7.image"
    output = "12.images"
    """,
    "rich",
)  # fmt: skip
STOCKED = ServerProfile(
    extra_models={
        "checkpoints": ("another.safetensors",),
        "loras": ("one.safetensors", "two.safetensors"),
    }
)
Change = Callable[[embedded_comfy.Graph], None]


def image_request(number: int) -> GenerationRequest:
    """Nothing of it is another's: prompt, negative, seed."""
    return request(
        kind="edit", model="rich", prompt=f"a cat, number {number}", negative=f"a dog, number {number}",
        seed=100 + number, sources=(SourceImage(key=str(number), size=Size(width=200, height=200)),),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def stocked() -> AsyncIterator[tuple[Listener, list[str]]]:
    """A client before a server that has all of `RICH`, and the names of three uploaded pictures."""
    async with (
        ComfyServer(profile=STOCKED, drawing="plain") as comfy,
        aiohttp.ClientSession(comfy.url) as http,
    ):
        client = Listener(http)
        await client.connect()
        names = [await _upload(client, png((200, 200), (60 * n, 0, 0)), f"{n}.png") for n in range(3)]
        yield client, names
        await client.close()


async def alone(client: Listener, number: int, name: str, change: Change = lambda graph: None) -> Any:
    """What the plain graph, changed, gives for `image_request(number)`: marks and pixels."""
    made = write_graph(plain(RICH, image_request(number), key="0" * 32, source_names=[name]).graph)
    change(made)
    prompt_id, _ = await client.run(made)
    (data,) = await client.pictures(prompt_id)
    return read_marks(opened(data)), opened(data).convert("RGB").tobytes()


async def together(client: Listener, names: list[str], change: Change = lambda graph: None) -> list[Any]:
    """What the fused graph, changed, gives for the first requests: marks and pixels of each row."""
    keys = new_keys(len(names))
    requests = [image_request(number) for number in range(len(names))]
    made = write_graph(fuse(RICH, requests, keys=keys, source_names=[[name] for name in names]).graph)
    change(made)
    _, events = await client.run(made)
    assert events[-3]["type"] == "execution_success", events
    files = [opened(await client.read(f"/fullet/pictures/{key}")) for key in keys]
    return [(read_marks(image), image.convert("RGB").tobytes()) for image in files]


def write(class_type: str, name: str, value: Any) -> Change:
    """Writes ``value`` into the one node of this class; a function is given what stands there."""

    def change(graph: embedded_comfy.Graph) -> None:
        (found,) = [each for each in graph.values() if each["class_type"] == class_type]
        assert name in found["inputs"]
        found["inputs"][name] = value(found["inputs"][name]) if callable(value) else value

    return change


async def test_each_row_of_a_rich_graph_is_the_picture_of_its_request_alone() -> None:
    async with stocked() as (client, names):
        fused = await together(client, names)
        assert fused == [await alone(client, number, name) for number, name in enumerate(names)]
    assert [marks[0] for marks, _ in fused] == [
        mark_of(each.prompt, each.seed) for each in map(image_request, range(3))
    ]
    assert len({marks for marks, _ in fused}) == 3


@pytest.mark.parametrize(
    "change",
    [
        write("CheckpointLoaderSimple", "ckpt_name", "another.safetensors"),
        write("LoraLoader", "lora_name", "two.safetensors"),
        write("LoraLoader", "strength_model", 0.6),
        write("LoraLoader", "strength_clip", 0.6),
        write("ModelSamplingSD3", "shift", 3.1),
        write("FluxGuidance", "guidance", 4.0),
        write("ImageScaleToTotalPixels", "upscale_method", "area"),
        write("KSampler", "steps", 5),
        write("KSampler", "cfg", 2.5),
        write("KSampler", "sampler_name", "euler"),
        write("KSampler", "scheduler", "karras"),
        write("KSampler", "denoise", 0.7),
        write("KSampler", "seed", 7),
        write("ImageScaleToTotalPixels", "megapixels", 0.05),
        lambda graph: graph["4"]["inputs"].update(text="a wolf"),
        lambda graph: graph["5"]["inputs"].update(text="a wolf"),
        lambda graph: graph["10"]["inputs"].update(negative=["6", 0]),
        lambda graph: graph["10"]["inputs"].update(positive=["4", 0]),
    ],
    ids=lambda change: getattr(change, "__name__", ""),
)
async def test_whatever_makes_a_picture_is_in_its_mark(change: Change) -> None:
    async with stocked() as (client, names):
        marks, pixels = await alone(client, 0, names[0])
        other_marks, other_pixels = await alone(client, 0, names[0], change)
    assert other_marks != marks
    assert other_pixels != pixels


async def test_another_original_makes_another_picture() -> None:
    async with stocked() as (client, names):
        (first, _), (second, _) = [await alone(client, 0, name) for name in names[:2]]
    assert first != second


@pytest.mark.parametrize("scale", [1.0, 2.0])
async def test_a_negative_counts_where_guidance_does(scale: float) -> None:
    """At a scale of 1 a real server does not compute it."""

    def guided(negative: str) -> Change:
        def change(graph: embedded_comfy.Graph) -> None:
            graph["10"]["inputs"].update(cfg=scale)
            graph["5"]["inputs"].update(text=negative)

        return change

    async with stocked() as (client, names):
        one = await alone(client, 0, names[0], guided("rain"))
        two = await alone(client, 0, names[0], guided("snow"))
    assert (one == two) == (scale == 1.0)


def crossed(text: str) -> str:
    """A JSON array whose first two entries have changed places."""
    first, second, *rest = json.loads(text)
    return json.dumps([second, first, *rest])


def swapped(join: str) -> Change:
    """The first two people's things change places where they are joined."""

    def change(graph: embedded_comfy.Graph) -> None:
        rows = graph[join]["inputs"]
        rows.update(row0=rows["row1"], row1=rows["row0"])

    return change


@pytest.mark.parametrize(
    "change",
    [
        swapped("fullet_10_positive"),
        swapped("fullet_10_negative"),
        swapped("fullet_10_latent_image"),
        write("RandomNoiseBatch", "seeds", crossed),
        write("SamplerBatch", "seeds", crossed),
        swapped("fullet_pictures"),
        write("SaveImageBatch", "keys", crossed),
    ],
    ids=["prompts", "negatives", "originals", "start noise", "step noise", "pictures", "keys"],
)
async def test_what_is_crossed_between_two_people_is_seen_in_their_pictures_alone(change: Change) -> None:
    async with stocked() as (client, names):
        right, wrong = await together(client, names), await together(client, names, change)
    assert wrong[0][0] != right[0][0]
    assert wrong[1][0] != right[1][0]
    assert wrong[2] == right[2]


@pytest.mark.parametrize(
    "change",
    [
        write("CFGGuider", "cfg", 3.0),
        write("CFGGuider", "negative", ["4", 0]),
        write("SigmasLikeKSampler", "scheduler", "karras"),
        write("SigmasLikeKSampler", "denoise", 0.7),
        write("SigmasLikeKSampler", "sampler_name", "dpm_2"),
        write("KSamplerSelect", "sampler_name", "dpmpp_2m_sde"),
        lambda graph: graph["10"]["inputs"].update(sampler=["fullet_10_select", 0]),
    ],
    ids=["guidance", "negative", "scheduler", "denoise", "levels", "sampler", "shared step noise"],
)
async def test_what_a_fused_run_does_otherwise_is_seen_in_its_pictures(change: Change) -> None:
    async with stocked() as (client, names):
        right, wrong = await together(client, names), await together(client, names, change)
    assert [marks for marks, _ in wrong][1:] != [marks for marks, _ in right][1:]
    assert not {marks for marks, _ in wrong[1:]} & {marks for marks, _ in right[1:]}
