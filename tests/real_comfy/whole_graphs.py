"""Runs whole graphs in ComfyUI's own executor, with tiny random networks for model files; prints JSON lines.

ComfyUI's own Python runs this (see test_whole_graphs.py): python whole_graphs.py COMFYUI_FOLDER PACK_FOLDER,
with one case a line on its standard input: {"name", "fused": graph, "alone": [graph, …], "keys": [key, …]},
and "masks": [[name of the start picture, of its mask], …] where there are any.
Loaders, encoders and VAEs are stand-ins that anybody can check by eye; every other node is the real one. Each
line printed tells how far each picture of the fused graph is from its own lone one, and from anybody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import patches  # first: with networks.py, it finds ComfyUI

# isort: split
import comfy.model_management
import comfy.utils
import execution
import networks
import nodes
import torch
from fullet_nodes import fused_model, rows, sampling
from networks import build

KEPT: dict[str, torch.Tensor] = {}
LEAST = {"Flux.1": 256, "FLUX.2 Klein": 512, "HiDream-I1": 128}  # tokens that an encoder fills a text up to


SEEDVR2 = networks.Network(
    name="SeedVR2",
    model=networks.base.SeedVR2,
    config=networks.supported.SeedVR2,
    latent=(16, 1, 8, 8),
    unet={
        "image_model": "seedvr2", "norm_eps": 1e-5, "num_layers": 2, "mlp_type": "normal", "vid_dim": 128,
        "heads": 1, "head_dim": 128, "mm_layers": 1, "expand_ratio": 2, "vid_out_norm": "fusedrms",
    },
    positive=(),
    negative=(),
)  # fmt: skip


@cache
def network_of(name: str) -> networks.Network:
    plain = name.removesuffix(" inpainting")
    network = next(each for each in (*networks.NETWORKS, SEEDVR2) if each.name == plain)
    if name == plain:
        return network
    channels = {"SD 1.5": 9, "Flux.1": 16 * 2 + 64}[plain]
    return replace(network, unet={**network.unet, "in_channels": channels})


@cache
def model_of(name: str) -> Any:
    model = build(network_of(name), torch.float64)
    if name == "SD 1.5 inpainting":
        model.model.set_inpaint()
    for text, length in (("positive", 58), ("negative", 64)):
        if name == "SeedVR2":  # its texts come with its weights
            drawn = patches.drawn(text, (0,), (length, 5120))[0]
            setattr(model.model.diffusion_model, f"{text}_conditioning", drawn.double())
    return model


class Text:
    """Stands in for a CLIP: a text with its pictures becomes random numbers of its own, and of its length."""

    def __init__(self, name: str) -> None:
        self.network = network_of(name)

    def clone(self) -> Text:
        return self

    def tokenize(self, text: str, **more: Any) -> dict[str, Any]:
        words = [(word, 1.0) for word in text.split()]
        told = repr([(name, _told(value)) for name, value in sorted(more.items())])
        names = ("g", "l", "t5xxl", "llama")
        return {
            name: [[*words[at : at + 75], (told, 1.0)] for at in range(0, max(1, len(words)), 75)]
            for name in names
        }

    def encode_from_tokens(self, tokens: Any, return_pooled: bool = False, **_: Any) -> Any:
        ((text, options),) = self.encode_from_tokens_scheduled(tokens)
        return (text, options["pooled_output"]) if return_pooled else text

    def encode_from_tokens_scheduled(self, tokens: Any, add_dict: Any = None, **_: Any) -> list[list[Any]]:
        seed = int.from_bytes(hashlib.blake2b(repr(tokens).encode(), digest_size=6).digest(), "big")
        chunks = max(map(len, tokens.values()))
        words = max(sum(map(len, each)) for each in tokens.values())
        in_chunks = self.network.name.startswith("SD")
        length = 77 * chunks if in_chunks else max(words + 8, LEAST.get(self.network.name, 0))
        text, options = networks.encoded(self.network, length, seed)
        return [[text, {**options, **(add_dict or {})}]]


def _told(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return hashlib.blake2b(value.contiguous().numpy().tobytes(), digest_size=8).hexdigest()
    return [_told(each) for each in value] if isinstance(value, (list, tuple)) else value


class Pictures:
    """Stands in for a VAE: a latent's pixel is a fixed mix of the colours that it covers, and back."""

    def __init__(self, name: str) -> None:
        latent = network_of(name).latent
        self.channels, self.side, self.video = latent[0], 16 if latent[0] == 128 else 8, len(latent) == 4
        self.mix = torch.randn((self.channels, 3), generator=torch.Generator().manual_seed(9))
        self.latent_channels = self.channels
        self.first_stage_model = self

    def spacial_compression_encode(self) -> int:
        return self.side

    spacial_compression_decode = spacial_compression_encode

    def temporal_compression_decode(self) -> None:
        return None

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(pixels[..., :3].movedim(-1, 1), self.side)
        latent = torch.einsum("cr,brhw->bchw", self.mix, small - 0.5)
        return latent[:, :, None] if self.video else latent

    def decode(self, latent: torch.Tensor, **_: Any) -> torch.Tensor:
        latent = latent[:, :, 0] if latent.ndim == 5 else latent
        colours = torch.einsum("cr,bchw->brhw", self.mix, latent.to(self.mix)) / self.channels
        return colours.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3).movedim(1, -1)


