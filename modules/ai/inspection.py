"""What ``check`` says about models and servers: findings for what start-up and workers raise as errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modules.ai.comfy import findings
from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.errors import ServerSilent, Unreachable, Untrusted
from modules.ai.comfy.preflight import ServerReport, inspect
from modules.ai.fusion.fuse import fusible, why_no_mask, why_no_start
from modules.ai.models.loading import LORAS, LoadedModel, read_models
from modules.ai.models.loras_and_styles import misfits, read_loras, read_styles
from modules.ai.workflows.suggestions import did_you_mean
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import BadWorkflow, EngineUnauthorized, EngineUnavailable
from modules.queue_manager.jobs import FusionCheck
from modules.queue_manager.offers import LoraOffer
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
    template, kind = model.template, model.template.card.kind
    lacking = {
        "its pictures are made one by one": fusible(template),
        "it cannot start from a picture": why_no_start(template) if kind == "imagine" else None,
        "it cannot use a mask": why_no_mask(template) if kind != "upscale" else None,
    }
    told = [f"; {how} ({why})" for how, why in lacking.items() if why is not None]
    what = f"{template.name} ({kind}) is OK{''.join(told)}"
    detail = "\n".join(_derived(model)) if model.derived else ""
    return Finding(level="ok", what=what, detail=detail, routine=not told)


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
) -> tuple[ServerReport | None, tuple[Finding, ...]]:
    """What one server can run, or why it cannot be asked. ``max_batch`` as for `inspect`; ``checks``: what
    ``check --fusion`` found there, by the names of models."""
    try:
        report = await inspect(client, templates, max_batch=max_batch)
    except EngineUnavailable as error:
        return None, (about_trouble(error),)
    checked = report.valid(checks).items()
    about = (findings.about_check(client.name, name, check) for name, check in checked)
    return report, (*report.findings, *about)


def inspect_loras_and_styles(
    folder: Path, templates: Mapping[str, WorkflowTemplate]
) -> tuple[tuple[LoraOffer, ...], tuple[Finding, ...]]:
    """The LoRAs of ``folder``, each with the models that it fits, and what is wrong there with LoRAs and
    styles."""
    loras: tuple[LoraOffer, ...] = ()
    found: list[Finding] = []
    try:
        loras = read_loras(folder)
    except BadWorkflow as fault:
        found.append(
            Finding(level="fault", what=fault.reason, fix="correct it; until then no LoRA is offered")
        )
    try:
        styles = read_styles(folder)
    except BadWorkflow as fault:
        found.append(
            Finding(level="fault", what=fault.reason, fix="correct it; until then no style is offered")
        )
    else:
        found += (
            [Finding(level="ok", what=f"styles that are OK: {len(styles)}", routine=True)] if styles else []
        )
    fitting = []
    for lora in loras:
        unfit = dict(misfits(lora, templates))
        fix = f"correct the line models = … under [{lora.name}]"
        found += [
            Finding(level="fault", what=f"{LORAS}: {lora.name}: {why}", fix=fix) for why in unfit.values()
        ]
        fitting.append(replace(lora, models=tuple(name for name in lora.models if name not in unfit)))
    return tuple(fitting), tuple(found)


def about_lora_files(loras: Iterable[LoraOffer], reports: Sequence[ServerReport]) -> Iterator[Finding]:
    """For each LoRA, whether the servers that run the models that it fits have its file."""
    for lora in loras:
        running = {name: [one for one in reports if name in one.limits] for name in lora.models}
        lacking = [
            name for name, able in running.items() if able and not any(lora.file in one.loras for one in able)
        ]
        if lacking:
            near = did_you_mean(lora.file, sorted({file for one in reports for file in one.loras}))
            what = f"{LORAS}: {lora.name}: no server that runs {', '.join(lacking)} has {lora.file}"
            fix = f"put the file into ComfyUI/models/loras there, or name another one in {LORAS}{near}"
            yield Finding(level="hint", what=what, fix=fix)
        elif any(running.values()):
            yield Finding(level="ok", what=f"the LoRA {lora.name} is OK", routine=True)


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
