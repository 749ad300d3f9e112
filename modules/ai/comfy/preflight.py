"""Asks a server what it can run: its nodes, model files, node pack, memory and flags."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from modules.ai import node_pack as pack
from modules.ai.comfy import findings
from modules.ai.comfy.client import ComfyClient, ImageRef
from modules.ai.comfy.errors import short
from modules.ai.fusion.fuse import example, fuse, fusible, plain
from modules.ai.workflows.graph import JSON, Graph
from modules.ai.workflows.lora_insertion import MODEL_ONLY, WITH_CLIP
from modules.ai.workflows.node_table import Choice, Lack, Table, annotated, lacks, pictures, respellings
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.backports import gather_or_cancel
from modules.queue_manager.jobs import FusionCheck
from modules.utils.inspection import Finding

GIB = 2**30

MOST_UNTRIED = 4
"""The most rows in one run of a model whose card does not say what fits."""

_AT_ONCE = 4

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerReport:
    """``limits`` maps the id of each model that can run to the most rows in one run; those in ``fused`` run
    fused, the others one by one on stock nodes. ``pack``: a node pack that understands our graphs is there;
    ``pack_version``: the version of any (None: there is none). For models in ``cautious``
    it is not known how many rows fit. ``versions`` names what the runs of each model depend on: template,
    node pack, server. ``spellings``: how the server spells files that the graphs write with other separators.
    ``missing_files``, ``loras``: as in `Capabilities`."""

    findings: tuple[Finding, ...]
    limits: Mapping[str, int]
    fused: frozenset[str]
    pack: bool
    pack_version: str | None
    cautious: frozenset[str]
    versions: Mapping[str, str]
    spellings: Mapping[Choice, str]
    missing_files: Mapping[str, str]
    loras: frozenset[str] = frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the operator should fix."""
        return tuple(str(finding) for finding in self.findings if finding.level != "ok")

    def valid(self, checks: Mapping[str, FusionCheck]) -> Mapping[str, FusionCheck]:
        """The checks that hold now, by the ids of models (``checks`` has them by name): those that failed,
        and those that passed with the versions that run now."""
        found = {model: checks.get(model.partition("@")[0]) for model in self.limits}
        return {
            model: check
            for model, check in found.items()
            if check is not None and (check.why_alone is not None or check.version == self.versions[model])
        }


async def inspect(
    client: ComfyClient, templates: Mapping[str, WorkflowTemplate], *, max_batch: int | None
) -> ServerReport:
    """Ask a server what it can run. ``max_batch`` None: as its memory and the cards say.

    Raises `EngineUnavailable` if it is not there.
    """
    stats = await client.system_stats()
    memory_gb = vram_gb(stats)
    version = await client.pack_version()
    usable = version is not None and compatible(version)
    coarse = findings.coarse_attention(_system(stats, "argv"))
    graphs = {
        name: _graphs(template, fused=usable, masks=coarse is None) for name, template in templates.items()
    }
    table = await _table(client, [graph for pair in graphs.values() for graph in pair if graph is not None])
    absent = await _absent(client, templates, graphs, table)
    needs = {name: _needs(templates[name], graphs[name], table, absent) for name in templates}
    fused = frozenset(name for name, (as_batch, _) in needs.items() if as_batch == [])
    limits = {
        name: rows(templates[name], memory_gb, max_batch) if name in fused else 1
        for name, (_, as_one) in needs.items()
        if name in fused or not as_one
    }
    cautious = frozenset(
        name for name in fused if fitting_rows(templates[name], memory_gb, max_batch) is None
    )
    loras = await client.models("loras")
    what_runs = f"{_system(stats, 'comfyui_version')} {version}"
    versions = {name: _version(templates[name], what_runs) for name in limits}
    found = [
        *_about_server(client, stats, version, usable=usable),
        *_about_all(client, stats, [templates[name].name for name in limits]),
        *findings.about_gguf(client.name, [name for name, told in table.items() if told is not None]),
        *_about_models(client, templates, limits, fused, cautious),
        *_about_memory(client, [templates[name] for name in limits], memory_gb),
        *_about_lacks(
            client, templates, {name: pair[1] or pair[0] or [] for name, pair in needs.items()}, limits
        ),
        *([findings.about_attention(client.name, coarse)] if usable and coarse is not None else []),
        *findings.about_cache(client.name, _system(stats, "argv"), {t.weights for t in templates.values()}),
    ]
    spellings = {
        choice: own
        for name, pair in graphs.items()
        for graph in pair
        for choice, own in respellings(graph or {}, table, templates[name].card.places("sources"))
    }
    spellings |= {
        (loader, "lora_name", _with_slashes(file)): file
        for file in loras
        for loader in (MODEL_ONLY, WITH_CLIP)
        if file != _with_slashes(file)
    }
    return ServerReport(
        findings=tuple(found),
        limits=limits,
        fused=fused,
        pack=usable,
        pack_version=version,
        cautious=cautious,
        versions=versions,
        spellings=spellings,
        missing_files={
            lack.value: _fetch_line(lack, [templates[name]])
            for name, pair in needs.items()
            for lack in pair[1]
            if lack.is_file and not lack.folder
        },
        loras=frozenset(map(_with_slashes, loras)),
    )


