"""Acknowledges interactions before anything else: Discord gives three seconds, however many there are.

While some are still to be acknowledged, work on the others waits. Few go at the same time, so that they
share connections: a thousand at once would each begin with a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import discord

from modules.discord.requests.requester import Requester, Requesters
from modules.queue_manager.backports import timeout

AT_ONCE = 100
"""Acknowledgements sent at the same time."""

TIME_LIMIT = 3.0
"""Seconds for one acknowledgement; later ones are not taken (Discord docs, Receiving and Responding)."""

STAND_BACK = 2.0
"""Seconds for which work waits for other acknowledgements at most."""


@dataclass(kw_only=True, eq=False)
class Deferrals:
    """One for the whole bot, so that its limit holds for all acknowledgements together. ``until_home`` waits
    for the channels and roles of the guild that is served."""

    requesters: Requesters
    until_home: Callable[[], Awaitable[None]]

    def __post_init__(self) -> None:
        self._doors = asyncio.Semaphore(AT_ONCE)
        self._pending = 0
        self._calm = asyncio.Event()
        self._calm.set()

    async def defer(self, interaction: discord.Interaction, *, update: bool = False) -> None:
        """Acknowledge: "thinking", for this person alone, or, for a click that changes the message it is
        on (``update``), nothing visible. Returns once the guild is known. Raises what discord.py does,
        asyncio.TimeoutError or `GuildAway`."""
        self._pending += 1
        self._calm.clear()
        try:
            async with self._doors, timeout(TIME_LIMIT):
                if update:
                    await interaction.response.defer()
                else:
                    await interaction.response.defer(ephemeral=True, thinking=True)
        finally:
            self._pending -= 1
            if not self._pending:
                self._calm.set()
        with suppress(asyncio.TimeoutError):
            async with timeout(STAND_BACK):
                await self._calm.wait()
        await self.until_home()

    async def begin(self, interaction: discord.Interaction, *, update: bool = False) -> Requester:
        """Acknowledge, and tell who asks. Raises `NotAMember` or what `defer` raises."""
        await self.defer(interaction, update=update)
        return await self.requesters.of(interaction)
