"""What the fidelity tests measured, and its place in docs/fidelity.md: a part for each ComfyUI version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The worst of some batches against the same pictures alone through stock nodes."""

    model: str
    what: str  # sampler, or the kind of edit
    guidance: float
    batches: tuple[int, ...]
    latent: float  # largest difference of a latent value
    floor: (
        float | None
    )  # the same between stock nodes alone and stock nodes in a batch, or None if not measured
    pixel: int  # largest difference of a byte
    share: float  # of bytes that differ


def table(rows: list[Measured]) -> str:
    head = (
        "| model | sampler or edit | guidance | batches | latents | stock batch | bytes | that differ |",
        "|---|---|--:|---|--:|--:|--:|--:|",
    )
    lines = [
        f"| {r.model} | {r.what} | {r.guidance:g} | {', '.join(map(str, r.batches))} | {r.latent:.1e} | "
        f"{_floor(r.floor)} | {r.pixel}/255 | {r.share:.4%} |"
        for r in rows
    ]
    return "\n".join((*head, *lines))


def networks_table(rows: list[dict[str, Any]]) -> str:
    """Of networks.py's measurements: one line for each network, texts and guidance."""
    lines = [
        "| network | way | tokens of the prompts, of the negatives | guidance | largest value | latents "
        "| stock batch | row by row | alone from exact | fused from exact | latents in float64 |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cases.setdefault(f"{row['network']} {row['lengths']} {row['guidance']}", []).append(row)
    for case in cases.values():
        first = case[0]
        tokens = " – ".join(", ".join(map(str, lengths)) for lengths in first["lengths"])
        single, double = (
            max(row["latents"] for row in case if row["dtype"] == dtype) for dtype in ("float32", "float64")
        )
        (euler,) = (row for row in case if "apart" in row)
        lines.append(
            f"| {first['network']} | {first['way']} | {tokens} | {first['guidance']:g} | "
            f"{max(row['largest'] for row in case):.1f} | {single:.1e} | {_floor(stock_batch(case))} | "
            f"{euler['apart']:.1e} | {euler['alone_from_exact']:.1e} | {euler['fused_from_exact']:.1e} | "
            f"{double:.1e} |"
        )
    return "\n".join(lines)


def stock_batch(rows: list[dict[str, Any]]) -> float:
    """What the size of a batch alone does to stock nodes, in float32."""
    return max(row["stock"] for row in rows if row["dtype"] == "float32" and row["stock"] is not None)


def patches_table(rows: list[dict[str, Any]]) -> str:
    """Of patches.py's measurements: one line for each case."""
    lines = [
        "| what | networks | as a batch | in sub-batches | largest difference | of values up to |",
        "|---|---|---|---|--:|--:|",
    ]
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row)
    for name, case in cases.items():
        wrong = case[0]["kind"] == "wrong"
        tried = [row["vouched"] if wrong else row for row in case]
        found = [row for row in tried if "latents" in row]
        worst = max(found, key=lambda row: row["latents"], default=None)
        batch, parts = (
            _verdict([row for row in case if (row["way"] == "split") == split]) for split in (False, True)
        )
        lines.append(
            f"| {name} | {', '.join(dict.fromkeys(row['network'] for row in case))} | {batch} | {parts} | "
            + ("fails |  |" if worst is None else f"{worst['latents']:.1e} | {worst['largest']:.0f} |")
        )
    return "\n".join(lines)


def _verdict(rows: list[dict[str, Any]]) -> str:
    refused = dict.fromkeys(f"{row['network']} {row['way']}" for row in rows if "refused" in row)
    if rows and all("refused" in row for row in rows):
        return "refused"
    return f"exact; refused: {', '.join(refused)}" if refused else "exact" if rows else "–"


def _floor(floor: float | None) -> str:
    if floor is None:
        return "–"
    return "another picture" if floor > 0.1 else f"{floor:.1e}"


def write_part(file: Path, name: str, text: str) -> None:
    """Puts `text` between this part's markers, after the other parts if it is new."""
    start, end = f"<!-- part: {name} -->", f"<!-- end: {name} -->"
    part = f"{start}\n{text.strip()}\n{end}"
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    new = pattern.sub(lambda _: part, old) if pattern.search(old) else f"{old.rstrip()}\n\n{part}\n"
    file.write_text(new, encoding="utf-8")