def _with_slashes(file: str) -> str:
    """A file's path with ``/`` between folders, where Windows writes a backslash."""
    return file.replace("\\", "/")


def compatible(version: str) -> bool:
    """Whether a pack of this version understands our graphs: its first number is ours, and it is not older,
    because ComfyUI silently drops an input that an older node does not know."""
    there, ours = (tuple(map(int, re.findall(r"\d+", text))) for text in (version, pack.PACK_VERSION))
    return there[:1] == ours[:1] and there >= ours


def rows(template: WorkflowTemplate, memory_gb: float | None, max_batch: int | None) -> int:
    """The most pictures in one run: the operator's number, else what fits, else `MOST_UNTRIED`; at most what
    the card says."""
    fitting = fitting_rows(template, memory_gb, max_batch) or MOST_UNTRIED
    return max(1, min(fitting, template.card.max_batch or fitting))


def fitting_rows(template: WorkflowTemplate, memory_gb: float | None, max_batch: int | None) -> int | None:
    """The operator's number, else how many pictures fit by the card; None if that is not known."""
    if max_batch is not None:
        return max_batch
    if template.card.memory is not None and memory_gb is not None:
        return template.card.memory.rows(memory_gb)
    return None


def _version(template: WorkflowTemplate, server: str) -> str:
    return hashlib.sha256(f"{server} {template.fingerprint}".encode()).hexdigest()[:32]


def vram_gb(stats: Mapping[str, JSON]) -> float | None:
    """The memory of the server's first device in GiB."""
    devices = stats.get("devices")
    first = devices[0] if isinstance(devices, list) and devices else None
    total = first.get("vram_total") if isinstance(first, dict) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or total <= 0:
        return None
    return total / GIB


def _graphs(template: WorkflowTemplate, *, fused: bool, masks: bool) -> tuple[Graph | None, Graph]:
    """The graphs that would be sent: fused (None if that is not possible), and alone. Without ``masks`` no
    sampler run can be shared."""
    request = example(template)
    names = ["x.png"] * len(request.sources)
    alone = plain(template, request, key="0" * 32, source_names=names).graph
    if not fused or fusible(template) is not None:
        return None, alone
    batched = fuse(template, [request], keys=["0" * 32], source_names=[names]).graph
    sampled = any(node.class_type == pack.MODEL for node in batched.values())
    return (None if sampled and not masks else batched), alone


async def _table(client: ComfyClient, graphs: Iterable[Graph]) -> Table:
    """The server's description of each class. Each class is a request of its own: all classes of a large
    installation together are megabytes."""
    names = sorted({node.class_type for graph in graphs for node in graph.values()})
    return await _each(client.object_info, names)


async def _absent(
    client: ComfyClient,
    templates: Mapping[str, WorkflowTemplate],
    graphs: Mapping[str, tuple[Graph | None, Graph]],
    table: Table,
) -> set[Lack]:
    """The pictures that the templates themselves use and the server does not have."""
    named = {
        picture: None
        for name, pair in graphs.items()
        for graph in pair
        for picture in pictures(graph or {}, table, templates[name].card.places("sources"))
    }
    found = await _each(lambda picture: client.has(_ref(picture)), named)
    return {picture for picture, is_there in found.items() if not is_there}


