"""What ``check`` has found, as plain values; each package checks its own things."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from textwrap import indent
from typing import Literal

Level = Literal["ok", "hint", "fault"]

MARKS: dict[Level, str] = {"ok": "✓", "hint": "•", "fault": "✗"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was checked: OK, a hint (costs speed or comfort) or a fault (costs pictures)."""

    level: Level
    what: str
    fix: str = ""
    """What to do about it."""
    detail: str = ""
    """A longer text for that, such as a file's content."""
    routine: bool = False
    """Fine, and told only to those who want to see everything."""

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}" if self.fix else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    title: str
    findings: tuple[Finding, ...]


def sound(sections: Sequence[Section]) -> bool:
    return not of_level(sections, "fault")


def as_text(sections: Sequence[Section], *, everything: bool = False) -> str:
    """Problems with their fixes, then warnings, then what is fine: all of it, or only what is not routine."""
    return "\n".join(_lines(sections, everything=everything))


def _lines(sections: Sequence[Section], *, everything: bool) -> Iterator[str]:
    for level in ("fault", "hint"):
        for section in sections:
            for finding in section.findings:
                if finding.level == level:
                    yield f"{MARKS[finding.level]} {section.title}: {finding.what}"
                    if finding.fix:
                        yield f"  → {finding.fix}"
                    yield from _detail(finding, "    ")
    for section in sections:
        fine = [finding for finding in section.findings if finding.level == "ok"]
        shown = [finding for finding in fine if everything or not finding.routine]
        if shown:
            yield section.title
        for finding in shown:
            yield f"  {MARKS['ok']} {finding.what}"
            if everything:
                yield from _detail(finding, "      ")
    count, hints, faults = (len(of_level(sections, level)) for level in MARKS)
    warnings, problems = "warning" if hints == 1 else "warnings", "problem" if faults == 1 else "problems"
    yield f"{count} OK{'' if everything else ' (--all lists each)'}, {hints} {warnings}, {faults} {problems}"


def _detail(finding: Finding, prefix: str) -> list[str]:
    return indent(finding.detail.rstrip(), prefix).splitlines()


def of_level(sections: Sequence[Section], level: Level) -> list[Finding]:
    return [finding for section in sections for finding in section.findings if finding.level == level]


def as_json(sections: Sequence[Section]) -> str:
    """``{"ok": …, "checks": […]}``: each check has its ``area``, and a `Finding`'s fields."""
    checks = [
        {"area": section.title, **asdict(finding)} for section in sections for finding in section.findings
    ]
    return json.dumps({"ok": sound(sections), "checks": checks}, ensure_ascii=False, indent=2)
