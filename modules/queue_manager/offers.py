"""The models, LoRAs and styles that people can ask for now, in one place for every part that shows or checks
them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modules.queue_manager.jobs import LoraUse, ModelOffer, Style


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """What happened to a model. ``what`` is its name, the sentence about a faulty file, or the name of a file
    that lists LoRAs or styles and was ``reread``."""

    turn: Literal["added", "changed", "removed", "faulty", "reread"]
    what: str


def named(offers: Iterable[ModelOffer], name: str) -> ModelOffer | None:
    """The offer with this name, or None."""
    return next((offer for offer in offers if offer.name == name), None)


STRENGTH_STEP = 0.25
"""The step between strengths of a LoRA; few strengths, because only equal ones run together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraOffer:
    """A LoRA that people may choose, from ``loras.toml``.

    ``models``: the names of the models that it fits; ``strengths``: minimum and maximum; ``strength``: the
    one used if nobody chooses; ``roles``: the ids of the roles that may use it (none: everybody); the rest as
    in `LoraUse`.
    """

    name: str
    label: str
    file: str
    models: tuple[str, ...]
    strengths: tuple[float, float]
    strength: float
    clip: bool = False
    words: str = ""
    roles: tuple[int, ...] = ()

    def steps(self) -> list[float]:
        """The strengths that can be chosen, in ascending order."""
        least, most = self.strengths
        return [least + STRENGTH_STEP * step for step in range(round((most - least) / STRENGTH_STEP) + 1)]

    def allows(self, role_ids: Collection[int]) -> bool:
        """Whether somebody with these roles may use it."""
        return not self.roles or not set(self.roles).isdisjoint(role_ids)

    def use(self, strength: float) -> LoraUse:
        return LoraUse(
            name=self.name,
            label=self.label,
            file=self.file,
            strength=strength,
            clip=self.clip,
            words=self.words,
        )


class Offers(Sequence[ModelOffer]):
    """The offers in order. A part that holds this object always sees the current ones.

    ``by_id`` also has those that are no longer offered but that jobs may still need: see `replace`.
    """

    def __init__(self, offers: Sequence[ModelOffer] = ()) -> None:
        self._now = tuple(offers)
        self.by_id = {offer.id: offer for offer in offers}
        self.loras: tuple[LoraOffer, ...] = ()
        self.styles: tuple[Style, ...] = ()

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
