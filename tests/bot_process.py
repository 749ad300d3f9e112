"""A bot as its own process, started by Python or born in a nursery, and what it says."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.queue_manager.backports import timeout
from tests.interrupts import HEARING_INTERRUPTS

ROOT = Path(__file__).parents[1]
WARNINGS_ARE_ERRORS = ("-W", "error", "-W", "ignore:'audioop' is deprecated:DeprecationWarning")

Wait = Callable[[], Coroutine[Any, Any, int]]


@dataclass
class BotProcess:
    """A running ``python bot.py``. ``log`` is the file that it writes to; ``began`` where its words begin."""

    pid: int
    log: Path
    wait: Wait
    began: int = 0
    code: int | None = None
    _waiting: asyncio.Task[int] | None = field(default=None, repr=False)

    def send(self, number: int) -> None:
        """A signal, if it still runs."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self, seconds: float = 60.0) -> int:
        """The exit code; negative: the signal that ended it."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self.wait())
        async with timeout(seconds):
            self.code = await asyncio.shield(self._waiting)
        return self.code

    async def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.send(signal.SIGKILL)
        await self.ended()

    def said(self) -> str:
        """What this process has written so far."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(self.began)
            return file.read().decode(errors="replace")
        return ""

    @property
    def lines(self) -> list[str]:
        """What it has written so far, line by line."""
        return self.said().splitlines()

    async def end(self, number: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        self.send(number)
        return await self.ended(60)

    async def says(self, pattern: str, seconds: float = 60.0) -> re.Match[str]:
        """The match of ``pattern`` in what it has written, once there is one. Raises AssertionError."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with timeout(seconds):
                while (found := re.search(pattern, self.said())) is None:
                    if self.code is not None:
                        break
                    await asyncio.sleep(0.02)
                else:
                    return found
        raise AssertionError(f"{pattern!r} was not said:\n{self.said()[-6000:]}")


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Return once it is true. Raises asyncio.TimeoutError."""
    async with timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


Start = Callable[[Path], Coroutine[Any, Any, BotProcess]]
"""Starts a bot with the settings of a file."""


def log_of(env_file: Path) -> Path:
    return env_file.with_suffix(".log")


def environment(**environ: str) -> dict[str, str]:
    """What a bot inherits: no settings but these."""
    return {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **environ}


async def started(
    *arguments: str, folder: Path, log: Path, errors: Path | None = None, root: Path = ROOT, **environ: str
) -> BotProcess:
    """``python bot.py ARGUMENTS`` of the folder ``root``, typed in ``folder`` by an operator. What it says is
    added to ``log``, and its errors to ``errors`` where that is another file."""
    began = _size(log)
    with log.open("ab") as output, (errors or log).open("ab") as troubles:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *WARNINGS_ARE_ERRORS, str(root / "bot.py"), *arguments,
            cwd=folder, env=environment(**environ), stdin=subprocess.DEVNULL, stdout=output, stderr=troubles,
            start_new_session=os.name != "nt", preexec_fn=HEARING_INTERRUPTS,
        )  # fmt: skip
    return BotProcess(process.pid, log, process.wait, began)


async def start_bot(env_file: Path) -> BotProcess:
    """See `started`."""
    return await started("run", "--env-file", str(env_file), folder=env_file.parent, log=log_of(env_file))


class Nursery:
    """Another process that has read every module, and forks bots; see `tests.nursery`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *WARNINGS_ARE_ERRORS, "-m", "tests.nursery"],
            cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=HEARING_INTERRUPTS,  # noqa: PLW1509 - it takes no lock
        )  # fmt: skip
        atexit.register(self._process.communicate)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Its answer, which takes it a few milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    async def end_of(self, pid: int) -> int:
        """The exit code of one that was born here."""
        while _runs(pid) or (code := self.ask(wait=pid)["code"]) is None:
            await asyncio.sleep(0.005)
        return int(code)


the_nursery = functools.cache(Nursery)
"""One for all tests of a process, since it takes a second to read every module."""


async def born(
    *arguments: str,
    folder: Path,
    log: Path,
    errors: Path | None = None,
    root: Path = ROOT,
    typed: str = "",
    pages: Path | None = None,
    **environ: str,
) -> BotProcess:
    """As `started`, without the time that it takes to read the modules. ``typed`` is its standard input,
    ``pages`` `tests.nursery`'s."""
    if os.name == "nt":
        assert not typed
        return await started(*arguments, folder=folder, log=log, errors=errors, root=root, **environ)
    nursery = await asyncio.to_thread(the_nursery)
    began = _size(log)
    told = nursery.ask(
        arguments=arguments,
        root=str(root),
        folder=str(folder),
        environ=environment(**environ),
        typed=typed,
        output=str(log),
        errors=str(errors or log),
        pages=str(pages or ""),
    )
    return BotProcess(told["pid"], log, functools.partial(nursery.end_of, told["pid"]), began)


async def said_by(
    *arguments: str, folder: Path, root: Path = ROOT, typed: str = "", **environ: str
) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends by itself."""
    output, errors = folder / "said", folder / "errors"
    for file in (output, errors):
        file.write_text("", encoding="utf-8")
    process = await born(
        *arguments, folder=folder, log=output, errors=errors, root=root, typed=typed, **environ
    )
    try:
        code = await process.ended(100)
    finally:
        await process.kill()
    return code, process.said(), errors.read_text(encoding="utf-8")


@asynccontextmanager
async def nursery(folder: Path) -> AsyncIterator[Start]:
    """Starts bots, whose SQLite files obey ``folder/pages``, and kills them in the end."""
    all_of_them: list[BotProcess] = []

    async def start(env_file: Path) -> BotProcess:
        command = ("run", "--env-file", str(env_file))
        log = log_of(env_file)
        all_of_them.append(await born(*command, folder=env_file.parent, log=log, pages=folder / "pages"))
        return all_of_them[-1]

    try:
        yield start
    finally:
        for bot in all_of_them:
            await bot.kill()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _runs(pid: int) -> bool:
    """Whether Linux knows that it runs: it is neither gone nor a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
