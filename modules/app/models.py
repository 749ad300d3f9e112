"""``bot.py models``: lists the models and the library, adds a model, removes one."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.preflight import ServerReport, inspect
from modules.ai.models.loading import LoadedModel, load_model, model_name, read_models, workflow_files
from modules.ai.workflows.node_table import Table, bundled_table
from modules.ai.workflows.reduced_table import reduced
from modules.ai.workflows.templates import WorkflowTemplate
from modules.ai.workflows.workflow_file import ENDINGS
from modules.app.check import print_redacted, read_quietly, servers_of
from modules.queue_manager.backports import gather_or_cancel
from modules.queue_manager.errors import BadWorkflow, EngineUnavailable
from modules.utils.settings.settings import Settings

LIBRARY = "library"
REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one server said about some models, or the ``error`` if it could not be asked."""

    name: str
    report: ServerReport | None = None
    error: EngineUnavailable | None = None


def listed(env_file: Path, folder: Path) -> int:
    """Print the models of the folder, then those of its library that are not in it; returns the exit code."""
    settings, _ = read_quietly(env_file)
    offered, faults = read_models(folder)
    library, _ = read_models(folder / LIBRARY)
    more = {name: model for name, model in library.items() if name not in offered}
    told = asyncio.run(ask_servers(settings, _templates([*offered.values(), *more.values()])))
    lines = []
    for title, models in ((f"Offered, in {folder.name}/", offered), ("In the library", more)):
        lines += [title, *("  " + "\n      ".join(_about(model.template, told)) for model in models.values())]
    lines += [f"✗ {trouble}" for trouble in (*faults, *(str(each.error) for each in told if each.error))]
    print_redacted(settings, [*lines, "~ marks an estimate that nobody has measured"])
    return 1 if faults else 0


def added(env_file: Path, folder: Path, wanted: str) -> int:
    """Put a workflow of the library, or a file, into the folder; print what it is and how to download its
    model files. Returns the exit code; ends the process with a sentence if the file cannot be used."""
    settings, source = read_quietly(env_file)[0], _source(folder, wanted)
    try:
        if source.suffix.lower() not in ENDINGS or source.name.startswith("."):
            raise BadWorkflow(f"{source.name}: a name is needed that ends in {', '.join(ENDINGS)}")
        model = asyncio.run(_read(settings, source))
        for other in _files_of(folder, model.template.name):
            name = model.template.name
            raise BadWorkflow(f"there is already a model {name}, in {folder.name}/{other.name}")
        _put(source, folder)
    except BadWorkflow as fault:
        sys.exit(f"Nothing was added: {fault.reason}")
    except OSError as fault:
        sys.exit(f"Nothing was added: {folder} cannot be written to ({fault.strerror})")
    template = model.template
    about = f"{folder.name}/{source.name} is the model {template.name}: {template.card.label}"
    told = asyncio.run(ask_servers(settings, _templates([model])))
    print_redacted(settings, [about, *(f"• {note}" for note in model.notes), *_fetching(template, told)])
    return 0


def removed(env_file: Path, folder: Path, name: str) -> int:
    """Move a model's files into the subfolder ``removed``; returns the exit code. Ends the process with a
    sentence if that cannot be done."""
    workflows = _files_of(folder, name)
    if not workflows:
        sys.exit(f"There is no model {name} in {folder.name}/")
    aside, lines = folder / REMOVED, []
    try:
        aside.mkdir(exist_ok=True)
        for workflow in workflows:
            stem = _free(aside, workflow.stem)
            for file in (each for each in (workflow, workflow.with_suffix(".toml")) if each.exists()):
                os.replace(file, aside / f"{stem}{file.suffix}")
                lines.append(f"{folder.name}/{file.name} is now {folder.name}/{REMOVED}/{stem}{file.suffix}")
    except OSError as fault:
        sys.exit(f"{folder} cannot be written to ({fault.strerror})")
    settings, _ = read_quietly(env_file)
    print_redacted(settings, lines)
    return 0


def _free(folder: Path, stem: str) -> str:
    """A name like ``stem`` that no file in the folder has, whatever its ending."""
    taken = {file.stem for file in folder.iterdir()}
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _source(folder: Path, wanted: str) -> Path:
    return next(iter(_files_of(folder / LIBRARY, wanted)), Path(wanted))