async def _each(ask: Callable[[K], Awaitable[V]], items: Iterable[K]) -> dict[K, V]:
    """The answer for each item, asking `_AT_ONCE` at a time."""
    gate, keys = asyncio.Semaphore(_AT_ONCE), list(items)

    async def asked(item: K) -> V:
        async with gate:
            return await ask(item)

    return dict(zip(keys, await gather_or_cancel(map(asked, keys)), strict=True))


def _ref(picture: Lack) -> ImageRef:
    subfolder, _, filename = annotated(picture.value)[0].replace("\\", "/").rpartition("/")
    return ImageRef(filename=filename, subfolder=subfolder, type=picture.folder)


def _needs(
    template: WorkflowTemplate, graphs: tuple[Graph | None, Graph], table: Table, absent: set[Lack]
) -> tuple[list[Lack] | None, list[Lack]]:
    """What is missing to run it fused (None: that is not possible), and alone."""
    batched, alone = graphs
    sources = template.card.places("sources")

    def missing(graph: Graph) -> list[Lack]:
        return [
            *lacks(graph, table, sources),
            *(picture for picture in pictures(graph, table, sources) if picture in absent),
        ]

    return None if batched is None else missing(batched), missing(alone)


def _about_server(
    client: ComfyClient, stats: Mapping[str, JSON], version: str | None, *, usable: bool
) -> Iterable[Finding]:
    yield from findings.about_version(client.name, _comfyui(stats), vram_gb(stats))
    http = client.http
    yield findings.about_way(client.name, encrypted=http.encrypted, key=http.has_key, private=http.private)
    yield findings.about_pack(client.name, version, usable=usable)


def _about_all(client: ComfyClient, stats: Mapping[str, JSON], models: list[str]) -> Iterable[Finding]:
    if models:
        yield findings.about_all(client.name, _comfyui(stats), vram_gb(stats), models)


def _comfyui(stats: Mapping[str, JSON]) -> str:
    return short(str(_system(stats, "comfyui_version")))[:40]


def _about_models(
    client: ComfyClient,
    templates: Mapping[str, WorkflowTemplate],
    limits: Mapping[str, int],
    fused: frozenset[str],
    cautious: frozenset[str],
) -> Iterable[Finding]:
    for name, limit in limits.items():
        why_alone = fusible(templates[name]) if name not in fused else None
        shown = templates[name].name
        yield findings.about_model(client.name, shown, limit, why_alone, untried=name in cautious)


def _about_memory(
    client: ComfyClient, templates: Iterable[WorkflowTemplate], memory_gb: float | None
) -> Iterable[Finding]:
    for template in templates:
        memory = template.card.memory
        if memory is not None and memory_gb is not None and memory.needed_gb > memory_gb:
            yield findings.about_memory(client.name, template.name, memory.needed_gb, memory_gb)


def _about_lacks(
    client: ComfyClient,
    templates: Mapping[str, WorkflowTemplate],
    missing: Mapping[str, list[Lack]],
    limits: Mapping[str, int],
) -> Iterable[Finding]:
    """One finding for each missing thing, for all models that need it."""
    needed_by: dict[Lack, dict[str, None]] = {}
    for name, found in missing.items():
        for lack in found:
            needed_by.setdefault(lack, {})[name] = None
    for lack, names in needed_by.items():
        fatal = any(name not in limits for name in names)
        shown = {templates[name].name: templates[name].workflow_file for name in names}
        fetch = _fetch_line(lack, [templates[name] for name in names])
        yield findings.about_lack(client.name, lack, shown, fatal=fatal, fetch=fetch)


def _fetch_line(lack: Lack, templates: Iterable[WorkflowTemplate]) -> str:
    """The command that fetches a missing file, empty if none of the models that need it says from where."""
    lines = (template.fetch_line(lack.value) for template in templates) if lack.is_file else ()
    return next(filter(None, lines), "")


def _system(stats: Mapping[str, JSON], name: str) -> JSON:
    system = stats.get("system")
    return system.get(name) if isinstance(system, dict) else None
