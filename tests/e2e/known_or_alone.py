"""The whole bot before a ComfyUI, with models whose graphs hold what mixes the pictures of a batch, and a
crowd that asks at once. Each delivered picture is compared with the one that the stock graph gives alone."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import random
import shutil
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageStat

from modules.ai import node_pack as pack
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import SimulatedUser, files_of, text_of
from tests.discord_wiring import openapi_file
from tests.e2e.operated import ROOT, TOKEN, run_bot
from tests.real_comfy.comfy import Comfy, Graph
from tests.workflow_graphs import node

SIZE = (128, 96)
ROWS = 4
WORDS = (8, 9, 12, 25, 40, 77, 150, 300, 640)
PATIENCE = 100.0

_CACHE = {"reuse_threshold": 0.5, "start_percent": 0.0, "end_percent": 1.0, "verbose": False}

MIXING: Mapping[str, tuple[str, dict[str, Any]]] = {
    "easycache": ("EasyCache", _CACHE),
    "lazycache": ("LazyCache", _CACHE),
    "nag": ("NAGuidance", {"nag_scale": 5.0, "nag_alpha": 0.5, "nag_tau": 1.5}),
    "mahiro": ("Mahiro", {}),
    "hypertile": ("HyperTile", {"tile_size": 32, "swap_size": 2, "max_depth": 3, "scale_depth": False}),
    "renorm": ("RenormCFG", {"cfg_trunc": 100.0, "renorm_cfg": 1.0}),
    "adaptive": ("SamplerDPMAdaptative", {
        "order": 3, "rtol": 2.0, "atol": 0.5, "h_init": 0.5, "pcoeff": 0.0, "icoeff": 1.0,
        "dcoeff": 0.0, "accept_safety": 0.81, "eta": 0.0, "s_noise": 1.0,
    }),
    "lcmupscale": ("SamplerLCMUpscale", {"scale_ratio": 1.5, "scale_steps": 2, "upscale_method": "bislerp"}),
}  # fmt: skip
"""Model → the class in its graph that mixes the rows of a batch, and its inputs."""

KNOWN: Mapping[str, tuple[str, dict[str, Any]] | None] = {
    "plain": None,
    "cfgnorm": ("CFGNorm", {"strength": 1.0}),
}
"""Models beside them that are known to run together."""


def graphs(control_net: str | None = None) -> dict[str, Graph]:
    """Each class in FLUX.1 and in Z-Image, as ComfyUI exports them; and FLUX.1 with this control net, if
    there is one."""
    control = {} if control_net is None else {"flux1-control": _controlled(control_net)}
    return control | {
        f"{family}-{name}": _graph(family, patch)
        for family in ("flux1", "zimage")
        for name, patch in {**MIXING, **KNOWN}.items()
        if (family, name) != ("flux1", "hypertile")  # ComfyUI's HyperTile raises in FLUX.1
    }


def _graph(family: str, patch: tuple[str, dict[str, Any]] | None) -> Graph:
    graph: Graph = {
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "4": node("CLIPTextEncode", clip=["2", 0], text=""),
        "5": node("CLIPTextEncode", clip=["2", 0], text="fog and rain"),
        "6": node("EmptySD3LatentImage", width=SIZE[0], height=SIZE[1], batch_size=1),
        "9": node("VAEDecode", samples=["8", 0], vae=["3", 0]),
        "10": node("SaveImage", images=["9", 0], filename_prefix="known_or_alone"),
    }
    model: list[Any] = ["1", 0]
    if family == "flux1":
        names = {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors"}
        graph["1"] = node("UNETLoader", unet_name="flux1-schnell.safetensors", weight_dtype="default")
        graph["2"] = node("DualCLIPLoader", type="flux", **names)
    else:
        graph["1"] = node("UNETLoader", unet_name="z_image_turbo_bf16.safetensors", weight_dtype="default")
        graph["2"] = node("CLIPLoader", type="lumina2", clip_name="qwen_3_4b.safetensors")
        graph["11"] = node("ModelSamplingAuraFlow", model=model, shift=3.0)
        model = ["11", 0]
    if patch is not None and not patch[0].startswith("Sampler"):
        graph["7"] = node(patch[0], model=model, **patch[1])
        model = ["7", 0]
    if patch is None or not patch[0].startswith("Sampler"):
        graph["8"] = node(
            "KSampler", model=model, seed=0, steps=4, cfg=3.0, sampler_name="euler", scheduler="simple",
            positive=["4", 0], negative=["5", 0], latent_image=["6", 0], denoise=1.0,
        )  # fmt: skip
        return graph
    return {
        **graph,
        "12": node("RandomNoise", noise_seed=0),
        "13": node(patch[0], **patch[1]),
        "14": node("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0),
        "15": node("CFGGuider", model=model, positive=["4", 0], negative=["5", 0], cfg=3.0),
        "8": node(
            "SamplerCustomAdvanced", noise=["12", 0], guider=["15", 0], sampler=["13", 0], sigmas=["14", 0],
            latent_image=["6", 0],
        ),
    }  # fmt: skip


def _controlled(control_net: str) -> Graph:
    graph = _graph("flux1", None)
    graph |= {
        "20": node("ControlNetLoader", control_net_name=control_net),
        "21": node("EmptyImage", width=SIZE[0], height=SIZE[1], batch_size=1, color=0x8040C0),
        "22": node(
            "ControlNetApplyAdvanced", positive=["4", 0], negative=["5", 0], control_net=["20", 0],
            image=["21", 0], strength=0.8, start_percent=0.0, end_percent=1.0,
        ),
    }  # fmt: skip
    graph["8"]["inputs"] |= {"positive": ["22", 0], "negative": ["22", 1]}
    return graph


async def control_net_of(comfy_url: str) -> str | None:
    """The first control net for FLUX.1 that the server has, by its name."""
    async with Comfy(comfy_url) as comfy:
        told = await comfy.json("/object_info/ControlNetLoader")
    listed = told["ControlNetLoader"]["input"]["required"]["control_net_name"]
    names = listed[0] if isinstance(listed[0], list) else listed[1]["options"]
    return next((name for name in names if "flux" in name.lower()), None)


def _seed_place(graph: Graph) -> tuple[str, str]:
    return ("8", "seed") if graph["8"]["class_type"] == "KSampler" else ("12", "noise_seed")


def alone(graph: Graph, prompt: str, seed: int) -> Graph:
    """The stock graph with one request in it. Only loaders can come from the server's cache: every other node
    has one more input, which ComfyUI does not pass to it."""
    asked: Graph = json.loads(json.dumps(graph))
    asked["4"]["inputs"]["text"] = prompt
    seed_node, seed_input = _seed_place(graph)
    asked[seed_node]["inputs"][seed_input] = seed
    for each in asked.values():
        if "Loader" not in each["class_type"]:
            each["inputs"]["fullet_fresh"] = uuid.uuid4().hex
    return asked


def write_models(folder: Path, models: Mapping[str, Graph]) -> None:
    """A ``flujos`` folder of these models."""
    folder.mkdir()
    for name, graph in models.items():
        (folder / f"{name}.json").write_text(json.dumps(graph), encoding="utf-8")
        card = "\n".join([
            f'label = "{name}"', 'kind = "imagine"', "steps = 4", f'sizes = ["{SIZE[0]}x{SIZE[1]}"]',
            "[roles]", 'prompt = "4.text"', f'seed = "{".".join(_seed_place(graph))}"',
            'width = "6.width"', 'height = "6.height"', 'batch = "6.batch_size"', 'output = "10.images"',
        ])  # fmt: skip
        (folder / f"{name}.toml").write_text(card, encoding="utf-8")


@asynccontextmanager
async def product(
    folder: Path, comfy_url: str, people: int, models: Mapping[str, Graph]
) -> AsyncIterator[list[SimulatedUser]]:
    """``python bot.py`` with these models, an embedded Discord before it, ``comfy_url`` behind it, and
    people in front."""
    home = folder / "bot"
    home.mkdir()
    shutil.copy(ROOT / "bot.py", home)
    (home / "modules").symlink_to(ROOT / "modules", target_is_directory=True)
    write_models(home / "flujos", models)
    world = default_world(people + 1, bot=BotSpec(token=TOKEN))
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordServer(world, openapi=openapi_file()))
        values = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(next(iter(discord.hub.guilds))),
            "COMFY_URLS": comfy_url,
            "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}",
            "DISCORD_API_BASE": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "MAX_BATCH_SIZE": str(ROWS),
            "MAX_JOBS_PER_USER": "10",
            "BATCH_WINDOW_MS": "500",
        }
        env_file = folder / ".env"
        env_file.write_text("".join(f"{name} = '{value}'\n" for name, value in values.items()))
        bot = await stack.enter_async_context(run_bot(env_file, root=home))
        await bot.says("Engine is idle")
        users = [
            await stack.enter_async_context(
                await SimulatedUser.connect(discord.url, discord.user(f"member-{n + 1}").id)
            )
            for n in range(people)
        ]
        for user in users:
            await user.until(lambda user=user: any(c["name"] == "imagine" for c in user.commands), 30)
        yield users
        assert not any("Traceback" in line or " ERROR " in line for line in bot.lines), "\n".join(bot.lines)


@dataclass(frozen=True)
class Delivered:
    """A picture that somebody got, and the one that the stock graph gives alone."""

    model: str
    seed: int
    got: Image.Image
    lone: Image.Image


@dataclass(frozen=True)
class Comparison:
    """What came of it all. ``furthest`` is the largest difference of a byte between a delivered picture and
    its lone one; ``foreign`` are the pictures that are nearer to somebody else's lone picture."""

    delivered: int
    furthest: int
    foreign: tuple[str, ...]


