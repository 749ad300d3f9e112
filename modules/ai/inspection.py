"""What ``check`` says about models and servers: findings for what start-up and workers raise as errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from modules.ai.comfy import findings
from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.errors import ServerSilent, Unreachable, Untrusted
from modules.ai.comfy.preflight import inspect
from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import LoadedModel, read_models
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import EngineUnauthorized, EngineUnavailable
from modules.queue_manager.jobs import FusionCheck
from modules.utils.inspection import Finding


def inspect_models(folder: Path) -> tuple[dict[str, WorkflowTemplate], tuple[Finding, ...]]:
    """The models of ``folder`` that can be loaded, and a finding for each file there."""
    models, faults = read_models(folder)
    fix = "fix it, or move it out of the folder"
    found = [Finding(level="fault", what=fault, fix=fix) for fault in faults]
    found += [_about(model) for model in models.values()]
    if not models:
        fix = f"put a workflow file into {folder.name}/"
        found.append(Finding(level="fault", what="there is no model", fix=fix))
    return {name: model.template for name, model in models.items()}, tuple(found)


def _about(model: LoadedModel) -> Finding:
    template = model.template
    why_alone = fusible(template)
    alone = f", one by one ({why_alone})" if why_alone is not None else ""
    what = f"{template.name} ({template.card.kind}) is OK{alone}"
    detail = "\n".join(_derived(model)) if model.derived else ""
    return Finding(level="ok", what=what, detail=detail, routine=why_alone is None)


def _derived(model: LoadedModel) -> Iterator[str]:
    """What was read from the graph itself, in a few lines, and what it left open."""
    card = model.template.card
    told = [f"label {card.label}", f"{card.steps} steps"]
    told += [f"sizes {', '.join(map(str, card.sizes))}"] if card.sizes else []
    told += [f"sides ×{card.upscale:g}"] if card.kind == "upscale" else []
    yield "; ".join(told)
    roles = {role: " ".join(map(str, places)) for role, places in card.roles.items()}
    yield "; ".join(f"{role} {places}" for role, places in roles.items())
    yield from model.notes


async def inspect_server(
    client: ComfyClient,
    templates: Mapping[str, WorkflowTemplate],
    *,
    max_batch: int | None,
    checks: Mapping[str, FusionCheck],
) -> tuple[Finding, ...]:
    """What one server can run, or why it cannot be asked. ``max_batch`` as for `inspect`; ``checks``: what
    ``check --fusion`` found there, by the names of models."""
    try:
        report = await inspect(client, templates, max_batch=max_batch)
    except EngineUnavailable as error:
        return (about_trouble(error),)
    checked = report.valid(checks).items()
    return (*report.findings, *(findings.about_check(client.name, name, check) for name, check in checked))


def about_trouble(error: EngineUnavailable) -> Finding:
    """Why a server cannot be asked."""
    return Finding(level="fault", what=str(error), fix=_how_to_fix(error))


def _how_to_fix(error: EngineUnavailable) -> str:
    if isinstance(error, EngineUnauthorized):
        return "correct COMFY_API_KEY (name:password for HTTP Basic, else it is a Bearer token)"
    if isinstance(error, Untrusted):
        return (
            "write http:// if it does not use TLS; else give it a certificate that this machine trusts, or "
            "name its authority's file in the environment variable SSL_CERT_FILE"
        )
    if isinstance(error, Unreachable | ServerSilent):
        return "start ComfyUI with --listen, open its port in the firewall, or correct COMFY_URLS"
    return "correct COMFY_URLS, or check what is in front of that ComfyUI"
