"""What ``check`` says about an address of Comfy API v2."""

from __future__ import annotations

from collections.abc import Mapping

from modules.ai.comfy.errors import ServerSilent, Unreachable
from modules.ai.comfy.findings import about_way
from modules.ai.comfy_v2.client import ComfyV2Client
from modules.ai.comfy_v2.offered import offered
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import EngineUnauthorized, EngineUnavailable
from modules.queue_manager.jobs import Elastic
from modules.utils.inspection import Finding


async def inspect_address(
    client: ComfyV2Client,
    templates: Mapping[str, WorkflowTemplate],
    *,
    elastic: Elastic,
    models: tuple[str, ...],
) -> tuple[Finding, ...]:
    """Whether it answers and takes the key, on which terms it is used, and for which models."""
    try:
        await client.check()
        labels = await client.labels()
    except EngineUnavailable as error:
        return (Finding(level="fault", what=str(error), fix=_how_to_fix(error, client)),)
    found = offered(client.name, templates, named=models)
    shown = ", ".join(templates[model].name for model in found.models)
    runs = "1 run" if elastic.slots == 1 else f"up to {elastic.slots} runs"
    when = f"for jobs that would wait longer than {elastic.after:g} s" if elastic.after else "always"
    what = f"{client.name} answers as Comfy API v2; {runs} at once, {when}; models: {shown}"
    fix = "add models= to its address in COMFY_URLS, or a workflow of ComfyUI's own nodes to flujos/"
    result = [
        about_way(client.name, encrypted=client.encrypted, key=client.has_key, private=client.private),
        Finding(level="ok", what=what)
        if shown
        else Finding(level="hint", what=f"{client.name} offers no model", fix=fix),
        *(Finding(level="hint", what=note) for note in found.notes),
    ]
    if labels == "none":
        what = f"{client.name} keeps no labels, so a run that starts during a crash may be paid for twice"
        result.append(Finding(level="ok", what=what, routine=True))
    return tuple(result)


def _how_to_fix(error: EngineUnavailable, client: ComfyV2Client) -> str:
    if isinstance(error, EngineUnauthorized):
        scheme = "https" if client.encrypted else "http"
        return f"write {scheme}://{client.name}=KEY into COMFY_API_KEYS"
    if isinstance(error, Unreachable | ServerSilent):
        return "correct the address in COMFY_URLS, or start the server there"
    return "correct the address in COMFY_URLS, or try again later"