async def crowd(
    comfy_url: str,
    users: list[SimulatedUser],
    batches: int,
    first_seed: int,
    stock: Mapping[str, Graph],
) -> list[Delivered]:
    """``batches`` times, `ROWS` people ask at once for the same model; two such groups at a time."""
    seeds, models = itertools.count(first_seed), itertools.cycle(sorted(stock))
    todo = iter(range(batches))

    async def one(user: SimulatedUser, comfy: Comfy, model: str, seed: int) -> Delivered:
        channel = user.channel("general")
        assert channel is not None
        prompt = _prompt(seed)
        asked = await user.command("imagine", channel["id"], model=model, prompt=prompt, seed=seed)
        await asked.reply(60)
        try:
            told = await user.wait_for_message(
                lambda m: f"seed `{seed}`" in text_of(m) and files_of(m), PATIENCE
            )
        except asyncio.TimeoutError as error:
            seen = [text_of(message) for message in user.all_messages()][-2:]
            raise AssertionError(f"{model}: no picture of seed {seed} came, but {seen}") from error
        got = _opened(await user.download(files_of(told)[0]["url"]))
        outputs = await comfy.run(alone(stock[model], prompt, seed))
        lone = _opened(await comfy.view(outputs["10"]["images"][0]))
        return Delivered(model, seed, got, lone)

    async def group(members: list[SimulatedUser], comfy: Comfy) -> list[Delivered]:
        found: list[Delivered] = []
        for _ in todo:
            model = next(models)
            asked = [one(user, comfy, model, next(seeds)) for user in members]
            found += await asyncio.gather(*asked)
        return found

    async with Comfy(comfy_url) as comfy:
        groups = [group(users[start : start + ROWS], comfy) for start in range(0, len(users), ROWS)]
        return list(itertools.chain.from_iterable(await asyncio.gather(*groups)))


