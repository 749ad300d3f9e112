"""How long the bot stays deaf after an outage of Discord's gateway."""

from __future__ import annotations

from itertools import pairwise

import discord.client
import pytest

from modules.discord.transport import gateway_pauses
from modules.discord.transport.gateway_pauses import LONGEST, GatewayPauses


def test_after_an_outage_it_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pauses = GatewayPauses()
    tries = []
    while now < 1120.0:
        now += pauses.delay()
        tries.append(now)
    assert max(later - sooner for sooner, later in pairwise(tries)) <= LONGEST
    now += 3600  # it held for an hour
    assert pauses.delay() <= 1.0


def test_discords_library_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.client, "ExponentialBackoff", discord.client.ExponentialBackoff)
    gateway_pauses.install()
    assert isinstance(discord.client.ExponentialBackoff(), GatewayPauses)
