"""`python -m tests.templates DIR [--json]`: what the bot makes of each workflow file (*.json) in DIR.

Each file gets the card that the bot itself would propose (a card beside it is not read). Then it is loaded
as a model, and asked whether several people's prompts can share a run of it. Exit code 0 once every file has
its line.

--json prints one object, ``{"templates": [...], "counts": {...}}``. A template has ``file``, ``kind`` (null
when no card can be proposed), ``loadable``, ``why_not_loadable``, ``fusible`` and ``why_not_fusible`` (null
where there is nothing to explain). The counts are of ``files``, of each kind, and of what is ``loadable`` and
``fusible``; ``crashed`` counts the files at which the bot's code failed without a sentence, and their
traceback goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import load_model
from modules.queue_manager.errors import BadWorkflow

LONGEST_REASON = 300
"""Characters: a sentence may quote a node's title, and a title may be as long as the file."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one file."""

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
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    verdicts = [judge(file) for file in sorted(options.folder.glob("*.json"))]
    if options.json:
        templates = [{k: v for k, v in asdict(verdict).items() if k != "crashed"} for verdict in verdicts]
        print(json.dumps({"templates": templates, "counts": counts(verdicts)}, indent=1))
    else:
        for line in lines(verdicts):
            print(line)
    return 0


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
