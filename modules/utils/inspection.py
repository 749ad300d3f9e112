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

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}" if self.fix else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    title: str
    findings: tuple[Finding, ...]


def sound(sections: Sequence[Section]) -> bool:
    return not of_level(sections, "fault")


def as_text(sections: Sequence[Section]) -> str:
    return "\n".join(_lines(sections))


def _lines(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        yield section.title
        for finding in section.findings:
            yield f"  {MARKS[finding.level]} {finding}"
            if finding.detail:
                yield indent(finding.detail.rstrip(), "      ")
    fine, hints, faults = (len(of_level(sections, level)) for level in MARKS)
    warnings, problems = "warning" if hints == 1 else "warnings", "problem" if faults == 1 else "problems"
    yield f"{fine} OK, {hints} {warnings}, {faults} {problems}"


def of_level(sections: Sequence[Section], level: Level) -> list[Finding]:
    return [finding for section in sections for finding in section.findings if finding.level == level]


def as_json(sections: Sequence[Section]) -> str:
    """``{"ok": …, "checks": […]}``: each check has its ``area``, and a `Finding`'s fields."""
    checks = [
        {"area": section.title, **asdict(finding)} for section in sections for finding in section.findings
    ]
    return json.dumps({"ok": sound(sections), "checks": checks}, ensure_ascii=False, indent=2)
