"""The server's input, output and temp folders, kept in memory, with ComfyUI's rules for names."""

from __future__ import annotations

import posixpath
from collections import OrderedDict

FOLDERS = ("input", "output", "temp")
_Place = tuple[str, str, str]


class OutsideFolder(ValueError):
    """A name points out of its folder."""


class FileStore:
    """Files by folder type, subfolder and name. The oldest go, whatever their folder, once ``budget`` bytes
    are exceeded."""

    def __init__(self, budget: int = 512 * 1024 * 1024) -> None:
        self._files: OrderedDict[_Place, bytes] = OrderedDict()
        self._counters: dict[tuple[str, str, str], int] = {}
        self._budget = budget
        self._used = 0

    def read(self, kind: str, subfolder: str, name: str) -> bytes | None:
        """The bytes of a file, or None."""
        return self._files.get((kind, subfolder, name))

    def write(self, kind: str, subfolder: str, name: str, data: bytes) -> None:
        """Write or overwrite a file."""
        self.delete(kind, subfolder, name)
        self._files[(kind, subfolder, name)] = data
        self._used += len(data)
        while self._used > self._budget and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            self._used -= len(dropped)

    def delete(self, kind: str, subfolder: str, name: str) -> bool:
        """Remove a file; False if it was not there."""
        dropped = self._files.pop((kind, subfolder, name), None)
        self._used -= len(dropped or b"")
        return dropped is not None

    def names(self, kind: str) -> list[str]:
        """Every file of a folder, as ``subfolder/name``."""
        return [posixpath.join(sub, name) for folder, sub, name in self._files if folder == kind]

    def clear(self, kind: str) -> None:
        """Empty one folder."""
        for place in [place for place in self._files if place[0] == kind]:
            self.delete(*place)

    def upload(self, kind: str, subfolder: str, name: str, data: bytes, *, overwrite: bool) -> str:
        """Store an upload; returns the name it got: another one if the name holds other bytes."""
        stem, dot, ending = name.rpartition(".")
        stem, ending = (stem, dot + ending) if stem else (name, "")
        given, count = name, 1
        while not overwrite and (there := self.read(kind, subfolder, given)) is not None and there != data:
            given, count = f"{stem} ({count}){ending}", count + 1
        self.write(kind, subfolder, given, data)
        return given

    def next_name(self, kind: str, prefix: str) -> tuple[str, str, int]:
        """Subfolder, file prefix and first free number for a ``filename_prefix``. Raises `OutsideFolder`."""
        folder = inside(posixpath.dirname(posixpath.normpath(prefix)))
        stem = posixpath.basename(posixpath.normpath(prefix))
        return folder, stem, self._counters.get((kind, folder, stem), 0) + 1

    def count(self, kind: str, subfolder: str, stem: str, last: int) -> None:
        """Note that numbers up to ``last`` are used."""
        self._counters[(kind, subfolder, stem)] = last


def inside(path: str) -> str:
    """``path`` made canonical, within its folder. Raises `OutsideFolder`."""
    clean = posixpath.normpath(path) if path else ""
    if clean.startswith(("/", "..")):
        raise OutsideFolder(path)
    return "" if clean == "." else clean
