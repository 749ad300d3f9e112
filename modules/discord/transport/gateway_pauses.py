"""The pauses between two tries to reach the gateway. discord.py's own grow to minutes: after an outage of
twenty seconds, the bot would hear nothing for another forty."""

from __future__ import annotations

import time

import discord.client

from modules.queue_manager.backoff import Backoff

LONGEST = 10.0
CALM = 60.0
"""Seconds without a try after which the pauses are short again: the connection held."""


class GatewayPauses:
    """Has the method of discord.py's ``ExponentialBackoff``, which it replaces."""

    def __init__(self) -> None:
        self._backoff = Backoff(first=0.5, longest=LONGEST)
        self._tried_at = float("-inf")

    def delay(self) -> float:
        """Seconds to wait before the next try."""
        now = time.monotonic()
        if now - self._tried_at > CALM:
            self._backoff.reset()
        self._tried_at = now
        return self._backoff.pause()


def install() -> None:
    """Make every client of this process that connects from now on use these pauses."""
    discord.client.ExponentialBackoff = GatewayPauses  # type: ignore[attr-defined, assignment]
