"""What the tests of the embedded ComfyUI share: graphs, a listening client, and the end of a run."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import aiohttp
from PIL import Image

from modules.demo.comfy_server import read_mark

Graph = dict[str, dict[str, Any]]


def stock_graph(
    prompt: str = "a cat", seed: int = 1, *, rows: int = 1, size: int = 64, steps: int = 4
) -> Graph:
    """The official FLUX.2 Klein graph."""
    return {
        "1": _node("UnetLoaderGGUF", unet_name="flux-2-klein-4b-Q5_K_M.gguf"),
        "2": _node("CLIPLoaderGGUF", clip_name="Qwen3-4B-Q6_K.gguf", type="flux2"),
        "3": _node("VAELoader", vae_name="flux2-vae.safetensors"),
        "4": _node("CLIPTextEncode", text=prompt, clip=["2", 0]),
        "5": _node("ConditioningZeroOut", conditioning=["4", 0]),
        "6": _node("EmptyFlux2LatentImage", width=size, height=size, batch_size=rows),
        "7": _node("RandomNoise", noise_seed=seed),
        "8": _node("KSamplerSelect", sampler_name="euler"),
        "9": _node("Flux2Scheduler", steps=steps, width=size, height=size),
        "10": _node("CFGGuider", cfg=1.0, model=["1", 0], positive=["4", 0], negative=["5", 0]),
        "11": _node(
            "SamplerCustomAdvanced",
            noise=["7", 0],
            guider=["10", 0],
            sampler=["8", 0],
            sigmas=["9", 0],
            latent_image=["6", 0],
        ),
        "12": _node("VAEDecode", samples=["11", 0], vae=["3", 0]),
        "13": _node("SaveImage", filename_prefix="t/pic", images=["12", 0]),
    }


def zimage_graph(prompt: str = "a cat", seed: int = 1, *, size: int = 64) -> Graph:
    """The official Z-Image Turbo graph."""
    return {
        "1": _node("UnetLoaderGGUF", unet_name="z-image-turbo-Q5_K_M.gguf"),
        "2": _node("CLIPLoaderGGUF", clip_name="Qwen3-4B-Q6_K.gguf", type="lumina2"),
        "3": _node("VAELoader", vae_name="ae.safetensors"),
        "4": _node("CLIPTextEncode", text=prompt, clip=["2", 0]),
        "5": _node("ConditioningZeroOut", conditioning=["4", 0]),
        "6": _node("EmptySD3LatentImage", width=size, height=size, batch_size=1),
        "7": _node("ModelSamplingAuraFlow", model=["1", 0], shift=3.0),
        "8": _node(
            "KSampler",
            model=["7", 0],
            seed=seed,
            steps=8,
            cfg=1.0,
            sampler_name="res_multistep",
            scheduler="simple",
            positive=["4", 0],
            negative=["5", 0],
            latent_image=["6", 0],
            denoise=1.0,
        ),
        "9": _node("VAEDecode", samples=["8", 0], vae=["3", 0]),
        "10": _node("SaveImage", filename_prefix="z", images=["9", 0]),
    }


def fused_graph(
    prompts: list[str],
    seeds: list[Any],
    keys: list[str],
    *,
    kind: str = "png",
    every: int = 0,
    size: int = 64,
) -> Graph:
    """The same with the node pack: a prompt, a seed and a key for each row."""
    graph = stock_graph(rows=len(prompts), size=size)
    graph["4"] = joined([f"text{row}" for row in range(len(prompts))])
    for row, prompt in enumerate(prompts):
        graph[f"text{row}"] = _node("CLIPTextEncode", clip=["2", 0], text=prompt)
    graph["7"] = _node("RandomNoiseBatch", seeds=json.dumps(seeds))
    graph["14"] = _node("FusedModel", model=["1", 0], positive=["4", 0], negative=["5", 0])
    graph["10"]["inputs"]["model"] = ["14", 0]
    graph["13"] = _node(
        "SaveImageBatch",
        images=["12", 0],
        keys=json.dumps(keys),
        format=kind,
        quality=90,
        preview_every=every,
    )
    return graph


def joined(nodes: list[str]) -> dict[str, Any]:
    """A batch of what these nodes make for each person."""
    return _node("JoinRows", **{f"row{row}": [node, 0] for row, node in enumerate(nodes)})


def new_keys(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def mark_in_file(data: bytes) -> int:
    return read_mark(opened(data))


class Listener:
    """A client with its socket: submits, and hears until its run has ended."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.id = uuid.uuid4().hex
        self.socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self) -> None:
        self.socket = await self.http.ws_connect(f"/ws?clientId={self.id}")

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()

    async def submit(self, graph: Graph, **more: Any) -> str:
        answer = await self.post("/prompt", {"prompt": graph, "client_id": self.id, **more})
        return str(answer["prompt_id"])

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        async with self.http.post(path, json=body) as response:
            text = await response.text()
            assert response.status == status, text
            return json.loads(text) if text else None

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.http.get(path) as response:
            assert response.status == status
            return await response.json()

    async def read(self, path: str) -> bytes:
        async with self.http.get(path) as response:
            assert response.status == 200
            return await response.read()

    async def hear(self) -> dict[str, Any] | bytes:
        """The next message. Raises ConnectionError when the socket has closed."""
        assert self.socket is not None
        message = await self.socket.receive(timeout=10)
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(str(message.type))
        event: dict[str, Any] = json.loads(message.data)
        return event

    async def hear_until(self, kind: str) -> list[dict[str, Any] | bytes]:
        """All messages up to the first of this type."""
        heard: list[dict[str, Any] | bytes] = []
        while not (heard and isinstance(heard[-1], dict) and heard[-1]["type"] == kind):
            heard.append(await self.hear())
        return heard

    async def hear_run(self) -> list[dict[str, Any] | bytes]:
        """All messages up to the one that says that the server is free."""
        heard: list[dict[str, Any] | bytes] = []
        while not (heard and _is_last(heard[-1])):
            heard.append(await self.hear())
        return heard

    async def run(self, graph: Graph, **more: Any) -> tuple[str, list[dict[str, Any]]]:
        """Submit and hear the run; returns its id and its events (without frames)."""
        prompt_id = await self.submit(graph, **more)
        return prompt_id, [event for event in await self.hear_run() if isinstance(event, dict)]

    async def history(self, prompt_id: str) -> dict[str, Any]:
        entries = await self.get(f"/history/{prompt_id}")
        return entries[prompt_id]  # type: ignore[no-any-return]

    async def pictures(self, prompt_id: str) -> list[bytes]:
        """The files that a finished run's SaveImage nodes wrote."""
        outputs = (await self.history(prompt_id))["outputs"]
        images = [image for ui in outputs.values() for image in ui["images"]]
        query = "/view?filename={filename}&subfolder={subfolder}&type={type}"
        return [await self.read(query.format(**image)) for image in images]


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _is_last(event: dict[str, Any] | bytes) -> bool:
    return isinstance(event, dict) and event["type"] == "executing" and event["data"]["node"] is None
