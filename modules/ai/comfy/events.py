"""ComfyUI's socket messages as typed events; malformed messages are dropped here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modules.ai import node_pack as pack
from modules.ai.workflows.graph import JSON
from modules.utils.images.media_types import media_type

_PREVIEWS = ("image/jpeg", "image/png", "image/webp")
_LARGEST_PREVIEW = 512 * 1024
_MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The prompt left the queue."""


@dataclass(frozen=True, slots=True)
class NodeStarted:
    node: str


@dataclass(frozen=True, slots=True)
class NodeProgress:
    node: str
    value: int
    most: int


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """A node's output: the same object that the history has under its id."""

    node: str
    output: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class KeyedPreview:
    """A preview of the picture with this key (node pack)."""

    key: str
    image: bytes


@dataclass(frozen=True, slots=True)
class FirstPreview:
    """A preview of the first picture of the batch (stock sampler)."""

    image: bytes


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded:
    """Every node has ended; the prompt is not in the history yet."""


@dataclass(frozen=True, slots=True)
class ExecutionFailedAt:
    """A node raised; ``data`` as the server sends it."""

    data: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    """Somebody stopped it."""


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
    """The last message about a prompt (``executing`` without a node): the server is free now."""


@dataclass(frozen=True, slots=True)
class SocketChanged:
    """The socket was opened or closed, or messages were dropped: ask the server for the state."""

    up: bool


ComfyEvent = (
    ExecutionStarted
    | NodeStarted
    | NodeProgress
    | NodeOutput
    | KeyedPreview
    | FirstPreview
    | ExecutionSucceeded
    | ExecutionFailedAt
    | ExecutionInterrupted
    | ExecutionEnded
    | SocketChanged
)


def read_text(message: str) -> tuple[str, ComfyEvent] | None:
    """(prompt id, event) of a text message; None if it is malformed or not about a prompt."""
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        return None
    data = parsed.get("data") if isinstance(parsed, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("prompt_id"), str):
        return None
    reader = _READERS.get(str(parsed.get("type")))
    event = reader(data) if reader is not None else None
    return None if event is None else (data["prompt_id"], event)


def _executing(data: dict[str, Any]) -> ComfyEvent | None:
    node = data.get("node")
    if node is None:
        return ExecutionEnded()
    return NodeStarted(node) if isinstance(node, str) else None


def _progress(data: dict[str, Any]) -> ComfyEvent | None:
    node, value, most = data.get("node"), data.get("value"), data.get("max")
    if not isinstance(node, str) or not isinstance(value, int | float) or not isinstance(most, int | float):
        return None
    return NodeProgress(node, int(value), int(most)) if 0 <= value <= most <= _MOST_STEPS else None


def _executed(data: dict[str, Any]) -> ComfyEvent | None:
    node, output = data.get("node"), data.get("output")
    return NodeOutput(node, output) if isinstance(node, str) and isinstance(output, dict) else None


def _keyed_preview(data: dict[str, Any]) -> ComfyEvent | None:
    key, image = data.get("key"), data.get("image")
    if not isinstance(key, str) or not isinstance(image, str) or len(image) > _LARGEST_PREVIEW:
        return None
    try:
        picture = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        return None
    return KeyedPreview(key, picture) if media_type(picture) in _PREVIEWS else None


_READERS: Mapping[str, Callable[[dict[str, Any]], ComfyEvent | None]] = {
    "execution_start": lambda data: ExecutionStarted(),
    "executing": _executing,
    "progress": _progress,
    "executed": _executed,
    "execution_success": lambda data: ExecutionSucceeded(),
    "execution_error": ExecutionFailedAt,
    "execution_interrupted": lambda data: ExecutionInterrupted(),
    pack.PREVIEW_EVENT: _keyed_preview,
}


def read_frame(frame: bytes) -> tuple[str, ComfyEvent] | None:
    """(prompt id, event) of a binary frame: event 4, a preview with its metadata (others name no prompt).

    4 bytes big-endian event, 4 bytes length of the metadata, metadata in JSON, picture.
    """
    if len(frame) < 8 or int.from_bytes(frame[:4], "big") != 4 or len(frame) > _LARGEST_PREVIEW:
        return None
    length = int.from_bytes(frame[4:8], "big")
    try:
        metadata = json.loads(frame[8 : 8 + length])
    except (ValueError, RecursionError):
        return None
    picture = frame[8 + length :]
    prompt_id = metadata.get("prompt_id") if isinstance(metadata, dict) else None
    if not isinstance(prompt_id, str) or media_type(picture) not in _PREVIEWS:
        return None
    return prompt_id, FirstPreview(picture)
