"""The faults after which the bot starts again instead of ending."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.app import serve as serving
from modules.queue_manager.errors import LeaseLost, StoreUnavailable
from modules.utils.monitoring.health_server import HealthServer
from modules.utils.settings import settings


@pytest.mark.parametrize(
    ("trouble", "patience"),
    [
        (StoreUnavailable("the database is away"), float("inf")),
        (LeaseLost("another"), float("inf")),
        (ConnectionError("Discord cannot be reached"), 30.0),
    ],
)
async def test_what_goes_away_while_serving_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, patience: float
) -> None:
    began: list[float] = []

    async def serve(*_: object, database_patience: float, **__: object) -> int:
        began.append(database_patience)
        if len(began) == 1:
            raise trouble
        return 0

    async def at_once(seconds: float) -> None:
        assert seconds == 1.0

    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr("asyncio.sleep", at_once)
    given = settings.read({"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://a:1"}, {})
    assert (
        await serving.keep_serving(given, HealthServer(), env_file=Path(".env"), models=Path("flujos")) == 0
    )
    assert began == [30.0, patience]
