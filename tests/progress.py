"""What a test run reports: how far it is, how long it has taken, and in the end what was skipped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

PARTS = 20
"""In how many steps the progress is reported."""


class Terminal(Protocol):
    """What is used of pytest's own reporter."""

    def write_line(self, line: str, **markup: bool) -> None: ...


class Progress:
    """A line for each twentieth of the tests, and one for each test that failed, instead of a dot for each.

    ``total`` says how many tests there are once it is known.
    """

    def __init__(
        self, terminal: Terminal, total: Callable[[], int], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._terminal, self._total, self._now = terminal, total, now
        self._began = now()
        self._done = self._failed = self._told = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Without a letter, nothing is written; the word is for the summary."""
        if hasattr(report, "wasxfail") or (report.passed and report.when != "call"):
            return None
        if not report.failed:
            return report.outcome, "", ""
        return ("failed", "", "FAILED") if report.when == "call" else ("error", "", "ERROR")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for each test's setup, call and teardown."""
        if report.failed:
            self._failed += 1
            self._terminal.write_line(f"FAILED {report.nodeid}", red=True)
        if report.when != "teardown":
            return
        self._done += 1
        total = max(self._total(), self._done)
        if (part := self._done * PARTS // total) == self._told:
            return
        self._told = part
        minutes, seconds = divmod(round(self._now() - self._began), 60)
        failed = f", {self._failed} failed" if self._failed else ""
        self._terminal.write_line(
            f"{100 * part // PARTS:3} %  {minutes:2}:{seconds:02}  {self._done:,} of {total:,} tests{failed}"
        )


def left_out(skipped: Sequence[Any]) -> str:
    """One line: why tests or whole files were skipped, and how many."""
    reasons: Counter[tuple[str, str]] = Counter()
    for report in skipped:
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        what = "test" if isinstance(report, pytest.TestReport) else "file"
        reasons[reason.removeprefix("Skipped: "), what] += 1
    told = [f"{reason} ({n} {what}{'s'[: n > 1]})" for (reason, what), n in reasons.most_common()]
    return f"Left out here: {'; '.join(told)}" if told else ""
