"""The models that people can ask for now, in one place for every part that shows or checks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modules.queue_manager.jobs import ModelOffer


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """What happened to a model. ``what`` is its name, or the sentence about a faulty file."""

    turn: Literal["added", "changed", "removed", "faulty"]
    what: str


def named(offers: Iterable[ModelOffer], name: str) -> ModelOffer | None:
    """The offer with this name, or None."""
    return next((offer for offer in offers if offer.name == name), None)


class Offers(Sequence[ModelOffer]):
    """The offers in order. A part that holds this object always sees the current ones.

    ``by_id`` also has those that are no longer offered but that jobs may still need: see `replace`.
    """

    def __init__(self, offers: Sequence[ModelOffer] = ()) -> None:
        self._now = tuple(offers)
        self.by_id = {offer.id: offer for offer in offers}

    def replace(self, offers: Sequence[ModelOffer], retired: Sequence[ModelOffer]) -> None:
        """Offer these from now on; jobs that were accepted before still need ``retired``."""
        self._now = tuple(offers)
        self.by_id = {offer.id: offer for offer in (*retired, *offers)}

    def named(self, name: str) -> ModelOffer | None:
        """The offer with this name, or None."""
        return named(self._now, name)

    def __iter__(self) -> Iterator[ModelOffer]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._now[index]
