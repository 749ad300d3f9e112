"""Fixtures that several files share."""

from __future__ import annotations

import pytest

from modules.demo.discord_server import BotSpec, WorldSpec, default_world
from tests.postgres import migrated, postgres, postgres_url

__all__ = ["migrated", "postgres", "postgres_url"]


@pytest.fixture(params=[True, False], ids=["with intent", "without intent"])
def world(request: pytest.FixtureRequest) -> WorldSpec:
    """A guild of four people, once with the portal's switch for message content on and once with it off."""
    return default_world(4, bot=BotSpec(message_content_intent=request.param))
