"""An embedded ComfyUI on loopback: the real server's protocol, drawings instead of a GPU's pictures, and
faults on demand."""

from __future__ import annotations

from modules.demo.comfy_server.drawing.marks import NoMark, mark_of, read_mark, read_marks
from modules.demo.comfy_server.drawing.pictures import picture_of
from modules.demo.comfy_server.faults import Faults
from modules.demo.comfy_server.nodes.pack_inputs import variation_seed
from modules.demo.comfy_server.nodes.workbench import Drawing
from modules.demo.comfy_server.profile import ServerProfile, Timing
from modules.demo.comfy_server.run import GpuSpan
from modules.demo.comfy_server.server import ComfyServer

__all__ = [
    "ComfyServer",
    "Drawing",
    "Faults",
    "GpuSpan",
    "NoMark",
    "ServerProfile",
    "Timing",
    "mark_of",
    "picture_of",
    "read_mark",
    "read_marks",
    "variation_seed",
]
