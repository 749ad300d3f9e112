# SPDX-License-Identifier: GPL-3.0-or-later
"""Encodes pictures in its own threads and keeps them in a folder under their keys (standard library only)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

_log = logging.getLogger(__name__)
MAX_AGE_SECONDS = 2 * 3600.0
MAX_BYTES = 1024 * 2**20


@dataclass
class _Entry:
    done: Future[int]  # the encoded size in bytes, once the file is there
    content_type: str
    path: Path
    made: float


class PictureStore:
    """put() returns at once; a picture can be fetched as often as wanted until it is too old or pushed out.

    Pictures that an earlier process left are removed when the store opens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 4,
        max_age: float = MAX_AGE_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._max_age, self._max_bytes, self._clock = folder, max_age, max_bytes, clock
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fullet-encoder")
        self._entries: dict[str, _Entry] = {}
        self._numbers = count()  # two pictures under one key, one after the other, are two files
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.picture"):
            left.unlink(missing_ok=True)

    def put(self, key: str, content_type: str, encode: Callable[[], bytes]) -> None:
        """Starts `encode` in a thread; its bytes are kept under `key`, in place of what was there."""
        self.drop(key)
        path = self._folder / f"{key}.{next(self._numbers)}.picture"
        with self._lock:
            done = self._threads.submit(_write, path, encode)
            self._entries[key] = _Entry(done, content_type, path, self._clock())
        done.add_done_callback(_log_failure)
        done.add_done_callback(lambda _: self.prune())

    def find(self, key: str) -> tuple[Future[int], str, Path] | None:
        """(future of the file being there, content type, file), or None for an unknown or pruned key."""
        self.prune()
        with self._lock:
            entry = self._entries.get(key)
        return None if entry is None else (entry.done, entry.content_type, entry.path)

    def drop(self, key: str) -> bool:
        """Forgets a picture, written or not; False if there was none."""
        with self._lock:
            entry = self._entries.pop(key, None)
        if entry is None:
            return False
        if not entry.done.cancel():
            entry.done.add_done_callback(lambda _: entry.path.unlink(missing_ok=True))
        return True

    def prune(self) -> None:
        """Drops what is too old, then the oldest until the rest is small enough."""
        with self._lock:
            ages = sorted((entry.made, key, _size(entry)) for key, entry in self._entries.items())
        total = sum(size for _, _, size in ages)
        for made, key, size in ages:
            if self._clock() - made <= self._max_age and total <= self._max_bytes:
                break
            self.drop(key)
            total -= size

    def close(self) -> None:
        """Waits for the threads."""
        self._threads.shutdown()


def _size(entry: _Entry) -> int:
    done = entry.done
    return done.result() if done.done() and not done.cancelled() and done.exception() is None else 0


def _log_failure(done: Future[int]) -> None:
    if not done.cancelled() and done.exception() is not None:
        _log.error("a picture could not be encoded", exc_info=done.exception())


def _write(path: Path, encode: Callable[[], bytes]) -> int:
    content = encode()
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(path)
    return len(content)
