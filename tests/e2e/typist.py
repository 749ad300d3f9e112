"""A person at a terminal, for tests: reads what a program shows there, and types lines."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modules.queue_manager.backports import timeout
from tests.interrupts import HEARING_INTERRUPTS

CTRL_C = "\x03"


class Typist:
    """Sits before the terminal of a running program."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.process = process
        self.shown = ""
        self._terminal, self._read, self._changed = terminal, 0, asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._take)

    def _take(self) -> None:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # the program has ended
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        self._changed.set()

    async def reads(self, pattern: str, seconds: float = 60.0) -> str:
        """What is shown after all that was read before, up to the first match of a pattern. Raises
        AssertionError if it is not shown in time."""
        try:
            async with timeout(seconds):
                while True:
                    if found := re.compile(pattern).search(self.shown, self._read):
                        text, self._read = self.shown[self._read : found.end()], found.end()
                        return text
                    self._changed.clear()
                    await self._changed.wait()
        except asyncio.TimeoutError:
            raise AssertionError(f"{pattern!r} was not shown:\n{self.shown}") from None

    async def answers(self, question: str, line: str = "") -> str:
        """Wait for the question and type a line, then Enter; returns what was shown until then."""
        text = await self.reads(question)
        self.types(f"{line}\n")
        return text

    def types(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    async def interrupts(self, pattern: str) -> None:
        """Press Ctrl-C, and once more if the pattern is not shown then: a Python that has shown its prompt,
        but does not read yet, hears of the first one only at the next."""
        self.types(CTRL_C)
        with contextlib.suppress(AssertionError):
            await self.reads(pattern, 5.0)
            return
        self.types(CTRL_C)
        await self.reads(pattern)

    async def end(self) -> int:
        """The program's exit code, once all that it showed was read."""
        async with timeout(60):
            code = await self.process.wait()
        os.set_blocking(self._terminal, False)
        self._take()
        return code


@asynccontextmanager
async def typing(*arguments: str, cwd: Path, **environ: str) -> AsyncIterator[Typist]:
    """``python ARGUMENTS`` in a terminal of its own."""
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        if HEARING_INTERRUPTS is not None:
            HEARING_INTERRUPTS()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # type: ignore[attr-defined,unused-ignore]

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", "TERM": "dumb", **environ},
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    typist = Typist(process, ours)
    try:
        yield typist
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
