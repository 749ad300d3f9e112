"""Measures the bot: prints one table and writes build/bench.json.

python -m tests.benchmarks [--only NAME ...] [--runs 3] [--seconds 30] [--list]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.registry import SUBJECTS
from tests.benchmarks.subject import Measurement, Result, Subject, results

OUT = Path(__file__).resolve().parents[2] / "build" / "bench.json"


def main(arguments: Sequence[str]) -> int:
    """0 if every target that was measured is met, else 1."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(_listing())
        return 0
    subjects = _chosen(options.only)
    if not subjects:
        sys.exit(f"Nothing is called {', '.join(options.only)}; --list shows what there is")
    all_found: list[Result] = []
    failed = False
    for subject in subjects:
        found = asyncio.run(measured(subject, options.runs, options.seconds, keep_going=not options.debug))
        failed |= found is None
        all_found += found or results(subject, [{}])
        _write(all_found, whole=not options.only)
    print()
    print(table(all_found))
    print(f"\nWritten to {OUT}")
    return 1 if failed or any(result.figure.holds(result.value) is False for result in all_found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bot.py bench", description="Measure the bot.")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="measure only this subject or figure; repeatable",
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="how often each subject is measured; the median is shown"
    )
    parser.add_argument("--seconds", type=float, default=30, help="how many seconds the load lasts")
    parser.add_argument("--list", action="store_true", help="show what can be measured")
    parser.add_argument("--debug", action="store_true", help="stop at the first error")
    return parser


def _chosen(only: Sequence[str]) -> list[Subject]:
    if not only:
        return list(SUBJECTS)
    return [s for s in SUBJECTS if {s.name, *(f.name for f in s.figures)} & set(only)]


async def measured(subject: Subject, runs: int, seconds: float, *, keep_going: bool) -> list[Result] | None:
    """The figures of ``runs`` measurements; one that broke off has no numbers. None when all broke off."""
    found: list[Measurement] = []
    sustained = {"seconds": seconds} if subject.sustained else {}
    runs = 1 if subject.once else runs
    for number in range(runs):
        began = time.monotonic()
        try:
            run = await subject.measure(number, **sustained)
        except Exception as error:  # one subject's mishap must not cost the others' figures
            if not keep_going:
                raise
            print(f"{subject.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            found.append({})
            continue
        took = time.monotonic() - began
        shown = ", ".join(f"{name} {value:.4g}" for name, value in run.items())
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{subject.name} {number + 1}/{runs} ({took:.0f} s{load}): {shown}", flush=True)
        found.append(run)
    return results(subject, found) if any(found) else None


def _write(measured: Sequence[Result], *, whole: bool) -> None:
    """A run of some figures leaves the others' in the file."""
    figures = {result.figure.name: result.as_json() for result in measured}
    if not whole and OUT.exists():
        before = {figure["name"]: figure for figure in json.loads(OUT.read_text("utf-8"))}
        figures = {**before, **figures}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(list(figures.values()), indent=1) + "\n", "utf-8")


def table(measured: Sequence[Result]) -> str:
    """For people."""
    rows = [("figure", "median", "min", "max", "unit", "target", "")]
    for result in measured:
        figure = result.figure
        sign = {"at least": "≥", "at most": "≤"}[figure.better]
        target = "–" if figure.target is None else f"{sign} {figure.target:g}"
        mark = {True: "✓", False: "✗", None: ""}[figure.holds(result.value)]
        numbers = (_shown(value) for value in (result.value, min(result.samples), max(result.samples)))
        rows.append((figure.name, *numbers, figure.unit, target, mark))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _shown(value: float) -> str:
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _listing() -> str:
    lines = []
    for subject in SUBJECTS:
        lines.append(subject.name)
        lines += [f"    {figure.name} [{figure.unit}]: {figure.about}" for figure in subject.figures]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
