"""`python -m tests.templates DIR [--json] [--index FILE]`: what the bot makes of each workflow file in DIR.

The files are those that ``flujos/`` takes (.json, .png, .webp). Each is loaded as a model by what its graph
tells (a card beside it is not read), and asked whether several people's prompts can share a run of it. Exit
code 0 once every file has its line.

--json prints one object, ``{"templates": [...], "counts": {...}}``. A template has ``file``, ``kind`` (null
when it cannot be loaded), ``loadable``, ``why_not_loadable``, ``fusible`` and ``why_not_fusible`` (null where
there is nothing to explain). The counts are of ``files``, of each kind, and of what is ``loadable`` and
``fusible``; ``crashed`` counts the files at which the bot's code failed without a sentence, and their
traceback goes to stderr.

--index names the index of ComfyUI's templates (``index.json`` of comfyui-workflow-templates-json). Then only
those in it are judged that are of open models and end in pictures alone; a template has its ``usage`` too,
and there are ``shares``: which part of all usage is loadable and fusible.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import load_model
from modules.ai.workflows.workflow_file import ENDINGS
from modules.queue_manager.errors import BadWorkflow

LONGEST_REASON = 300
"""Characters: a sentence may quote a node's title, and a title may be as long as the file."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome for one file."""

    file: str
    kind: str | None = None
    loadable: bool = False
    why_not_loadable: str | None = None
    fusible: bool = False
    why_not_fusible: str | None = "it cannot be loaded"
    crashed: bool = False


def main(arguments: Sequence[str]) -> int:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.templates",
        description="Judge each workflow file of a folder.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--index", type=Path, metavar="FILE", help="ComfyUI's index of its templates")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    files = sorted(file for file in options.folder.iterdir() if file.suffix.lower() in ENDINGS)
    usage = None if options.index is None else picture_templates(options.index)
    if usage is not None:
        files = [file for file in files if file.stem in usage and ends_in_pictures(file)]
    verdicts = [judge(file) for file in files]
    told = [{k: v for k, v in asdict(verdict).items() if k != "crashed"} for verdict in verdicts]
    report: dict[str, Any] = {"templates": told, "counts": counts(verdicts)}
    if usage is not None:
        for template in told:
            template["usage"] = usage[Path(template["file"]).stem]
        report["shares"] = shares(told)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        for line in lines(verdicts):
            print(line)
        for name, share in report.get("shares", {}).items():
            print(f"{share:.3f} of the usage is {name}")
    return 0


def picture_templates(index: Path) -> dict[str, int]:
    """The templates of open models in ComfyUI's index, and how often each is used."""
    entries = [entry for group in json.loads(index.read_text("utf-8")) for entry in group["templates"]]
    return {
        entry["name"]: entry.get("usage") or 0
        for entry in entries
        if not entry["name"].startswith("api_") and entry.get("openSource") is not False
    }


def ends_in_pictures(file: Path) -> bool:
    """Whether a template saves pictures, and neither videos nor shapes, whatever else its file is."""
    saved = {name for name in _ENDS if f'"{name}"' in file.read_text("utf-8", "replace")}
    return bool(saved & _PICTURES) and not saved - _PICTURES


_PICTURES = frozenset({"SaveImage", "SaveImageAdvanced"})
_ENDS = _PICTURES | {"SaveVideo", "CreateVideo", "SaveGLB"}


def shares(templates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Which part of all usage is loadable and fusible."""
    every = sum(template["usage"] for template in templates) or 1
    return {
        name: round(sum(template["usage"] for template in templates if template[name]) / every, 4)
        for name in ("loadable", "fusible")
    }


def judge(file: Path) -> Verdict:
    """The verdict on one file, whatever stands in it."""
    name = _printable(file.name)
    if not file.is_file():
        return Verdict(file=name, why_not_loadable="it is not a file")
    try:
        with tempfile.TemporaryDirectory() as folder:
            template = load_model(Path(shutil.copy(file, folder))).template
        why_alone = fusible(template)
    except BadWorkflow as fault:
        reason = str(fault).removeprefix(f"{file.name}: ")
        return Verdict(file=name, why_not_loadable=_printable(reason))
    except Exception as fault:  # noqa: BLE001 - whatever a file does to the bot's code is the answer for that file
        traceback.print_exc()
        reason = f"crashed: {type(fault).__name__}: {fault}"
        return Verdict(file=name, why_not_loadable=_printable(reason), crashed=True)
    why = None if why_alone is None else _printable(why_alone)
    kind = template.card.kind
    return Verdict(file=name, kind=kind, loadable=True, fusible=why is None, why_not_fusible=why)


def _printable(text: str) -> str:
    """One line that any terminal takes: a file's own words may hold line breaks and half characters."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many of each."""
    verdicts = list(verdicts)
    kinds = {kind: sum(v.kind == kind for v in verdicts) for kind in ("imagine", "edit", "upscale")}
    return {
        "files": len(verdicts),
        **kinds,
        "loadable": sum(v.loadable for v in verdicts),
        "fusible": sum(v.fusible for v in verdicts),
        "crashed": sum(v.crashed for v in verdicts),
    }


def lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """For people: a line a file, and the counts."""
    for verdict in verdicts:
        if not verdict.loadable:
            state = f"not loadable: {verdict.why_not_loadable}"
        elif not verdict.fusible:
            state = f"one by one: {verdict.why_not_fusible}"
        else:
            state = "fusible"
        yield f"{verdict.file} ({verdict.kind or 'no kind'}): {state}"
    yield ", ".join(f"{count} {name}" for name, count in counts(verdicts).items())


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
