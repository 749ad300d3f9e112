# SPDX-License-Identifier: GPL-3.0-or-later
"""A small picture of each row of a running batch, sent to the submitting client under its picture's key."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from server import PromptServer

from .latents import latent_to_rgb
from .prompt_graph import find_watch

_log = logging.getLogger(__name__)
LONGEST_SIDE = 256  # pixels
Callback = Callable[[int, torch.Tensor, torch.Tensor, int], Any]


@dataclass(frozen=True)
class _Watch:
    """Where a running batch's previews go."""

    prompt_id: str
    client_id: str
    keys: tuple[str, ...]
    every: int


def watched(callback: Callback | None, guider: Any, batch: int) -> Callback | None:
    """`callback` (step, x0, x, steps), or one that also sends previews if the running prompt asks for them.

    Previews are a courtesy: whatever goes wrong with them is logged once and the run goes on.
    """
    if getattr(callback, "fullet_previews", False):
        return callback
    try:
        watch = _running_watch(batch)
        latent_format = guider.model_patcher.model.latent_format
    except Exception:  # noqa: BLE001 - a preview never fails a run
        _log.exception("no previews for this run")
        return callback
    if watch is None or latent_format.latent_rgb_factors is None:
        return callback
    failed = False

    def attempt(work: Callable[..., Any], *args: Any) -> None:
        nonlocal failed
        if failed:
            return
        try:
            work(*args)
        except Exception:  # noqa: BLE001 - a preview never fails a run
            failed = True
            _log.exception("no more previews for this run")

    def show(x0: torch.Tensor, step: int, steps: int) -> None:
        _encoder().submit(attempt, _send, watch, latent_to_rgb(x0, latent_format), step, steps)

    def with_previews(step: int, x0: torch.Tensor, x: torch.Tensor, steps: int) -> None:
        if callback is not None:
            callback(step, x0, x, steps)
        if (step + 1) % watch.every == 0:
            attempt(show, x0, step + 1, steps)

    with_previews.fullet_previews = True  # type: ignore[attr-defined]
    return with_previews


def _running_watch(batch: int) -> _Watch | None:
    server = PromptServer.instance
    if server.client_id is None:
        return None
    running, _ = server.prompt_queue.get_current_queue()
    for item in running:  # (number, prompt_id, graph, extra_data, outputs, …)
        if item[1] == server.last_prompt_id:
            found = find_watch(item[2], server.last_node_id, batch)
            return None if found is None else _Watch(item[1], server.client_id, *found)
    return None


@lru_cache(maxsize=1)
def _encoder() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="fullet-previews")


def _send(watch: _Watch, pixels: torch.Tensor, step: int, steps: int) -> None:
    for key, row in zip(watch.keys, pixels, strict=True):
        event = {
            "prompt_id": watch.prompt_id,
            "key": key,
            "step": step,
            "steps": steps,
            "image": base64.b64encode(_jpeg(row)).decode("ascii"),
        }
        PromptServer.instance.send_sync("fullet_preview", event, watch.client_id)


def _jpeg(pixels: torch.Tensor) -> bytes:
    picture = Image.fromarray(pixels.numpy())
    scale = LONGEST_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    out = BytesIO()
    picture.resize(size, Image.Resampling.BILINEAR).save(out, format="JPEG", quality=80)
    return out.getvalue()
