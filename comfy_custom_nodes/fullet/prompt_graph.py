# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds, in a running prompt's graph, the pictures that a sampler's steps preview (standard library only)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .inputs import Refused, keys_of


def find_watch(
    graph: Mapping[str, Any], sampler_node: str | None, batch: int
) -> tuple[tuple[str, ...], int] | None:
    """(keys, every n steps) of the SaveImageBatch behind `sampler_node` that wants previews of this batch."""
    for node in graph.values():
        inputs = node.get("inputs", {})
        if node.get("class_type") != "SaveImageBatch" or not isinstance(inputs.get("keys"), str):
            continue
        every = inputs.get("preview_every", 0)
        if (
            not isinstance(every, int)
            or every < 1
            or not _comes_from(graph, inputs.get("images"), sampler_node)
        ):
            continue
        try:
            keys = keys_of("SaveImageBatch", inputs["keys"])
        except Refused:
            continue
        if len(keys) == batch:
            return keys, every
    return None


def _comes_from(graph: Mapping[str, Any], link: object, sampler_node: str | None) -> bool:
    if sampler_node is None:
        return True
    seen: set[str] = set()
    waiting = [link]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, list) or len(link) != 2 or str(link[0]) in seen:
            continue
        if str(link[0]) == sampler_node:
            return True
        seen.add(str(link[0]))
        waiting.extend(graph.get(str(link[0]), {}).get("inputs", {}).values())
    return False
