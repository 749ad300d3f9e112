"""What the models offer now, in one place, for everybody who shows or checks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modules.queue_manager.jobs import ModelOffer


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """What became of a model. ``what`` is its name, or the sentence about a faulty file."""

    turn: Literal["added", "changed", "removed", "faulty"]
    what: str


class Offers(Sequence[ModelOffer]):
    """The offers in their order. Who holds it sees models come and go.

    ``by_id`` has those too that are offered no more, which jobs may still need: see `replace`.
    """

    def __init__(self, offers: Sequence[ModelOffer] = ()) -> None:
        self._now = tuple(offers)
        self.by_id = {offer.id: offer for offer in offers}

    def replace(self, offers: Sequence[ModelOffer], retired: Sequence[ModelOffer]) -> None:
        """Offer these from now on; ``retired`` are those of jobs that were accepted before."""
        self._now = tuple(offers)
        self.by_id = {offer.id: offer for offer in (*retired, *offers)}

    def named(self, name: str) -> ModelOffer | None:
        """What is offered under this name."""
        return next((offer for offer in self._now if offer.name == name), None)

    def __iter__(self) -> Iterator[ModelOffer]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._now[index]
