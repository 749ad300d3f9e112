"""Requests and batch keys as JSON text and back.

The text is pure ASCII, so a NUL or half a surrogate pair in a prompt cannot trouble PostgreSQL or UTF-8. What
a later version adds has a default, so that older rows stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from modules.queue_manager.jobs import (
    BatchKey,
    GenerationRequest,
    Kind,
    LoraUse,
    Origin,
    PictureSet,
    Size,
    SourceImage,
    Style,
    Variation,
)

_dump = json.JSONEncoder(separators=(",", ":")).encode


def request_to_text(request: GenerationRequest) -> str:
    """The request as JSON, without what has its default value."""
    return _dump(_request_value(request))


def request_from_text(text: str) -> GenerationRequest:
    """The request that `request_to_text` wrote."""
    return _request(json.loads(text))


def _request_value(request: GenerationRequest) -> dict[str, Any]:
    before, variation = request.origin and request.origin.request, request.variation
    optional = {
        "negative": request.negative,
        "variation": variation and [variation.seed, variation.strength],
        "sources": [_source_value(source) for source in request.sources],
        "tier": request.tier,
        "age_restricted": request.age_restricted,
        "origin": request.origin and [request.origin.models, before and _request_value(before)],
        "set": request.set and [request.set.id, request.set.count],
        "lora": request.lora and asdict(request.lora),
        "style": request.style and asdict(request.style),
        "strength": request.strength,
        "mask": request.mask and _source_value(request.mask),
    }
    return {
        "user_id": request.user_id,
        "guild_id": request.guild_id,
        "channel_id": request.channel_id,
        "locale": request.locale,
        "kind": request.kind,
        "model": request.model,
        "prompt": request.prompt,
        "size": _pair(request.size),
        "seed": request.seed,
        **{name: value for name, value in optional.items() if value},
    }


def _request(value: Mapping[str, Any]) -> GenerationRequest:
    variation, origin, together = value.get("variation"), value.get("origin"), value.get("set")
    style = value.get("style")
    return GenerationRequest(
        user_id=value["user_id"],
        guild_id=value["guild_id"],
        channel_id=value["channel_id"],
        locale=value["locale"],
        kind=cast(Kind, value["kind"]),
        model=value["model"],
        prompt=value["prompt"],
        size=_size(value["size"]),
        seed=value["seed"],
        negative=value.get("negative", ""),
        variation=Variation(seed=variation[0], strength=variation[1]) if variation else None,
        sources=tuple(map(_source, value.get("sources", ()))),
        tier=value.get("tier", 0),
        age_restricted=value.get("age_restricted", False),
        origin=Origin(models=tuple(origin[0]), request=origin[1] and _request(origin[1])) if origin else None,
        set=PictureSet(id=together[0], count=together[1]) if together else None,
        lora=_lora(value.get("lora")),
        style=Style(**{**style, "label": tuple(map(tuple, style["label"]))}) if style else None,
        strength=value.get("strength"),
        mask=_source(value["mask"]) if "mask" in value else None,
    )


def key_to_text(key: BatchKey) -> str:
    """The batch key as JSON, without fields that have their default value."""
    optional = {
        "lora": key.lora and asdict(key.lora),
        "strength": key.strength,
        "masked": key.masked,
    }
    rest = {name: value for name, value in optional.items() if value}
    sources = [_pair(size) for size in key.sources]
    return _dump([key.model, key.kind, _pair(key.size), key.negative, sources, *([rest] if rest else [])])


def key_from_text(text: str) -> BatchKey:
    """The batch key that `key_to_text` wrote."""
    model, kind, size, negative, sources, *rest = json.loads(text)
    value: Mapping[str, Any] = rest[0] if rest else {}
    return BatchKey(
        model=model,
        kind=cast(Kind, kind),
        size=_size(size),
        negative=negative,
        sources=tuple(_size(source) for source in sources),
        lora=_lora(value.get("lora")),
        strength=value.get("strength"),
        masked=value.get("masked", False),
    )


def storable(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, without what PostgreSQL or UTF-8 cannot hold."""
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _lora(value: Mapping[str, Any] | None) -> LoraUse | None:
    return LoraUse(**value) if value else None


def _source_value(source: SourceImage) -> list[Any]:
    return [source.key, *_pair(source.size)]


def _source(value: list[Any]) -> SourceImage:
    return SourceImage(key=value[0], size=_size(value[1:]))


def _pair(size: Size) -> list[int]:
    return [size.width, size.height]


def _size(pair: list[int]) -> Size:
    return Size(width=pair[0], height=pair[1])
