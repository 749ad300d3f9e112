"""The bot's side of a picture worker process, which is asked over pipes and killed if it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.queue_manager.backports import timeout

_ROOT = Path(__file__).resolve().parents[3]
_HEADER_LIMIT, _ANSWER_LIMIT = 10_000, 100_000_000


class WorkerDied(Exception):
    """The process ended, or answered nonsense, during this request."""


class ImageProcess:
    """A running ``worker.py``, for one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *, max_pixels: int, memory_mb: int) -> ImageProcess:
        """Start one, without the environment's secrets."""
        limits = json.dumps({"max_pixels": max_pixels, "memory_mb": memory_mb})
        needed = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modules.utils.images.worker", limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env=needed,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(
        self, header: Mapping[str, Any], payload: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """The answer and its payload. Raises `WorkerDied`, or `asyncio.TimeoutError`; both kill it."""
        try:
            async with timeout(seconds):
                return await self._exchange(header, payload)
        except asyncio.TimeoutError:  # before OSError, of which it is a subclass in Python 3.11 and newer
            await self.kill()
            raise
        except (OSError, EOFError, ValueError) as error:
            await self.kill()
            raise WorkerDied(type(error).__name__) from error
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _exchange(self, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        text = json.dumps({**header, "bytes": len(payload)}).encode()
        stdin.write(struct.pack(">I", len(text)) + text)
        stdin.write(payload)
        await stdin.drain()
        length = struct.unpack(">I", await stdout.readexactly(4))[0]
        if length > _HEADER_LIMIT:
            raise ValueError("an answer without a header")
        answer: dict[str, Any] = json.loads(await stdout.readexactly(length))
        if not 0 <= answer["bytes"] <= _ANSWER_LIMIT:
            raise ValueError("an answer that is too long")
        return answer, await stdout.readexactly(answer["bytes"])
