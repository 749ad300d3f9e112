"""What comes out: pictures under keys, with nothing of anybody else, and a preview of each on the way."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import struct
import uuid

import aiohttp
import pytest
from PIL import Image

from modules.queue_manager.backports import timeout
from tests.real_comfy.comfy import Comfy, RunFailed, largest_difference, pixels
from tests.real_comfy.graphs import KLEIN, ZIMAGE, ImageRequest, Settings, fused, stock

SMALL = Settings(family=ZIMAGE, steps=2, width=64, height=64)


def image_request(prompt: str, seed: int = 1, **more: object) -> ImageRequest:
    return ImageRequest(prompt=prompt, seed=seed, key=uuid.uuid4().hex, **more)


def png_chunks(content: bytes) -> set[str]:
    chunks, at = set(), 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.add(content[at + 4 : at + 8].decode())
        at += 12 + length
    return chunks


async def test_the_pack_says_that_it_is_there(comfy: Comfy) -> None:
    told = await comfy.json("/fullet/version")
    assert told["version"] == "2.0.0"
    table = await comfy.json("/object_info")
    assert set(told["nodes"]) <= set(table)
    assert table["SaveImageBatch"]["description"].startswith("FuLLet 2.0.0")


async def test_fifty_batches_deliver_their_pixels_and_nothing_else(comfy: Comfy) -> None:
    dice = random.Random(8)
    for batch in range(50):
        people = [
            image_request(
                f"secret of person {batch}-{i} " + "word " * dice.randint(0, 90), dice.randint(0, 2**63)
            )
            for i in range(dice.randint(1, 4))
        ]
        outputs = await comfy.run(fused(SMALL, people))
        told = outputs["save"]["fullet"]
        assert told == [{"key": p.key, "url": f"/fullet/pictures/{p.key}"} for p in people]
        for person in people:
            content = await comfy.picture(person.key)
            assert png_chunks(content) == {"IHDR", "IDAT", "IEND"}
            assert b"secret" not in content
            assert Image.open(io.BytesIO(content)).info == {}


@pytest.mark.parametrize(
    ("kind", "content_type"), [("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")]
)
async def test_a_picture_is_served_again_and_again_until_it_is_dropped(
    comfy: Comfy, kind: str, content_type: str
) -> None:
    person = image_request("fox")
    graph = fused(SMALL, [person])
    graph["save"]["inputs"] |= {"format": kind, "quality": 70}
    await comfy.run(graph)
    url = comfy.url(f"/fullet/pictures/{person.key}")
    for _ in range(2):
        async with comfy.session.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, content_type)
            with Image.open(io.BytesIO(await answer.read())) as opened:
                assert (opened.format, opened.size) == (kind.upper(), (64, 64))
                assert not {"exif", "xmp", "icc_profile"} & set(opened.info)
    async with comfy.session.delete(url) as answer:
        assert answer.status == 204
    for method in (comfy.session.get, comfy.session.delete):
        async with method(url) as answer:
            assert answer.status == 404


@pytest.mark.parametrize("key", ["0" * 32, "0" * 31, "x" * 32, "..%2f..%2fetc%2fpasswd", "%00"])
async def test_an_unknown_key_is_not_found(comfy: Comfy, key: str) -> None:
    async with comfy.session.get(comfy.url("/fullet/pictures/") + key) as answer:
        assert answer.status == 404


async def test_the_same_prompt_again_saves_again(comfy: Comfy) -> None:
    person = image_request("fox")
    graph = fused(SMALL, [person])
    await comfy.run(graph)
    first = await comfy.picture(person.key)
    async with comfy.session.delete(comfy.url(f"/fullet/pictures/{person.key}")) as answer:
        assert answer.status == 204
    await comfy.run(graph)
    assert await comfy.picture(person.key) == first


async def test_each_person_sees_a_preview_of_their_own_picture(comfy: Comfy) -> None:
    settings = Settings(family=ZIMAGE, steps=4, width=128, height=64)
    people = [
        image_request("fox", 1),
        image_request("a much longer prompt about an owl", 2),
        image_request("elk", 3),
    ]
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    async with listen(comfy, mine) as socket, listen(comfy, other) as bystander:
        prompt_id = await comfy.submit(fused(settings, people, preview_every=2), mine)
        previews = await events(socket, prompt_id)
        await comfy.run(fused(SMALL, [image_request("last")]))
        overheard = [message async for message in drained(bystander)]
    assert [(p["key"], p["step"], p["steps"]) for p in previews] == [
        (person.key, step, 4) for step in (2, 4) for person in people
    ]
    pictures = [base64.b64decode(p["image"]) for p in previews]
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as opened:
            assert (opened.format, opened.size) == ("JPEG", (256, 128))
    assert len({*pictures[-3:]}) == 3
    assert not [message for message in overheard if message["type"] == "fullet_preview"]


async def test_a_preview_does_not_depend_on_who_else_is_there(comfy: Comfy) -> None:
    settings, client = Settings(family=KLEIN, steps=2, width=128, height=128), uuid.uuid4().hex
    seen = {}
    async with listen(comfy, client) as socket:
        for others in ([], [image_request("owl", 5)]):
            person = image_request("fox", 4)
            prompt_id = await comfy.submit(fused(settings, [*others, person], preview_every=1), client)
            found = [p["image"] for p in await events(socket, prompt_id) if p["key"] == person.key]
            seen[len(others)] = [pixels(base64.b64decode(image)) for image in found]
    for alone, beside in zip(seen[0], seen[1], strict=True):
        assert max(abs(a - b) for a, b in zip(alone, beside, strict=True)) <= 8  # JPEG around a rounding


async def test_no_previews_unless_asked_for(comfy: Comfy) -> None:
    client = uuid.uuid4().hex
    async with listen(comfy, client) as socket:
        assert (
            await events(socket, await comfy.submit(fused(SMALL, [image_request("fox", 77)]), client)) == []
        )


@pytest.mark.parametrize(
    "prompt",
    [
        "quoted \"fox\" and 'owl'",
        "back\\slash \\( escaped \\)",
        "a </s> b <|endoftext|> <|im_end|> [MASK]",
        "(red fox:1.3) and ((owl)) [elk]",
        "embedding:missing fox",
        "{a|b|c} // no comment /* here */",
        "🦊 日本語 ñandú\u200b\n\tline",
        "fox, " * 2000,
        "",
    ],
    ids=range(9),
)
@pytest.mark.parametrize("family", [KLEIN, ZIMAGE], ids=lambda family: family.name)
async def test_a_prompt_reaches_the_encoder_as_the_stock_node_would_pass_it(
    comfy: Comfy, prompt: str, family
) -> None:
    settings = Settings(family=family, steps=1, width=64, height=64)
    person = image_request(prompt, 6)
    alone = await comfy.latent(await comfy.run(stock(settings, person)), "latents")
    batch = await comfy.latent(
        await comfy.run(fused(settings, [image_request("owl", 2), person, image_request(prompt + " x", 3)])),
        "latents",
    )
    assert largest_difference(batch.row(1), alone.row(0)) <= 2e-5


async def test_variations_are_the_same_beside_anyone(comfy: Comfy) -> None:
    def graph(seeds: list[object]) -> dict[str, dict[str, object]]:
        made = fused(SMALL, [image_request("fox") for _ in seeds])
        made["noise"]["inputs"]["seeds"] = made["sampler"]["inputs"]["seeds"] = json.dumps(seeds)
        return made

    async def latents(seeds: list[object]) -> list[object]:
        found = await comfy.latent(await comfy.run(graph(seeds)), "latents")
        return [found.row(i) for i in range(found.rows)]

    base, other = await latents([5, 9])
    mixed = await latents([[5, 9, 0.0], [5, 9, 0.2], [5, 9, 1.0]])
    assert largest_difference(mixed[0], base) <= 2e-5
    assert largest_difference(mixed[2], other) <= 2e-5
    assert largest_difference((await latents([[5, 9, 0.2]]))[0], mixed[1]) <= 2e-5
    assert largest_difference(mixed[1], base) > 0.1


def photo(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(width).randbytes(width * height * 3))


async def upload(comfy: Comfy, picture: Image.Image, *, turned: bool = False) -> str:
    out, exif = io.BytesIO(), Image.Exif()
    if turned:
        exif[0x0112] = 6  # its top is at the right
    picture.save(out, format="PNG", exif=exif)
    return await comfy.upload(f"{uuid.uuid4().hex}.png", out.getvalue())


async def loaded(comfy: Comfy, names: list[str]) -> list[Image.Image]:
    keys = [uuid.uuid4().hex for _ in names]
    inputs = {
        "images": ["load", 0],
        "keys": json.dumps(keys),
        "format": "png",
        "quality": 90,
        "preview_every": 0,
    }
    rows = {
        f"load{i}": {"class_type": "LoadImage", "inputs": {"image": name}} for i, name in enumerate(names)
    }
    joined = {f"row{i}": [row, 0] for i, row in enumerate(rows)}
    graph = {
        **rows,
        "load": {"class_type": "JoinRows", "inputs": joined},
        "save": {"class_type": "SaveImageBatch", "inputs": inputs},
    }
    await comfy.run(graph)
    return [Image.open(io.BytesIO(await comfy.picture(key))) for key in keys]


async def test_sources_come_upright_and_unchanged(comfy: Comfy) -> None:
    upright, lying = photo(40, 24), photo(24, 40)
    names = [await upload(comfy, upright), await upload(comfy, lying, turned=True)]
    pictures = await loaded(comfy, names)
    assert pictures[0].tobytes() == upright.tobytes()
    assert pictures[1].tobytes() == lying.transpose(Image.Transpose.ROTATE_270).tobytes()


async def test_pictures_of_unequal_size_are_no_batch(comfy: Comfy) -> None:
    names = [await upload(comfy, photo(40, 20)), await upload(comfy, photo(80, 40))]
    with pytest.raises(RunFailed, match="have unequal sizes, which cannot run together"):
        await loaded(comfy, names)


def listen(comfy: Comfy, client_id: str) -> aiohttp.client._WSRequestContextManager:
    return comfy.session.ws_connect(comfy.url(f"/ws?clientId={client_id}"))


async def events(socket: aiohttp.ClientWebSocketResponse, prompt_id: str) -> list[dict[str, object]]:
    """This prompt's previews until it has ended (and a moment longer, as they are made beside it)."""
    found, ended = [], None
    async with timeout(120):
        while ended is None or asyncio.get_running_loop().time() < ended + 0.5:
            try:
                message = await socket.receive(timeout=0.2)
            except asyncio.TimeoutError:
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if event["type"] == "fullet_preview":
                assert event["data"]["prompt_id"] == prompt_id
                found.append(event["data"])
            if event["type"] == "executing" and event["data"]["node"] is None:
                ended = asyncio.get_running_loop().time()
    return found


async def drained(socket: aiohttp.ClientWebSocketResponse):
    while True:
        try:
            message = await socket.receive(timeout=0.2)
        except asyncio.TimeoutError:
            return
        if message.type is aiohttp.WSMsgType.TEXT:
            yield json.loads(message.data)
