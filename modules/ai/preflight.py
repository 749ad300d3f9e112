"""What a server can run, in words: nodes, model files, node pack, memory and flags, each with its mend."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from modules.ai import pack
from modules.ai.comfy_client import ComfyClient
from modules.ai.comfy_errors import short
from modules.ai.fusion import example, fuse, fusible, plain
from modules.ai.graph import JSON, Graph
from modules.ai.node_table import Lack, lacks
from modules.ai.samplers import Unfusible
from modules.ai.workflows import WorkflowTemplate

GIB = 2**30
OLDEST_COMFYUI = (0, 18)
Level = Literal["ok", "hint", "fault"]

_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing looked at. A hint costs speed, a fault costs pictures; ``mend`` says what to do."""

    level: Level
    what: str
    mend: str = ""
    model: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it need not be mended."""
        return self.level != "fault"

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}" if self.mend else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerReport:
    """What was found. ``limits`` holds each model that can run and the most rows of one run of it; those
    in ``fused`` run fused, the others one by one on stock nodes."""

    findings: tuple[Finding, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    fused: frozenset[str] = frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the operator should mend."""
        return tuple(str(finding) for finding in self.findings if finding.level != "ok")


async def inspect(
    client: ComfyClient, templates: Mapping[str, WorkflowTemplate], *, max_batch: int | None
) -> ServerReport:
    """Ask a server what it can run. ``max_batch`` None: as its memory and the cards say.

    Raises `EngineUnavailable` if it is not there.
    """
    stats = await client.system_stats()
    version = await client.pack_version()
    findings = [*_system(client, stats), _pack(client, version)]
    has_pack = version is not None and compatible(version)
    graphs = {name: _graphs(template, fused=has_pack) for name, template in templates.items()}
    classes = {
        node.class_type for both in graphs.values() for graph in both if graph for node in graph.values()
    }
    table = await _table(client, classes)
    limits: dict[str, int] = {}
    fused: set[str] = set()
    for name, template in templates.items():
        batched, alone = graphs[name]
        as_batch = None if batched is None else _lacks(template, batched, table)
        as_one = _lacks(template, alone, table)
        if as_batch == []:
            fused.add(name)
            limits[name] = rows(template, vram_gb(stats), max_batch)
        elif not as_one:
            limits[name] = 1
        findings += _model(client, template, name in limits, as_one or as_batch or [])
    findings += _flags(client, stats, templates.values())
    return ServerReport(findings=tuple(findings), limits=limits, fused=frozenset(fused))


def compatible(version: str) -> bool:
    """Whether a pack of this version understands our graphs: its first number is ours."""
    return version.partition(".")[0] == pack.PACK_VERSION.partition(".")[0]


def rows(template: WorkflowTemplate, memory_gb: float | None, max_batch: int | None) -> int:
    """The most pictures of one run: the operator's number, else what fits; never more than the card says."""
    card = template.card
    if max_batch is not None:
        fitting = max_batch
    elif card.memory is not None and memory_gb is not None:
        fitting = card.memory.rows(memory_gb)
    else:
        fitting = 1
    return max(1, min(fitting, card.max_batch or fitting))


def vram_gb(stats: Mapping[str, JSON]) -> float | None:
    """The memory of the server's first device in GiB."""
    devices = stats.get("devices")
    first = devices[0] if isinstance(devices, list) and devices else None
    total = first.get("vram_total") if isinstance(first, dict) else None
    return (
        total / GIB if isinstance(total, int | float) and not isinstance(total, bool) and total > 0 else None
    )


def _graphs(template: WorkflowTemplate, *, fused: bool) -> tuple[Graph | None, Graph]:
    """The graphs that would be sent: fused (None if that cannot be), and alone."""
    request = example(template)
    names = ["x.png"] * len(request.sources)
    alone = plain(template, request, key="0" * 32, source_names=names).graph
    if not fused:
        return None, alone
    try:
        return fuse(template, [request], keys=["0" * 32], source_names=[names]).graph, alone
    except Unfusible:
        return None, alone


