"""What a run of the tests tells on the terminal."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.progress import Progress, left_out


class Terminal:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, line: str, **_: bool) -> None:
        self.lines.append(line)


def report(
    name: str,
    when: Literal["setup", "call", "teardown"],
    outcome: Literal["passed", "failed", "skipped"] = "passed",
    why: str = "",
) -> pytest.TestReport:
    return pytest.TestReport(
        name, ("a.py", 1, name), {}, outcome, ("a.py", 1, f"Skipped: {why}") if why else None, when
    )


def test_each_twentieth_is_a_line_with_the_time_so_far() -> None:
    terminal, clock = Terminal(), [100.0]
    progress = Progress(terminal, lambda: 40, lambda: clock[0])
    for number in range(40):
        clock[0] += 2.1
        for when in ("setup", "call", "teardown"):
            outcome: Literal["passed", "failed"] = "failed" if (number, when) == (2, "call") else "passed"
            progress.pytest_runtest_logreport(report(f"test_{number}", when, outcome))  # type: ignore[arg-type]
    assert terminal.lines[:3] == [
        "  5 %   0:04  2 of 40 tests",
        "FAILED test_2",
        " 10 %   0:08  4 of 40 tests, 1 failed",
    ]
    assert terminal.lines[-1] == "100 %   1:24  40 of 40 tests, 1 failed"
    assert len(terminal.lines) == 21


def test_no_dot_is_written_and_the_summary_still_names_what_failed() -> None:
    progress = Progress(Terminal(), lambda: 1)
    assert progress.pytest_report_teststatus(report("a", "call")) == ("passed", "", "")
    assert progress.pytest_report_teststatus(report("a", "call", "failed")) == ("failed", "", "FAILED")
    assert progress.pytest_report_teststatus(report("a", "setup", "failed")) == ("error", "", "ERROR")
    assert progress.pytest_report_teststatus(report("a", "setup", "skipped")) == ("skipped", "", "")
    assert progress.pytest_report_teststatus(report("a", "setup")) is None


def test_what_was_left_out_is_one_line_with_the_reasons() -> None:
    assert left_out([]) == ""
    skipped = [report(f"test_{n}", "setup", "skipped", "no `chromium` on this machine") for n in range(160)]
    file = pytest.CollectReport("tests/nodes", "skipped", ("a.py", 1, "Skipped: no torch"), None)
    assert left_out([*skipped, file]) == (
        "Left out here: no `chromium` on this machine (160 tests); no torch (1 file)"
    )
