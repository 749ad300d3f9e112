"""A sorted multiset that also tells at which position an item stands, in about √n time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound="tuple[float, int]")

BLOCK = 512
"""Items a block may hold before it is halved: small enough that inserting is a short memmove."""


class SortedBlocks(Generic[T]):
    """Unique items in order, kept in blocks. All operations raise KeyError for what is not there."""

    __slots__ = ("_blocks", "_maxima", "_size")

    def __init__(self) -> None:
        self._blocks: list[list[T]] = []
        self._maxima: list[T] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block

    def add(self, item: T) -> None:
        """Put ``item`` in its place."""
        self._size += 1
        if not self._blocks:
            self._blocks.append([item])
            self._maxima.append(item)
            return
        at = min(bisect_left(self._maxima, item), len(self._maxima) - 1)
        block = self._blocks[at]
        insort(block, item)
        self._maxima[at] = block[-1]
        if len(block) > BLOCK:
            self._blocks.insert(at, block[: BLOCK // 2])
            self._maxima.insert(at, block[BLOCK // 2 - 1])
            del block[: BLOCK // 2]

    def remove(self, item: T) -> None:
        """Take ``item`` out."""
        at, inside = self._find(item)
        block = self._blocks[at]
        del block[inside]
        self._size -= 1
        if block:
            self._maxima[at] = block[-1]
        else:
            del self._blocks[at], self._maxima[at]

    def position(self, item: T) -> int:
        """How many items are smaller than ``item``."""
        at, inside = self._find(item)
        return sum(map(len, self._blocks[:at])) + inside

    def _find(self, item: T) -> tuple[int, int]:
        at = bisect_left(self._maxima, item)
        if at < len(self._blocks):
            inside = bisect_left(self._blocks[at], item)
            if self._blocks[at][inside] == item:
                return at, inside
        raise KeyError(item)
