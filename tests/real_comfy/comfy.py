"""A small client of a real ComfyUI: runs a graph, brings latents and pictures."""

from __future__ import annotations

import array
import asyncio
import json
import struct
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any

import aiohttp
from PIL import Image

from modules.queue_manager.backports import timeout

Graph = dict[str, dict[str, Any]]
RUN_SECONDS = 180.0


class RunFailed(AssertionError):
    """The server refused the graph, or it failed while running; the message is the server's."""


@dataclass(frozen=True)
class Latent:
    """[N, …] fp32, flat: `row(i)` are the values of picture i."""

    rows: int
    values: array.array[float]

    def row(self, i: int) -> array.array[float]:
        size = len(self.values) // self.rows
        return self.values[i * size : (i + 1) * size]


class Comfy:
    """One server, by its URL."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Comfy:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RUN_SECONDS))
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    def url(self, path: str) -> str:
        return self._url + path

    async def json(self, path: str) -> Any:
        async with self.session.get(self.url(path)) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def submit(self, graph: Graph, client_id: str | None = None) -> str:
        body: dict[str, Any] = {"prompt": graph}
        if client_id is not None:
            body["client_id"] = client_id
        async with self.session.post(self.url("/prompt"), json=body) as answer:
            told = await answer.json()
        if answer.status != 200 or told["node_errors"]:
            raise RunFailed(json.dumps(told))
        return str(told["prompt_id"])

    async def outputs(self, prompt_id: str) -> dict[str, Any]:
        """The outputs of a submitted prompt, by node id, once it has run."""
        async with timeout(RUN_SECONDS):
            while True:
                history = await self.json(f"/history/{prompt_id}")
                if prompt_id in history:
                    break
                await asyncio.sleep(0.03)
        entry = history[prompt_id]
        if entry["status"]["status_str"] != "success":
            errors = [
                d["exception_message"] for name, d in entry["status"]["messages"] if name == "execution_error"
            ]
            raise RunFailed("; ".join(errors) or json.dumps(entry["status"]))
        return dict(entry["outputs"])

    async def run(self, graph: Graph) -> dict[str, Any]:
        return await self.outputs(await self.submit(graph))

    async def latent(self, outputs: dict[str, Any], node: str) -> Latent:
        """What a SaveLatent node saved, of [N, …]."""
        file = outputs[node]["latents"][0]
        return _read_latent(await self.view(file))

    async def view(self, file: dict[str, str]) -> bytes:
        async with self.session.get(self.url("/view"), params=file) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def picture(self, key: str) -> bytes:
        async with self.session.get(self.url(f"/fullet/pictures/{key}")) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def upload(self, name: str, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("image", BytesIO(content), filename=name, content_type="image/png")
        async with self.session.post(self.url("/upload/image"), data=form) as answer:
            answer.raise_for_status()
            told = await answer.json()
        return f"{told['subfolder']}/{told['name']}" if told["subfolder"] else str(told["name"])

    async def models(self) -> set[str]:
        """All model files that its loaders offer."""
        names: set[str] = set()
        for loader, name in _LOADERS:
            info = await self.json(f"/object_info/{loader}")
            if loader in info:
                spec = info[loader]["input"]["required"][name]
                names |= set(spec[1]["options"] if spec[0] == "COMBO" else spec[0])
        return names


_LOADERS = (
    ("UNETLoader", "unet_name"),
    ("UnetLoaderGGUF", "unet_name"),
    ("CLIPLoader", "clip_name"),
    ("CLIPLoaderGGUF", "clip_name"),
    ("VAELoader", "vae_name"),
)


def pixels(picture: bytes) -> bytes:
    """RGB bytes, row by row."""
    with Image.open(BytesIO(picture)) as opened:
        return opened.convert("RGB").tobytes()


def largest_difference(a: array.array[float], b: array.array[float]) -> float:
    assert len(a) == len(b)
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def pixel_differences(a: bytes, b: bytes) -> tuple[int, float]:
    """(largest difference of a value of 0…255, share of the values that differ)."""
    assert len(a) == len(b)
    differences = [abs(x - y) for x, y in zip(a, b, strict=True) if x != y]
    return max(differences, default=0), len(differences) / len(a)


def _read_latent(content: bytes) -> Latent:
    """From safetensors: 8 bytes of header length, a JSON header, then the raw little-endian values."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])["latent_tensor"]
    assert header["dtype"] == "F32", header
    start, end = header["data_offsets"]
    values = array.array("f")
    values.frombytes(content[8 + length + start : 8 + length + end])
    return Latent(header["shape"][0], values)