def _files_of(folder: Path, name: str) -> list[Path]:
    """The workflow files of the model of this name."""
    return [file for file in workflow_files(folder) if model_name(file.stem) == name]


def _put(source: Path, folder: Path) -> None:
    """Copy the card and then the workflow, each in one step: a running bot never sees half a file."""
    folder.mkdir(exist_ok=True)
    for file in (source.with_suffix(".toml"), source):
        if file.exists():
            half = folder / f".{file.name}.half"
            shutil.copyfile(file, half)
            os.replace(half, folder / file.name)


async def _read(settings: Settings, source: Path) -> LoadedModel:
    """The model in a file; if the bundled node table is not enough, the servers are asked for theirs. Raises
    `BadWorkflow`."""
    try:
        return load_model(source)
    except BadWorkflow:
        nodes = await _nodes(settings)
        if not nodes:
            raise
        return load_model(source, {**bundled_table(), **nodes})


# ── servers ─────────────────────────────────────────────────────────────────────────────────────


async def _nodes(settings: Settings) -> Table:
    async def ask(client: ComfyClient) -> Table:
        try:
            return reduced(await client.node_table())
        except EngineUnavailable:
            return {}

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        tables = await gather_or_cancel([ask(client) for client in await _clients(settings, session)])
    return {name: entry for table in tables for name, entry in table.items()}


def _templates(models: Sequence[LoadedModel]) -> dict[str, WorkflowTemplate]:
    return {model.template.name: model.template for model in models}


async def ask_servers(settings: Settings, templates: Mapping[str, WorkflowTemplate]) -> list[Told]:
    """What each server of the settings says about the models."""

    async def ask(client: ComfyClient) -> Told:
        try:
            return Told(name=client.name, report=await inspect(client, templates, max_batch=None))
        except EngineUnavailable as error:
            return Told(name=client.name, error=error)

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await gather_or_cancel([ask(client) for client in await _clients(settings, session)])


async def _clients(settings: Settings, session: aiohttp.ClientSession) -> list[ComfyClient]:
    key = settings.comfy_api_key or None
    return [ComfyClient(session=session, url=url, api_key=key) for url in await servers_of(settings)]


# ── in words ────────────────────────────────────────────────────────────────────────────────────


def _about(template: WorkflowTemplate, told: Iterable[Told]) -> Iterator[str]:
    card = template.card
    yield f"{template.name}: {card.label} ({card.kind})"
    yield from (text for language, text in card.description if language == "en")
    needs = []
    if card.estimate is not None:
        needs += [f"~{card.estimate.download_gb:g} GB to download", f"~{card.estimate.vram_gb:g} GB VRAM"]
    elif card.memory is not None:
        needs.append(f"~{card.memory.needed_gb:g} GB VRAM")
    asked: Mapping[str, ServerReport] = {each.name: each.report for each in told if each.report is not None}
    able = [name for name, report in asked.items() if template.name in report.limits]
    runs = f"runs on {', '.join(able)}" if able else "no server can run it yet"
    yield "; ".join([*needs, runs if asked else "no server answered"])


def _fetching(template: WorkflowTemplate, told: Sequence[Told]) -> Iterator[str]:
    """What each server lacks and the commands that download it; those for all files if no server answers."""
    for each in told:
        if each.report is None:
            yield f"✗ {each.error}"
        elif template.name in each.report.limits:
            yield f"✓ {each.name} can run it"
        else:
            yield f"✗ {each.name} cannot run it yet"
            faults = [finding for finding in each.report.findings if finding.level == "fault"]
            yield from (f"  {finding}" for finding in faults if not finding.detail)
            yield from commands(each.report.missing_files)
    if not any(each.report for each in told):
        yield from commands({file: template.fetch_line(file) for file in template.files})


def commands(files: Mapping[str, str]) -> Iterator[str]:
    """How to download these files, each with its command as in `ServerReport.missing_files`."""
    if any(files.values()):
        yield "  On the server's machine, in the folder that contains ComfyUI, run:"
    for file, line in files.items():
        yield (
            f"  {line}"
            if line
            else f"  ({file}: neither the workflow nor its card says where to download it)"
        )
