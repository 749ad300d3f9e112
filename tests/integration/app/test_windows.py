"""What Windows does differently, as far as this can be tested here: paths, signals, no exec."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import bootstrap
from modules.app.serve import until_signalled
from tests.interrupts import HEARING_INTERRUPTS

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="pretends to be Windows on another system")


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_the_python_of_an_environment_is_found_where_windows_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    python = tmp_path / ".venv" / "Scripts" / "python.exe"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap, "WINDOWS", True)
    assert bootstrap.prepare(tmp_path, "requirements.txt") == python


CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(3))
print("child", flush=True)
time.sleep(30)
"""
PARENT = """
import sys
from pathlib import Path
from modules.app import bootstrap
bootstrap.WINDOWS = True
sys.exit(bootstrap.hand_over(Path(sys.executable), ["-c", sys.argv[1]], Path.cwd()))
"""


def test_a_command_waits_for_the_process_that_goes_on_for_it_and_ends_as_it_does() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=HEARING_INTERRUPTS,  # noqa: PLW1509 (takes no lock)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"child\n"
    os.killpg(process.pid, signal.SIGINT)  # as a console does: to everybody in it
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert errors == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_without_signals_ends_in_good_order_all_the_same(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, kept_handlers: None
) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    ended = []

    async def work() -> int:
        try:
            signal.raise_signal(number)
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            ended.append(number)
        return 1

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", refuse)
    assert until_signalled(work()) == 0
    assert ended == [number]