def compared(pictures: list[Delivered]) -> Comparison:
    """Each picture with its lone one, and with the lone ones of everybody who asked for the same model."""
    by_model: dict[str, list[Delivered]] = defaultdict(list)
    for picture in pictures:
        by_model[picture.model].append(picture)
    foreign: list[str] = []
    for picture in pictures:
        own = _distance(picture.got, picture.lone)
        foreign += [
            f"{picture.model}: {picture.seed} is as near to {other.seed}"
            for other in by_model[picture.model]
            if other is not picture and _distance(picture.got, other.lone) <= own
        ]
    furthest = max(_largest(picture) for picture in pictures)
    return Comparison(delivered=len(pictures), furthest=furthest, foreign=tuple(foreign))


async def runs_of(comfy_url: str) -> Iterator[tuple[set[str], int]]:
    """Of each run of the bot that the server remembers, the classes and the number of pictures."""
    async with Comfy(comfy_url) as comfy:
        history = await comfy.json("/history")
    ours = [entry["prompt"][2] for entry in history.values() if "fullet_save" in entry["prompt"][2]]
    return iter(
        [
            (
                {each["class_type"] for each in graph.values()},
                len(json.loads(graph["fullet_save"]["inputs"].get("keys", "[0]"))),
            )
            for graph in ours
        ]
    )


async def assert_known_or_alone(
    folder: Path, comfy_url: str, batches: int, first_seed: int = 1000
) -> Comparison:
    """Everybody got their own picture; what is known ran together, and nothing else did."""
    models = graphs(await control_net_of(comfy_url))
    async with product(folder, comfy_url, 2 * ROWS, models) as users:
        result = compared(await crowd(comfy_url, users, batches, first_seed, models))
    assert result.delivered == batches * ROWS
    assert result.foreign == (), result.foreign
    assert result.furthest <= 2, result.furthest
    mixing = {class_type for class_type, _ in MIXING.values()}
    together = 0
    for classes, pictures in await runs_of(comfy_url):
        if classes & mixing:
            assert not classes & set(pack.CLASSES), classes
            assert pictures == 1, classes
        together += pictures > 1
    assert together > 0 or batches < len(models)
    return result


def _prompt(seed: int) -> str:
    chance = random.Random(seed)
    words = ("fox", "owl", "lake", "snow", "red", "glass", "tower", "storm", "amber", "quiet", "of", "under")
    return f"{seed} " + " ".join(chance.choice(words) for _ in range(WORDS[seed % len(WORDS)] - 1))


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _distance(one: Image.Image, other: Image.Image) -> float:
    if one.size != other.size:
        return float("inf")
    return float(sum(ImageStat.Stat(ImageChops.difference(one, other)).sum))


def _largest(picture: Delivered) -> int:
    assert picture.got.size == picture.lone.size
    extremes = ImageChops.difference(picture.got, picture.lone).getextrema()
    return max(int(high) for _, high in extremes)  # type: ignore[misc]
