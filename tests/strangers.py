"""Strangers whose pictures are made together by the whole bot, and the files that each of them is given.

Two models hold what people connect: LoRA, guidance, own negatives, an uploaded picture. What a file
must be is told by a ComfyUI of stock nodes, which runs the model's graph for one request after the other.
"""

from __future__ import annotations

import asyncio
import copy
import io
import json
import random
import re
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from modules.demo.comfy_server import ComfyServer, NoMark, ServerProfile, Timing, read_marks
from modules.demo.discord_server import default_world
from modules.demo.users import File, Payload, SimulatedUser, files_of, text_of
from modules.queue_manager.backports import timeout
from tests.discord_stand import Stand, bot_on, discord_server
from tests.integration.embedded_comfy import Graph, Listener
from tests.workflow_graphs import node

MOST = 6
"""People who ask at once, at most."""
PATIENCE = 60.0

_LOADERS: Graph = {
    "1": node("CheckpointLoaderSimple", ckpt_name="flux1-schnell-fp8.safetensors"),
    "2": node(
        "LoraLoader", model=["1", 0], clip=["1", 1], lora_name="one.safetensors", strength_model=0.5,
        strength_clip=0.5,
    ),
    "3": node("ModelSamplingSD3", model=["2", 0], shift=3.0),
    "4": node("CLIPTextEncode", clip=["2", 1], text=""),
    "5": node("CLIPTextEncode", clip=["2", 1], text="fog"),
    "6": node("FluxGuidance", conditioning=["4", 0], guidance=3.5),
    "11": node("VAEDecode", samples=["10", 0], vae=["1", 2]),
    "12": node("SaveImage", images=["11", 0], filename_prefix="mine"),
}  # fmt: skip


def _sampler(denoise: float) -> dict[str, Any]:
    return node(
        "KSampler", model=["3", 0], positive=["6", 0], negative=["5", 0], latent_image=["9", 0], seed=0,
        steps=4, cfg=2.0, sampler_name="euler_ancestral", scheduler="simple", denoise=denoise,
    )  # fmt: skip