class Style:
    """Stands in for a style model, and for what looks at the picture for it: a few tokens of its own."""

    def encode_image(self, image: torch.Tensor, **_: Any) -> torch.Tensor:
        seed = int(image.double().sum() * 1000)
        return torch.randn((1, 9, networks.WIDTH), generator=torch.Generator().manual_seed(seed))

    def get_cond(self, seen: torch.Tensor) -> torch.Tensor:
        return seen.clone()


def _node(outputs: tuple[str, ...], function: Any, **inputs: Any) -> type:
    """A node class of ComfyUI's old kind."""
    members = {
        "INPUT_TYPES": classmethod(lambda _: {"required": inputs}),
        "RETURN_TYPES": outputs,
        "FUNCTION": "run",
        "CATEGORY": "",
        "run": staticmethod(function),
    }
    return type("StandIn", (), members)


_TEXT = ("STRING", {})


def _load(image: str) -> tuple[torch.Tensor, torch.Tensor]:
    """``WIDTHxHEIGHT-SEED.png``: a picture and a mask of random numbers."""
    size, _, seed = image.removesuffix(".png").partition("-")
    width, height = map(int, size.split("x"))
    generator = torch.Generator().manual_seed(int(seed))
    return torch.rand((1, height, width, 3), generator=generator), (
        torch.rand((1, height, width), generator=generator) > 0.5
    ).float()


def _load_mask(image: str, channel: str) -> tuple[torch.Tensor]:
    """``WIDTHxHEIGHT-SEED.png``: a white square with a grey seam, somewhere on black."""
    size, _, seed = image.removesuffix(".png").partition("-")
    width, height = map(int, size.split("x"))
    mask, at = torch.zeros((1, height, width)), 4 + int(seed) * 5 % 24
    mask[:, at : at + 32, at : at + 24] = 0.5
    mask[:, at + 4 : at + 28, at + 4 : at + 20] = 1.0
    return (mask,)


def _keep_first(images: torch.Tensor, filename_prefix: str) -> dict[str, Any]:
    return _keep(images[:1], json.dumps([filename_prefix.rpartition("/")[2]]))


def _keep(images: torch.Tensor, keys: str) -> dict[str, Any]:
    KEPT.update(zip(json.loads(keys), images.clone(), strict=True))
    return {"ui": {}}


def _control(control_net_name: str) -> tuple[Any]:
    return (patches.comfy.controlnet.ControlNet(patches.control_network(), load_device=torch.device("cpu")),)


