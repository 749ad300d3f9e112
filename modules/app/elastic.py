"""Engines for the addresses of Comfy API v2. Imports happen with the first such address, because they take
half a second and memory that other bots need not spend."""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.ports import Clock, SourceReader
from modules.utils.inspection import Finding
from modules.utils.settings.elastic import ElasticAddress, read_elastic
from modules.utils.settings.settings import Settings

if TYPE_CHECKING:
    from modules.ai.comfy_v2.client import ComfyV2Client
    from modules.ai.comfy_v2.engine import ComfyV2Engine


def elastic_engine(
    url: str,
    settings: Settings,
    *,
    templates: Mapping[str, WorkflowTemplate],
    read_source: SourceReader,
    clock: Clock,
    may_post: Callable[[], None],
) -> ComfyV2Engine:
    """The engine at an address that `is_elastic`."""
    from modules.ai.comfy_v2.engine import ComfyV2Engine

    address = read_elastic(url)
    return ComfyV2Engine(
        client=_client(address, settings, may_post),
        elastic=address.terms,
        templates=templates,
        read_source=read_source,
        clock=clock,
        models=address.models,
    )


async def inspect_elastic(
    url: str, settings: Settings, templates: Mapping[str, WorkflowTemplate]
) -> tuple[Finding, ...]:
    """What ``check`` says about such an address; nothing is run there."""
    from modules.ai.comfy_v2.inspection import inspect_address

    address = read_elastic(url)
    client = _client(address, settings, lambda: None)
    try:
        return await inspect_address(client, templates, elastic=address.terms, models=address.models)
    finally:
        await client.aclose()


def _client(address: ElasticAddress, settings: Settings, may_post: Callable[[], None]) -> ComfyV2Client:
    from modules.ai.comfy_v2.client import ComfyV2Client

    key = dict(settings.comfy_api_keys).get(address.url)
    return ComfyV2Client(url=address.url, api_key=key, may_post=may_post)
