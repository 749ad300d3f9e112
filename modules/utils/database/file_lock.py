"""SQLite's lease: a lock on a file beside the database, freed by the system when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sqlalchemy import text

from modules.queue_manager.errors import StoreUnavailable
from modules.utils.database.lease import Claim, Statements

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Far beyond the text, which other processes must be able to read.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_NEXT_EPOCH = text("UPDATE lease SET owner = :owner, epoch = epoch + 1 WHERE id = 1")
_EPOCH = text("SELECT epoch FROM lease WHERE id = 1")


class FileGround:
    """A lease on ``path``. The lock's holder is the process that works, even while it is stopped."""

    def __init__(self, path: Path, statements: Statements) -> None:
        self._path = path
        self._statements = statements
        self._descriptor: int | None = None

    async def claim(self, owner: str, seconds: float) -> Claim:
        if not self._try_lock(owner):
            return Claim(epoch=None, holder=self._holder(), seconds_left=0.5)
        try:
            async with self._statements() as connection:
                await connection.execute(_NEXT_EPOCH, {"owner": owner})
                return Claim(epoch=(await connection.execute(_EPOCH)).scalar_one())
        except BaseException:
            self._unlock()
            raise

    async def renew(self, epoch: int, seconds: float) -> bool:
        return self.outlasts()

    def outlasts(self) -> bool:
        """False once the file was deleted or replaced: other processes can lock theirs then."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    async def release(self, epoch: int) -> None:
        self._unlock()

    def _try_lock(self, owner: str) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self._path.name}: {error.strerror}") from error
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.truncate(descriptor, 0)
        os.write(descriptor, owner.encode())
        self._descriptor = descriptor
        return True

    def _holder(self) -> str:
        try:
            holder = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            holder = ""
        return holder or "another process"

    def _unlock(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
