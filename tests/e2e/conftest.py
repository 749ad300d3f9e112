"""Fixtures that several files share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from modules.demo.discord_server import BotSpec, WorldSpec, default_world
from tests.e2e.chromium import launched
from tests.postgres import migrated, postgres, postgres_url

__all__ = ["migrated", "postgres", "postgres_url"]


@pytest.fixture(params=[True, False], ids=["with intent", "without intent"])
def world(request: pytest.FixtureRequest) -> WorldSpec:
    """A guild of four people, once with the portal's switch for message content on and once with it off."""
    return default_world(4, bot=BotSpec(message_content_intent=request.param))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The one Chromium of a process; each test opens pages in contexts of its own."""
    async with launched() as browser:
        yield browser
