"""Gets a run's own pictures from a server that is not trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modules.ai.comfy.client import ComfyClient, ImageRef
from modules.ai.comfy.picture_header import picture_size, whole
from modules.ai.fusion.output_locations import SAVE_FOLDER, KeptPicture, OutputLocation, SavedFile
from modules.ai.workflows.graph import JSON
from modules.queue_manager.errors import NoOutput
from modules.queue_manager.jobs import Picture
from modules.utils.images.media_types import media_type

LARGEST_PIXELS = 2**26


async def download(client: ComfyClient, place: OutputLocation, outputs: Mapping[str, JSON]) -> Picture:
    """The picture at ``place``. ``outputs``: the run's outputs by node id. Raises `NoOutput`."""
    if isinstance(place, KeptPicture):
        return checked(await client.kept_picture(place.key))
    return checked(await client.view(saved_file(place, outputs.get(place.node))))


def saved_file(place: SavedFile, output: JSON) -> ImageRef:
    """The file in a save node's output that has our own prefix. Raises `NoOutput`."""
    images = output.get("images") if isinstance(output, dict) else None
    ours = re.compile(re.escape(place.prefix) + r"_\d{1,10}_?\.png")
    for image in images[:100] if isinstance(images, list) else ():
        name = image.get("filename") if isinstance(image, dict) else None
        if isinstance(name, str) and ours.fullmatch(name):
            return ImageRef(filename=name, subfolder=SAVE_FOLDER, type="output")
    raise NoOutput("the run ended without saving a picture of its own")


def checked(data: bytes) -> Picture:
    """The picture, if it is complete and not too large by its header. Raises `NoOutput`."""
    kind, size = media_type(data), picture_size(data)
    if kind is None or size is None or not whole(data):
        raise NoOutput("the server sent an incomplete picture")
    if size.width * size.height > LARGEST_PIXELS:
        raise NoOutput(f"by its header, the picture has {size} pixels, more than the bot accepts")
    return Picture(data=data, media_type=kind, size=size)
