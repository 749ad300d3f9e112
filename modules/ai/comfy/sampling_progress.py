"""The progress of a run's samplers, from the progress of its nodes."""

from __future__ import annotations

from collections.abc import Sequence

from modules.queue_manager.ports import RunProgress


class SamplingProgress:
    """``samplers`` in the order in which they run; without any, every node counts. ``steps`` by the card,
    until a sampler says how many there are."""

    def __init__(self, samplers: Sequence[str], steps: int) -> None:
        self._samplers = list(samplers)
        self._steps = steps
        self._most: dict[str, int] = {}
        self._last = (0, 0)

    def node_started(self) -> RunProgress | None:
        """A node began: a sign of life while no sampler has begun."""
        return None if self._most else RunProgress(step=0, steps=self._steps)

    def stepped(self, node: str, value: int, most: int) -> RunProgress | None:
        """A node has done ``value`` of ``most``; None if it is not a sampler, or nothing has changed."""
        if not self._samplers:
            self._most, at = {node: most}, 0
        elif node in self._samplers:
            self._most[node] = most
            at = self._samplers.index(node)
        else:
            return None
        before = sum(self._most.get(other, self._steps) for other in self._samplers[:at])
        after = sum(self._most.get(other, self._steps) for other in self._samplers[at + 1 :])
        now = (before + value, before + most + after)
        if value < 1 or now == self._last:
            return None
        self._last = now
        return RunProgress(step=now[0], steps=now[1])
