"""Watches ``flujos/`` while the bot runs, and adds, changes and removes models, LoRAs and styles with their
files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import LORAS, STYLES, LoadedModel, model_name, read_models
from modules.ai.models.loras_and_styles import misfits, read_loras, read_styles
from modules.ai.workflows.graph import JSON
from modules.ai.workflows.node_table import Table, bundled_table
from modules.ai.workflows.reduced_table import packed, reduced
from modules.ai.workflows.templates import WorkflowTemplate
from modules.ai.workflows.workflow_file import ENDINGS
from modules.queue_manager.errors import BadWorkflow, StoreError
from modules.queue_manager.jobs import Style
from modules.queue_manager.offers import LoraOffer, ModelChange, Offers
from modules.queue_manager.ports import Clock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 0.5
"""How often the folder is looked at. A file is read once two looks in a row find it the same."""

T = TypeVar("T")

Marks = Mapping[str, tuple[int, int]]
"""Size and time of each file, by its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What is in the folder now; None for LoRAs or styles whose file is faulty."""

    models: Mapping[str, LoadedModel]
    loras: tuple[LoraOffer, ...] | None
    styles: tuple[Style, ...] | None
    faults: tuple[str, ...]


@dataclass(kw_only=True, eq=False, repr=False)
class ModelFolder:
    """``templates`` has the models of ``path`` by id. Removed and changed ones stay while jobs need them;
    ``in_use`` returns those ids. ``on_change`` is called when what is offered has changed. ``kept_table`` is
    what an earlier process learned about servers' nodes; ``keep_table`` saves it for the next one."""

    path: Path
    clock: Clock
    in_use: Callable[[], Collection[str]]
    on_change: Callable[[], None]
    kept_table: Table
    keep_table: Callable[[str], Awaitable[None]]

    def __post_init__(self) -> None:
        self.templates: dict[str, WorkflowTemplate] = {}
        self.offers = Offers()
        self._tables: dict[str, Table] = {"": self.kept_table}
        self._now: dict[str, WorkflowTemplate] = {}
        self._loras: tuple[LoraOffer, ...] = ()
        self._faults: tuple[str, ...] = ()
        self._fingerprints: dict[str, str] = {}
        self._read: Marks = {}
        self._turn = asyncio.Lock()

    def load(self) -> None:
        """Read the folder for the first time. Raises `BadWorkflow` if none of its models can be used."""
        self._read = marks(self.path) or {}
        found = self._found()
        self._take(found, first=True)
        if not found.models:
            raise BadWorkflow(
                "\n".join(
                    [*found.faults, f"{self.path}: no model there (a model is a workflow file, NAME.json)"]
                )
            )

    async def watch(self) -> None:
        """Look at the folder again and again, until cancelled."""
        seen: Marks | None = self._read
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            before, seen = seen, await asyncio.to_thread(marks, self.path)
            if seen is not None and seen == before and seen != self._read:
                await self.reload()
            self._forget_unused()

    async def reload(self) -> tuple[ModelChange, ...]:
        """Read the folder now; returns what has changed, and every faulty file. If the folder cannot be read,
        nothing changes."""
        async with self._turn:
            found = await asyncio.to_thread(marks, self.path)
            if found is None:
                return (ModelChange(turn="faulty", what=f"{self.path} cannot be read"),)
            self._read = found
            return self._take(await asyncio.to_thread(self._found))

    async def learn(self, server: str, nodes: Mapping[str, JSON]) -> None:
        """Take a server's answer to ``GET /object_info``, which may make more files readable."""
        table = await asyncio.to_thread(reduced, nodes)
        if self._tables.get(server) == table:
            return
        before = self._table()
        self._tables[server] = table
        if self._table() == before:
            return
        if self._faults:
            await self.reload()
        known = _merged(self._tables)
        try:
            await self.keep_table(await asyncio.to_thread(packed, known))
        except StoreError as error:
            logger.warning("Could not store the node table of a server: %s", error, extra={"engine": server})

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _table(self) -> Table:
        return {**bundled_table(), **_merged(self._tables)}

    def _found(self) -> _Found:
        models, faults = read_models(self.path, self._table())
        loras = _unless_faulty(read_loras, self.path, faults)
        styles = _unless_faulty(read_styles, self.path, faults)
        return _Found(models=models, loras=loras, styles=styles, faults=tuple(faults))

    def _take(self, everything: _Found, *, first: bool = False) -> tuple[ModelChange, ...]:
        """Offer ``everything`` from now on; what came from a file that is faulty now stays as it was."""
        found = everything.models
        now: dict[str, WorkflowTemplate] = {}
        for name in model_names(self._read):
            if name in found:
                now[name] = self._identified(found[name].template)
            elif name in self._now:
                now[name] = self._now[name]
        before, self._now = self._now, now
        changes = [
            *(ModelChange(turn="added", what=name) for name in now if name not in before),
            *(ModelChange(turn="changed", what=n) for n in now if n in before and now[n].id != before[n].id),
            *(ModelChange(turn="removed", what=name) for name in before if name not in now),
        ]
        reread, misfitting = self._take_loras_and_styles(everything)
        faults = (*everything.faults, *misfitting)
        new_faults = [fault for fault in faults if fault not in self._faults]
        self._faults = faults
        if changes:
            self._replace()
        if (changes or reread) and not first:
            self.on_change()
        notes = [f"{c.what}: {note}" for c in changes if c.what in found for note in found[c.what].notes]
        self._tell(
            [*changes, *reread],
            [*(f"this cannot be used: {fault}" for fault in new_faults), *notes],
            first=first,
        )
        return (*changes, *reread, *(ModelChange(turn="faulty", what=fault) for fault in faults))

    def _take_loras_and_styles(self, found: _Found) -> tuple[list[ModelChange], list[str]]:
        """Offer the LoRAs and styles, each LoRA with the models that can take it. Returns what has changed,
        and why a LoRA is not offered with a model."""
        before = self.offers.loras, self.offers.styles
        self._loras = self._loras if found.loras is None else found.loras
        unfit = {lora.name: dict(misfits(lora, self._now)) for lora in self._loras}
        fitting = [
            replace(lora, models=tuple(name for name in lora.models if name not in unfit[lora.name]))
            for lora in self._loras
        ]
        self.offers.loras = tuple(lora for lora in fitting if lora.models)
        if found.styles is not None:
            self.offers.styles = found.styles
        now = self.offers.loras, self.offers.styles
        reread = [
            ModelChange(turn="reread", what=file)
            for file, old, new in zip((LORAS, STYLES), before, now, strict=True)
            if old != new
        ]
        notes = [f"{LORAS}: {name}: {why}" for name, models in unfit.items() for why in models.values()]
        return reread, notes

    def _identified(self, template: WorkflowTemplate) -> WorkflowTemplate:
        """The template, with an id that no other graph or card has had in this process."""
        mark = template.fingerprint
        if self._fingerprints.setdefault(template.id, mark) != mark:
            template = replace(template, version=mark[:8])
        self._fingerprints[template.id] = mark
        return template

    def _replace(self) -> None:
        needed = self.in_use() if self.templates else ()
        offered = {template.id: template for template in self._now.values()}
        retired = {
            name: template
            for name, template in self.templates.items()
            if name in needed and name not in offered
        }
        self.templates.clear()
        self.templates.update(retired | offered)
        self.offers.replace(
            [template.offer() for template in offered.values()],
            [template.offer() for template in retired.values()],
        )

    def _forget_unused(self) -> None:
        offered = {template.id for template in self._now.values()}
        retired = self.templates.keys() - offered
        if retired and not retired <= set(self.in_use()):
            self._replace()

    def _tell(self, changes: list[ModelChange], warnings: list[str], *, first: bool) -> None:
        for warning in warnings:
            logger.warning("%s", warning)
        for change in changes:
            if not first:
                logger.info(
                    "%s %s: %s", "File" if change.turn == "reread" else "Model", change.turn, change.what
                )
            why = fusible(self._now[change.what]) if change.what in self._now else None
            if why is not None:
                logger.warning("%s makes pictures one by one: %s", change.what, why)


def marks(folder: Path) -> Marks | None:
    """Size and time of the workflow files and cards of a folder, None while it cannot be read."""
    found: dict[str, tuple[int, int]] = {}
    try:
        for file in folder.iterdir():
            if file.suffix.lower() in (*ENDINGS, ".toml") and not file.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # deleted a moment ago
                    stat = _stat(file)
                    found[file.name] = (stat.st_size, stat.st_mtime_ns)
    except OSError:
        return None
    return found


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError:  # a link to nothing, or to itself
        return file.lstat()


def _unless_faulty(read: Callable[[Path], T], folder: Path, faults: list[str]) -> T | None:
    """What ``read`` finds there; None if it cannot be used: then the reason is added to ``faults``."""
    try:
        return read(folder)
    except BadWorkflow as fault:
        faults.append(fault.reason)
        return None


def model_names(files: Marks) -> list[str]:
    """The names of the models in a folder's files, in order."""
    return sorted({model_name(Path(name).stem) for name in files if not name.lower().endswith(".toml")})


def _merged(tables: Mapping[str, Table]) -> Table:
    return {name: entry for server in sorted(tables) for name, entry in tables[server].items()}
