"""What ``check`` says about models and servers: findings for what start-up and workers raise as errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.errors import ServerSilent, Unreachable, Untrusted
from modules.ai.comfy.preflight import inspect
from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import cardless, load_graph, load_template
from modules.ai.models.proposals import NoProposal, propose_card
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import BadWorkflow, EngineUnauthorized, EngineUnavailable
from modules.utils.inspection import Finding


def inspect_models(folder: Path) -> tuple[dict[str, WorkflowTemplate], tuple[Finding, ...]]:
    """The models of ``folder`` that can be loaded, and a finding for each file there."""
    templates: dict[str, WorkflowTemplate] = {}
    found: list[Finding] = []
    for card_file in sorted(folder.glob("*.toml")):
        try:
            template = templates[card_file.stem] = load_template(card_file)
        except BadWorkflow as fault:
            fix = "fix it, or move both of its files out of the folder"
            found.append(Finding(level="fault", what=fault.reason, fix=fix))
        else:
            found.append(_about(template))
    found += _about_cardless(folder)
    if not templates:
        fix = f"put NAME.toml and NAME.json into {folder.name}/"
        found.append(Finding(level="fault", what="there is no model", fix=fix))
    return templates, tuple(found)


def _about(template: WorkflowTemplate) -> Finding:
    why_alone = fusible(template)
    alone = f", one by one ({why_alone})" if why_alone is not None else ""
    return Finding(level="ok", what=f"{template.name} ({template.card.kind}) is OK{alone}")


def _about_cardless(folder: Path) -> Iterator[Finding]:
    for name in cardless(folder):
        what = f"{name}.json has no card, so it is not offered"
        try:
            card = propose_card(load_graph(folder / f"{name}.json"), name)
        except (NoProposal, BadWorkflow) as fault:
            fix = f"write {name}.toml (the bot cannot suggest one: {fault})"
            yield Finding(level="hint", what=what, fix=fix)
        else:
            fix = f"save this as {folder.name}/{name}.toml and correct what was guessed wrong"
            yield Finding(level="hint", what=what, fix=fix, detail=card)


async def inspect_server(
    client: ComfyClient, templates: Mapping[str, WorkflowTemplate], *, max_batch: int | None
) -> tuple[Finding, ...]:
    """What one server can run, or why it cannot be asked. ``max_batch`` as for `inspect`."""
    try:
        return (await inspect(client, templates, max_batch=max_batch)).findings
    except EngineUnavailable as error:
        return (Finding(level="fault", what=str(error), fix=_how_to_fix(error)),)


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
