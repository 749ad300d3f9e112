"""What was looked at before a user meets it, as plain values: each room looks at its own things."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Literal

Level = Literal["ok", "hint", "fault"]

MARKS: dict[Level, str] = {"ok": "✓", "hint": "•", "fault": "✗"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing looked at. A hint costs speed or comfort, a fault costs pictures; ``mend`` says what to do
    about it, ``detail`` is a longer text for that, such as a file's content."""

    level: Level
    what: str
    mend: str = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it needs no fix."""
        return self.level != "fault"

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}" if self.mend else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What was found in one area."""

    title: str
    findings: tuple[Finding, ...]


def sound(sections: Sequence[Section]) -> bool:
    """Whether there is no fault."""
    return all(finding.ok for section in sections for finding in section.findings)


def as_text(sections: Sequence[Section]) -> str:
    """A line for each finding, under its area's title."""
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
    """The findings of one level, in their order."""
    return [finding for section in sections for finding in section.findings if finding.level == level]


def as_json(sections: Sequence[Section]) -> str:
    """The same for machines: ``{"ok": …, "checks": [{"area", "level", "what", "mend", "detail"}]}``."""
    checks = [
        {
            "area": section.title,
            "level": finding.level,
            "what": finding.what,
            "mend": finding.mend,
            "detail": finding.detail,
        }
        for section in sections
        for finding in section.findings
    ]
    return json.dumps({"ok": sound(sections), "checks": checks}, ensure_ascii=False, indent=2)
