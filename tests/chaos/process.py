"""A bot as its own process, started by Python or born in a nursery, and killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
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

ROOT = Path(__file__).parents[2]

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

    async def ended(self, seconds: float = 30.0) -> int:
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
        with contextlib.suppress(FileNotFoundError), self.log.open(encoding="utf-8") as file:
            file.seek(self.began)
            return file.read()
        return ""

    async def says(self, words: str, seconds: float = 30.0) -> None:
        """Return once it has written these words."""
        try:
            async with timeout(seconds):
                while words not in self.said():
                    await asyncio.sleep(0.02)
        except asyncio.TimeoutError:
            raise AssertionError(f"{words!r} was not said:\n{self.said()[-6000:]}") from None


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Return once it is true. Raises asyncio.TimeoutError."""
    async with timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


Start = Callable[[Path], Coroutine[Any, Any, BotProcess]]
"""Starts a bot with the settings of a file."""


def log_of(env_file: Path) -> Path:
    return env_file.with_suffix(".log")


def environment() -> dict[str, str]:
    """What a bot inherits: no settings."""
    return {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}


async def start_bot(env_file: Path) -> BotProcess:
    """As an operator does it."""
    log = log_of(env_file)
    began = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "bot.py"), "--env-file", str(env_file),
            cwd=env_file.parent, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=HEARING_INTERRUPTS,
        )  # fmt: skip
    return BotProcess(process.pid, log, process.wait, began)


@asynccontextmanager
async def nursery(folder: Path) -> AsyncIterator[Start]:
    """Starts bots that need not read their modules first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.nursery", str(folder),
        cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=HEARING_INTERRUPTS,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asking = asyncio.Lock()
    born: list[BotProcess] = []

    async def ask(question: dict[str, Any]) -> dict[str, Any]:
        async with asking:
            process.stdin.write(json.dumps(question).encode() + b"\n")  # type: ignore[union-attr]
            answer = json.loads(await process.stdout.readline())  # type: ignore[union-attr]
        return dict(answer)

    async def start(env_file: Path) -> BotProcess:
        log = log_of(env_file)
        began = log.stat().st_size if log.exists() else 0
        told = await ask({"start": ["run", "--env-file", str(env_file)], "log": str(log)})

        async def wait() -> int:
            while _runs(told["pid"]):
                await asyncio.sleep(0.005)
            return int((await ask({"wait": told["pid"]}))["code"])

        born.append(BotProcess(told["pid"], log, wait, began))
        return born[-1]

    try:
        async with timeout(60):
            await process.stdout.readline()
        yield start
    finally:
        for bot in born:
            if bot.code is None:
                await bot.kill()
        process.stdin.close()
        await process.wait()


def _runs(pid: int) -> bool:
    """Whether it is neither gone nor waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