GRAPHS: dict[str, Graph] = {
    "words": {
        **_LOADERS,
        "9": node("EmptySD3LatentImage", width=128, height=96, batch_size=1),
        "10": _sampler(1.0),
    },
    "picture": {
        **_LOADERS,
        "7": node("LoadImage", image="x.png"),
        "8": node(
            "ImageScaleToTotalPixels", image=["7", 0], upscale_method="lanczos", megapixels=0.02,
            resolution_steps=16,
        ),
        "9": node("VAEEncode", pixels=["8", 0], vae=["1", 2]),
        "10": _sampler(0.6),
    },
}  # fmt: skip
_CARDS = {
    "words": """
        label = "Words"
        kind = "imagine"
        steps = 4
        negative = "own"
        sizes = ["128x96"]
        [roles]
        prompt = "4.text"
        negative = "5.text"
        seed = "10.seed"
        width = "9.width"
        height = "9.height"
        batch = "9.batch_size"
        output = "12.images"
    """,
    "picture": """
        label = "Picture"
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
}
_PROFILE = ServerProfile(extra_models={"loras": ("one.safetensors", "two.safetensors")})
_STOCK = ServerProfile(extra_models=_PROFILE.extra_models, pack_version=None)

SECRET = re.compile(rb"secret-[0-9a-f]{16}")
_ODD = ('"], ["', "\\", "</s>", "{x|y}", "é" * 50, "")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One person's request. ``picture`` is the PNG that an edit starts from."""

    person: SimulatedUser
    model: str
    prompt: str
    negative: str
    seed: int
    picture: bytes = b""

    @property
    def secrets(self) -> frozenset[bytes]:
        """What of it nobody else may see."""
        written = SECRET.findall(f"{self.prompt} {self.negative}".encode())
        return frozenset([*written, str(self.person.id).encode()])

    @property
    def graph(self) -> Graph:
        """The model's own graph with this in it, an uploaded picture as ``x.png``."""
        graph = copy.deepcopy(GRAPHS[self.model])
        graph["4"]["inputs"]["text"] = self.prompt
        graph["10"]["inputs"]["seed"] = self.seed
        if self.negative:
            graph["5"]["inputs"]["text"] = self.negative
        return graph


@dataclass(frozen=True, kw_only=True)
class Room:
    """The bot with one GPU, a crowd, and a ComfyUI of stock nodes."""

    stand: Stand
    comfy: ComfyServer
    people: Sequence[SimulatedUser]
    stock: Listener

    def strangers(self, dice: random.Random, model: str, count: int) -> list[Asked]:
        """``count`` people with secrets of their own."""
        return [self._stranger(dice, model, person) for person in dice.sample(list(self.people), count)]

    def _stranger(self, dice: random.Random, model: str, person: SimulatedUser) -> Asked:
        def secret() -> str:
            words = " ".join(["and more"] * dice.randrange(12))
            return f"secret-{dice.getrandbits(64):016x} {dice.choice(_ODD)} {words}".strip()

        words, negative, seed = secret(), secret(), dice.getrandbits(53)
        if model == "words":
            return Asked(person=person, model=model, prompt=words, negative=negative, seed=seed)
        picture = io.BytesIO()
        Image.frombytes("RGB", (160, 120), dice.randbytes(160 * 120 * 3)).save(picture, "PNG")
        return Asked(
            person=person, model=model, prompt=words, negative="", seed=seed, picture=picture.getvalue()
        )

    async def ask(self, asked: Sequence[Asked]) -> list[bytes | None]:
        """Everybody asks before the queue goes on; the file that each was given, None for no file."""
        queue = self.stand.queue
        queue.pause()
        try:
            await asyncio.gather(*(self._type(each) for each in asked))
        finally:
            queue.resume()
        async with timeout(PATIENCE):
            while any(queue.active_jobs(each.person.id) for each in asked):
                await asyncio.sleep(0.005)
        return [await self._given(each) for each in asked]

    async def _type(self, asked: Asked) -> None:
        options: dict[str, Any] = {"model": asked.model, "prompt": asked.prompt, "seed": asked.seed}
        if asked.picture:
            options["image"] = File(filename="mine.png", data=asked.picture)
        else:
            options["negative"] = asked.negative
        command = "edit" if asked.picture else "imagine"
        reply = await (await asked.person.command(command, self.stand.general, **options)).reply(PATIENCE)
        assert "queued" in text_of(reply), text_of(reply)

    async def _given(self, asked: Asked) -> bytes | None:
        person = asked.person
        await person.history(self.stand.general, limit=1)  # whatever was sent before has come when this does

        def found(message: Payload) -> bool:
            return bool(files_of(message)) and f"seed `{asked.seed}`" in text_of(message)

        (message,) = [message for message in person.all_messages() if found(message)] or [None]
        return None if message is None else await person.download(files_of(message)[0]["url"])

    async def marks_alone(self, asked: Asked) -> tuple[int, int]:
        """The marks of the picture that the stock graph makes of this request."""
        if asked.picture:
            form = aiohttp.FormData({"overwrite": "true"})
            form.add_field("image", asked.picture, filename="x.png", content_type="image/png")
            async with self.stock.http.post("/upload/image", data=form) as answer:
                answer.raise_for_status()
        prompt_id, _ = await self.stock.run(asked.graph)
        (data,) = await self.stock.pictures(prompt_id)
        return marks(data)


@asynccontextmanager
async def crowded_room(folder: Path, people: int = MOST) -> AsyncIterator[Room]:
    """The bot between an embedded Discord and an embedded ComfyUI, with nothing in its models' folder but the
    two models."""
    models = folder / "models"
    models.mkdir()
    for name, graph in GRAPHS.items():
        (models / f"{name}.json").write_text(json.dumps(graph), "utf-8")
        (models / f"{name}.toml").write_text(_CARDS[name], "utf-8")
    async with AsyncExitStack() as stack:
        comfy = await stack.enter_async_context(ComfyServer(profile=_PROFILE, drawing="plain"))
        alone = await stack.enter_async_context(ComfyServer(profile=_STOCK, drawing="plain", timing=Timing()))
        discord = await stack.enter_async_context(
            discord_server(default_world(people + 1), rate_limits=False)
        )
        stand = await stack.enter_async_context(
            bot_on(
                discord, folder, models=models, offers=None, make_engine=None, comfy_urls=(comfy.url,),
                max_batch_size=(MOST,), status_interval=5.0,
            )
        )  # fmt: skip
        await stack.enter_async_context(stand.database.lease.hold())
        await stand.until(lambda: any(engine.models for engine in stand.fleet.engines()))
        crowd = [await stand.person(f"member-{number + 1}") for number in range(people)]
        stock = Listener(await stack.enter_async_context(aiohttp.ClientSession(alone.url)))
        await stock.connect()
        stack.push_async_callback(stock.close)
        yield Room(stand=stand, comfy=comfy, people=crowd, stock=stock)


# ── what a file holds ───────────────────────────────────────────────────────────────────────────


def marks(data: bytes) -> tuple[int, int]:
    """The marks in a picture's file."""
    with Image.open(io.BytesIO(data)) as image:
        return read_marks(image.convert("RGB"))


def readable(data: bytes) -> bytes:
    """A PNG's bytes, and what its compressed texts hold."""
    inflated, at = b"", 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in (b"zTXt", b"iTXt"):
            inflated += zlib.decompressobj().decompress(data[at + 8 : at + 8 + length].rpartition(b"\0\0")[2])
        at += 12 + length
    return data + inflated


async def _foreign_bytes(room: Room, asked: Asked, data: bytes) -> int:
    """How many bytes of this person's file should not be in it: the secrets of others, anybody's id, and all
    of a picture that is not the one that the request gives alone."""
    held = readable(data)
    others = [found for found in SECRET.findall(held) if found not in asked.secrets]
    others += [b for b in (str(person.id).encode() for person in room.people) if b in held]
    try:
        own = marks(data) == await room.marks_alone(asked)
    except NoMark:
        own = False
    return sum(map(len, others)) + (0 if own else len(data))


# ── many batches ────────────────────────────────────────────────────────────────────────────────


@dataclass(kw_only=True)
class Tally:
    """What came of many batches. ``foreign`` are bytes of others in files and messages; ``refused`` jobs that
    ended without a picture."""

    files: int = 0
    refused: int = 0
    foreign: int = 0


async def run_batches(room: Room, dice: random.Random, count: int) -> Tally:
    """``count`` batches of strangers, one in eight in trouble."""
    tally = Tally()
    written: defaultdict[int, set[bytes]] = defaultdict(set)
    for _ in range(count):
        asked = room.strangers(dice, dice.choice(list(GRAPHS)), dice.randint(2, MOST))
        for each in asked:
            written[each.person.id] |= each.secrets
        await _make_trouble(room.comfy, dice, asked)
        for each, data in zip(asked, await room.ask(asked), strict=True):
            if data is None:
                tally.refused += 1
            else:
                tally.files += 1
                tally.foreign += await _foreign_bytes(room, each, data)
        room.comfy.faults.clear()
    for person in room.people:
        for message in person.all_messages():
            said = SECRET.findall(json.dumps(message, ensure_ascii=False).encode())
            tally.foreign += sum(len(secret) for secret in said if secret not in written[person.id])
    return tally


async def _make_trouble(comfy: ComfyServer, dice: random.Random, asked: Sequence[Asked]) -> None:
    trouble = dice.randrange(80)
    if trouble < 4:
        comfy.faults.set(poison=dice.choice(asked).prompt)
    elif trouble < 7:
        await comfy.drop_sockets()
    elif trouble < 8:
        comfy.faults.set(foreign_outputs=True)
    elif trouble < 9:
        comfy.faults.set(oom_above=dice.randint(1, 4))
    elif trouble < 10:
        await comfy.restart()
