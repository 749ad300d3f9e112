"""The nodes that read pictures from the input folder and put finished ones where clients find them."""

from __future__ import annotations

import io
import json
import posixpath
import secrets
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from modules.demo.comfy_server.files import OutsideFolder
from modules.demo.comfy_server.nodes import pack_inputs
from modules.demo.comfy_server.nodes.instant_nodes import Inputs
from modules.demo.comfy_server.nodes.node_cache import Result
from modules.demo.comfy_server.nodes.pack_inputs import NodeFailure, refusal
from modules.demo.comfy_server.nodes.sampling import TimedNode
from modules.demo.comfy_server.nodes.values import Images, Mask, Photo, identity, photo_of
from modules.demo.comfy_server.nodes.workbench import Workbench
from modules.demo.comfy_server.run import Interrupted, Run


async def _load_image(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    photo, mask = _photo(bench, inputs["image"])
    return Result(outputs=(Images(rows=(photo,)), mask))


async def _load_mask(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    photo, _ = _photo(bench, inputs["image"])
    grey = Image.frombytes("RGB", photo.size, photo.pixels).getchannel(inputs["channel"][0].upper())
    return Result(outputs=(Mask(pixels=grey.tobytes(), size=photo.size),))


async def _save(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    return await _save_into(bench, run, inputs["images"], "output", inputs["filename_prefix"])


async def _preview(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    letters = "".join(secrets.choice("abcdefghijklmnopqrstupvxyz") for _ in range(5))
    return await _save_into(bench, run, inputs["images"], "temp", f"ComfyUI_temp_{letters}")


async def _save_into(bench: Workbench, run: Run, images: Images, kind: str, prefix: str) -> Result:
    """One PNG after another, while the sampler waits, each with the whole prompt in it, as ComfyUI does."""
    try:
        folder, stem, number = bench.files.next_name(kind, prefix)
    except OutsideFolder as error:
        message = "**** ERROR: Saving image outside the output folder is not allowed."
        where = f"\n full_output_folder: {posixpath.dirname(prefix)}\n         output_dir: output"
        raise NodeFailure(message + where, "Exception") from error
    graph = json.dumps(run.prompt.graph)
    workflow = run.prompt.extra.get("extra_pnginfo") or {}
    texts = {"prompt": graph, **{key: json.dumps(value) for key, value in workflow.items()}}
    shown = []
    for index, row in enumerate(images.rows):
        data = with_texts(await bench.encoded(row, "png", 90), texts)
        name = f"{stem.replace('%batch_num%', str(index))}_{number + index:05}_.png"
        bench.files.write(kind, folder, name, data)
        bench.files.count(kind, folder, stem, number + index)
        shown.append({"filename": name, "subfolder": folder, "type": kind})
        if run.interrupted:
            raise Interrupted
    return Result(outputs=(images,), ui={"images": shown})


async def _save_websocket(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    images: Images = inputs["images"]
    for index, row in enumerate(images.rows):
        data = await bench.encoded(row, "png", 90)
        await run.progress(node_id, index, len(images.rows), (data, "image/png"))
    return Result(outputs=())


async def _save_batch(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    """Hands every picture to an encoder beside the sampler and ends at once."""
    images: Images = inputs["images"]
    keys = pack_inputs.keys("SaveImageBatch", inputs["keys"])
    if len(keys) != len(images.rows):
        raise refusal("SaveImageBatch", "keys", f"{len(keys)} keys for {len(images.rows)} pictures.")
    kind, quality = inputs["format"], inputs["quality"]
    for key, row in zip(keys, images.rows, strict=True):
        bench.shelf.put(key, f"image/{kind}", bench.encoded(row, kind, quality))
    return Result(outputs=(), ui={"fullet": [{"key": key, "url": f"/fullet/pictures/{key}"} for key in keys]})


LOADERS = ("LoadImage", "LoadImageMask")

PICTURE_NODES: Mapping[str, TimedNode] = {
    "LoadImage": _load_image,
    "LoadImageMask": _load_mask,
    "SaveImage": _save,
    "PreviewImage": _preview,
    "SaveImageWebsocket": _save_websocket,
    "SaveImageBatch": _save_batch,
}


def annotated(name: str) -> tuple[str, str, str]:
    """Folder type, subfolder and name of what LoadImage calls ``sub/name.png [output]``."""
    for kind in ("output", "input", "temp"):
        if name.endswith(f" [{kind}]"):
            name = name[: -len(kind) - 3]
            break
    else:
        kind = "input"
    return kind, posixpath.dirname(name), posixpath.basename(name)


def check_inputs(bench: Workbench, class_type: str, inputs: Mapping[str, Any]) -> tuple[str, str] | None:
    """Before the run: (input, what is wrong) where a node itself rejects its inputs."""
    if class_type in LOADERS:
        name = inputs.get("image")
        if isinstance(name, str) and bench.files.read(*annotated(name)) is None:
            return "image", f"Invalid image file: {name}"
    return pack_inputs.check(class_type, inputs)


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """``png`` with a tEXt chunk for each of ``texts`` (ASCII), after its header."""
    header = 8 + 25  # the signature and the IHDR chunk
    chunks = b""
    for key, text in texts.items():
        body = b"tEXt" + key.encode("latin-1") + b"\0" + text.encode("ascii")
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:header] + chunks + png[header:]


def _photo(bench: Workbench, name: str) -> tuple[Photo, str]:
    """The picture, and a description of the mask that its transparency makes, or "none"."""
    data = bench.files.read(*annotated(name))
    if data is None:
        raise NodeFailure(f"[Errno 2] No such file or directory: 'input/{name}'", "FileNotFoundError")
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            alpha = upright.getchannel("A") if "A" in upright.getbands() else None
            return photo_of(upright), "none" if alpha is None else identity(photo_of(alpha))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise NodeFailure(
            f"cannot identify image file 'input/{name}'", "PIL.UnidentifiedImageError"
        ) from error