async def _table(client: ComfyClient, classes: Iterable[str]) -> dict[str, Mapping[str, JSON] | None]:
    """What the server says of each class. One by one, since all of a large installation is megabytes."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask(name: str) -> Mapping[str, JSON] | None:
        async with gate:
            return await client.object_info(name)

    names = sorted(classes)
    return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))


def _lacks(
    template: WorkflowTemplate, graph: Graph, table: Mapping[str, Mapping[str, JSON] | None]
) -> list[Lack]:
    return list(lacks(graph, table, template.card.places("sources")))


# ── in words ────────────────────────────────────────────────────────────────────────────────────


def _system(client: ComfyClient, stats: Mapping[str, JSON]) -> list[Finding]:
    system = stats.get("system")
    version = str(system.get("comfyui_version") if isinstance(system, dict) else None)
    memory = vram_gb(stats)
    what = f"{client.name} is ComfyUI {short(version)[:40]}" + (f" with {memory:.1f} GB" if memory else "")
    findings = [Finding(level="ok", what=what)]
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < OLDEST_COMFYUI:
        mend = f"update it to {'.'.join(map(str, OLDEST_COMFYUI))} or newer"
        findings.append(Finding(level="hint", what=f"{client.name} is an old ComfyUI ({version})", mend=mend))
    if client.key_in_the_open and not client.private:
        what = f"the key for {client.name} travels without TLS"
        findings.append(Finding(level="hint", what=what, mend="use https:// in COMFY_URLS"))
    return findings


def _pack(client: ComfyClient, version: str | None) -> Finding:
    copy = "copy comfy_custom_nodes/fullet into its ComfyUI/custom_nodes and start it again"
    if version is None:
        return Finding(
            level="hint", what=f"{client.name} makes pictures one by one, without the node pack", mend=copy
        )
    if version == pack.PACK_VERSION:
        return Finding(level="ok", what=f"{client.name} has the node pack {version}")
    what = f"{client.name} has the node pack {version}, this bot is made for {pack.PACK_VERSION}"
    if not compatible(version):
        what += ", so pictures are made one by one"
    return Finding(level="hint", what=what, mend=copy)


def _model(client: ComfyClient, template: WorkflowTemplate, runs: bool, missing: list[Lack]) -> list[Finding]:
    name = template.name
    level: Level = "hint" if runs else "fault"
    findings = [Finding(level="ok", what=f"{client.name} can run {name}", model=name)] if runs else []
    told = {(lack.class_type, lack.input, lack.value): lack for lack in missing}
    findings += [_lacking(client, name, lack, level) for lack in told.values()]
    why = fusible(template)
    if runs and why is not None:
        what = f"{name} makes pictures one by one"
        findings.append(Finding(level="hint", what=what, mend=why, model=name))
    return findings


def _lacking(client: ComfyClient, model: str, lack: Lack, level: Level) -> Finding:
    if not lack.input:
        what = f"{client.name} cannot run {model}, it lacks the node {lack.class_type}"
        origin = "ComfyUI-GGUF" if lack.class_type.endswith("GGUF") else "the extension that brings it"
        mend = (
            "copy comfy_custom_nodes/fullet there" if lack.class_type in pack.CLASSES else f"install {origin}"
        )
        return Finding(level=level, what=what, mend=f"{mend} and start it again", model=model)
    what = f"{client.name} cannot run {model}, it lacks {lack.value} ({lack.class_type}, input {lack.input})"
    if lack.near is not None:
        return Finding(
            level=level,
            what=what,
            mend=f"did you mean {lack.near}? Write that in flujos/{model}.json",
            model=model,
        )
    mend = "put the file there" if lack.is_file else f"choose another value in flujos/{model}.json"
    return Finding(level=level, what=what, mend=mend, model=model)


def _flags(
    client: ComfyClient, stats: Mapping[str, JSON], templates: Iterable[WorkflowTemplate]
) -> list[Finding]:
    system = stats.get("system")
    argv = system.get("argv") if isinstance(system, dict) else None
    flags = (
        {flag.partition("=")[0] for flag in argv if isinstance(flag, str)} if isinstance(argv, list) else None
    )
    if flags is None or flags & {"--cache-lru", "--cache-ram"} or len({t.weights for t in templates}) < 2:
        return []
    what = f"{client.name} loads its models anew whenever people change between them"
    return [Finding(level="hint", what=what, mend="start ComfyUI with --cache-lru 100")]
