"""Everybody is acknowledged in time, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from modules.discord.interactions.deferral import AT_ONCE, Deferrals
from tests.virtual_time import run_virtual


@dataclass
class Response:
    """What answers an interaction, after so many seconds."""

    seconds: float
    deferred: bool = False

    async def defer(self, **_: object) -> None:
        await asyncio.sleep(self.seconds)
        self.deferred = True


@dataclass
class Interaction:
    response: Response = field(default_factory=lambda: Response(0.1))
    id: int = field(default_factory=count().__next__)


async def at_once() -> None:
    """The guild is known."""


def test_acknowledgements_that_hang_keep_nobody_else_waiting() -> None:
    async def whole() -> None:
        nobody: Any = None
        deferrals = Deferrals(requesters=nobody, until_home=at_once)

        async def defer(interaction: Any) -> None:
            await deferrals.defer(interaction)

        hung = [Interaction(Response(3600.0)) for _ in range(AT_ONCE)]
        others = [Interaction() for _ in range(AT_ONCE)]
        results = await asyncio.gather(*map(defer, [*hung, *others]), return_exceptions=True)
        assert asyncio.get_running_loop().time() < 4
        assert all(isinstance(result, asyncio.TimeoutError) for result in results[:AT_ONCE])
        assert all(interaction.response.deferred for interaction in others)

    run_virtual(whole())