def stand_ins() -> dict[str, type]:
    saved = _node((), _keep_first, images=("IMAGE",), filename_prefix=_TEXT)
    batch = _node((), _keep, images=("IMAGE",), keys=_TEXT)
    saved.OUTPUT_NODE = batch.OUTPUT_NODE = True
    return {
        "UNETLoader": _node(("MODEL",), lambda unet_name: (model_of(unet_name),), unet_name=_TEXT),
        "CheckpointLoaderSimple": _node(
            ("MODEL", "CLIP", "VAE"),
            lambda ckpt_name: (model_of(ckpt_name), Text(ckpt_name), Pictures(ckpt_name)),
            ckpt_name=_TEXT,
        ),
        "CLIPLoader": _node(("CLIP",), lambda clip_name: (Text(clip_name),), clip_name=_TEXT),
        "VAELoader": _node(("VAE",), lambda vae_name: (Pictures(vae_name),), vae_name=_TEXT),
        "CLIPVisionLoader": _node(("CLIP_VISION",), lambda **_: (Style(),), clip_name=_TEXT),
        "StyleModelLoader": _node(("STYLE_MODEL",), lambda **_: (Style(),), style_model_name=_TEXT),
        "ControlNetLoader": _node(("CONTROL_NET",), _control, control_net_name=_TEXT),
        "LoadImage": _node(("IMAGE", "MASK"), _load, image=_TEXT),
        "LoadImageMask": _node(("MASK",), _load_mask, image=_TEXT, channel=_TEXT),
        "SaveImage": saved,
        "SaveImageBatch": batch,
        **{
            node.__name__: node
            for node in (
                rows.JoinRows, rows.TakeRow, fused_model.FusedModel, sampling.RandomNoiseBatch,
                sampling.SamplerBatch, sampling.SigmasLikeKSampler,
            )
        },
    }  # fmt: skip


class Server:
    """What the executor and some nodes tell a server."""

    client_id = last_node_id = last_prompt_id = None

    def send_sync(self, *_: Any) -> None: ...

    send_progress_text = send_sync


async def run(graph: dict[str, Any]) -> None:
    valid, error, outputs, node_errors = await execution.validate_prompt("x", graph, None)
    if not valid or node_errors:
        raise ValueError(json.dumps([error, node_errors], default=str)[:1500])
    cache = {"lru": 0, "ram": 0, "ram_inactive": 0}
    executor = execution.PromptExecutor(Server(), cache_type=execution.CacheType.CLASSIC, cache_args=cache)
    await executor.execute_async(graph, "x", {}, outputs)
    if not executor.success:
        told = next(data for name, data in executor.status_messages if name == "execution_error")
        raise ValueError(
            f"{told['node_type']} {told['node_id']}: {told['exception_type']}: {told['exception_message']}"
        )


async def measure(case: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"name": case["name"]}
    try:
        KEPT.clear()
        await run(case["fused"])
        together = [KEPT[key] for key in case["keys"]]
    except ValueError as error:
        return {**told, "refused": str(error)}
    alone = []
    for key, graph in zip(case["keys"], case["alone"], strict=True):
        KEPT.clear()
        await run(graph)
        alone.append(KEPT[key])
    others = [_far(a, b) for i, a in enumerate(alone) for b in alone[:i]]
    return {
        **told,
        "samplers": sum(node["class_type"] == "SamplerCustomAdvanced" for node in case["fused"].values()),
        "largest": max(float(picture.abs().max()) for picture in alone),
        "off": max(_far(a, b) for a, b in zip(together, alone, strict=True)),
        "apart": min(others, default=0.0),
        "outside": max(
            (_outside(*each) for each in zip(together, case.get("masks", ()), strict=False)), default=0.0
        ),
    }


def _outside(picture: torch.Tensor, names: list[str]) -> float:
    """How far a picture is from the one that it started from where the mask is black; the names of both."""
    start, mask = _load(names[0])[0], _load_mask(names[1], "red")[0]
    return float((picture - start[0])[mask[0] == 0].abs().max())


def _far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


async def main() -> None:
    comfy.model_management.in_training = True  # ComfyUI's fast kernels have no float64
    await nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False)
    nodes.NODE_CLASS_MAPPINGS.update(stand_ins())
    networks._server.PromptServer.instance = Server()
    for line in sys.stdin:
        print(json.dumps(await measure(json.loads(line))), flush=True)


if __name__ == "__main__":
    with torch.inference_mode():
        asyncio.run(main())
