"""Reads the models of ``flujos/``: each is a workflow file, some with a card beside it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modules.ai.fusion.fuse import mask_use, why_no_start
from modules.ai.fusion.sources import scaling
from modules.ai.models.derivation import derive, label_of
from modules.ai.models.drawing import Underivable
from modules.ai.models.matching import mismatches
from modules.ai.workflows.cards import BadCard, ModelCard, is_whole, read_card, read_fields
from modules.ai.workflows.folding import folded
from modules.ai.workflows.graph import Graph, only, upstream
from modules.ai.workflows.node_table import Table, bundled_table
from modules.ai.workflows.templates import WorkflowTemplate
from modules.ai.workflows.workflow_file import ENDINGS, read_workflow
from modules.queue_manager.errors import BadWorkflow

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}")
LORAS, STYLES = "loras.toml", "styles.toml"
"""The files beside the models that list LoRAs and styles; no card has such a name."""

_LARGEST_CARD = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A model, whether its card is ``derived`` from its graph, and notes on what could not be found out."""

    template: WorkflowTemplate
    derived: bool
    notes: tuple[str, ...] = ()


def read_models(folder: Path, table: Table | None = None) -> tuple[dict[str, LoadedModel], list[str]]:
    """The models of a folder by name, and a sentence about each file that cannot be used."""
    models: dict[str, LoadedModel] = {}
    faults: list[str] = []
    files: dict[str, Path] = {}
    for file in workflow_files(folder):
        name = model_name(file.stem)
        if file.with_suffix(".toml").name in (LORAS, STYLES):
            other_use = f"its card would be {file.stem}.toml, and that file has another purpose"
            faults.append(f"{_printed(file)}: rename it: {other_use}")
            continue
        if (other := files.setdefault(name, file)) != file:
            faults.append(
                f"{_printed(file)}: its model would be called {name}, like that of {_printed(other)}"
            )
            continue
        try:
            models[name] = load_model(file, table)
        except BadWorkflow as fault:
            faults.append(fault.reason)
        except Exception:  # a fault of ours at one file must not take the other models away
            logger.exception("The workflow file %s could not be read", _printed(file))
            faults.append(f"{_printed(file)}: the bot failed while reading it; its log has the details")
    stems = {file.stem for file in files.values()}
    faults += [
        f"{card.name}: there is no workflow beside it ({card.stem}.json)"
        for card in sorted(folder.glob("*.toml"))
        if card.stem not in stems and card.name not in (LORAS, STYLES)
    ]
    return models, faults


def workflow_files(folder: Path) -> Iterator[Path]:
    """The workflow files of a folder by the names of their models; files with exactly that name first."""
    found = [file for file in folder.glob("*") if file.suffix.lower() in ENDINGS]
    found.sort(key=lambda file: (model_name(file.stem), model_name(file.stem) != file.stem, file.name))
    return (file for file in found if not file.name.startswith("."))


def model_name(stem: str) -> str:
    """The name of the model in a file: the file's name, or one like it in plain letters."""
    if _NAME.fullmatch(stem):
        return stem
    letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9_.-]+", "-", letters).strip("-._")
    if len(plain) > 48 or not plain:  # similar names stay different
        digest = hashlib.sha256(stem.encode(errors="surrogateescape")).hexdigest()[:8]
        plain = f"{plain[:39]}-{digest}".strip("-")
    return plain


def load_model(file: Path, table: Table | None = None) -> LoadedModel:
    """The model of a workflow file, with the card beside it or one that is derived from its graph.

    Raises `BadWorkflow`, which names the file, and the field of the card.
    """
    if _printed(file) != file.name:
        raise BadWorkflow(f"{_printed(file)}: its name is not UTF-8")
    if not os.path.isfile(file):  # also false, unlike Path.is_file, for a path that the system refuses
        raise BadWorkflow(f"{file.name}: it is not a file")
    card_file = file.with_suffix(".toml")
    has_card = os.path.lexists(card_file)
    blamed = card_file if has_card else file
    try:
        written = read_fields(text_of(card_file)) if has_card else {}
        table = bundled_table() if table is None else table
        workflow = read_workflow(file, table)
        raw = workflow.graph
        if is_whole(written):
            card, graph, notes = _as_written(raw, table, written)
        else:
            derived = derive(raw, table, written, label=label_of(file.stem))
            card, graph, notes = read_card(derived.fields), derived.graph, derived.notes
        mismatch = next(mismatches(card, graph), None)
        if mismatch is not None:
            raise BadCard(mismatch)
    except (BadCard, Underivable) as fault:
        raise BadWorkflow(f"{blamed.name}: {fault}") from fault
    except RecursionError as fault:
        raise BadWorkflow(f"{file.name}: it has too long a chain of nodes") from fault
    used = only(graph, upstream(graph, [card.places("output")[0].node]))
    template = WorkflowTemplate(
        name=model_name(file.stem),
        card=card,
        graph=used,
        scalings=tuple(scaling(used, place.node) for place in card.places("sources")),
        file=file.name,
        downloads=(*card.downloads, *workflow.downloads),
    )
    template = replace(template, starts=why_no_start(template) is None, masks=mask_use(template))
    return LoadedModel(template=template, derived=not is_whole(written), notes=notes)


def _as_written(
    raw: Graph, table: Table, written: Mapping[str, Any]
) -> tuple[ModelCard, Graph, tuple[str, ...]]:
    """A card that has every field, and the graph that it refers to."""
    card = read_card(written)
    named = {place.node for there in card.roles.values() for place in there}
    return card, folded(raw, table, named, enhance=card.enhance_prompt), ()


def _printed(file: Path) -> str:
    """The name of a file, with escapes for what cannot be written to a log."""
    return file.name.encode("utf-8", "backslashreplace").decode()


def text_of(file: Path) -> str:
    """The text of a file of the folder. Raises `BadWorkflow`, which names it."""
    if not os.path.isfile(file):
        raise BadWorkflow(f"{file.name}: it is not a file")
    try:
        if file.stat().st_size > _LARGEST_CARD:
            raise BadWorkflow(f"{file.name}: larger than {_LARGEST_CARD} bytes")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadWorkflow(f"{file.name}: not UTF-8") from fault
    except OSError as fault:
        raise BadWorkflow(f"{file.name}: cannot be read ({fault.strerror})") from fault
