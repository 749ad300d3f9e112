"""A bot that is killed at any instant loses nothing and delivers nothing twice: the short chaos runs.

``python -m tests.chaos --kills 200 --trouble mix --every 1`` is the long one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bot_process import nursery
from tests.chaos.books import Books, PostgresBooks, SqliteBooks
from tests.chaos.ledger import Ledger
from tests.chaos.run import Plan, Trouble, run
from tests.postgres import Postgres

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")]


async def chaos(plan: Plan, books: Books, folder: Path) -> Ledger:
    async with nursery(folder) as start:
        ledger = await run(plan, books=books, folder=folder, start=start, tell=print)
    print("\n".join(ledger.lines()))
    # Most lives accept something and deliver something, however slow the machine is.
    assert ledger.accepted > plan.kills / 2
    assert ledger.delivered > plan.kills / 2
    return ledger


async def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    ledger = await chaos(Plan(kills=20, seed=5, users=3), SqliteBooks(tmp_path), tmp_path)
    assert ledger.sound, "\n".join(ledger.lines())


async def test_kills_while_some_runs_are_bought(tmp_path: Path) -> None:
    ledger = await chaos(Plan(kills=5, seed=9, users=3, elastic="proxy"), SqliteBooks(tmp_path), tmp_path)
    assert ledger.sound, "\n".join(ledger.lines())
    assert ledger.bought


@pytest.mark.parametrize("trouble", ["discord", "guilds", "servers"])
async def test_kills_while_discord_refuses_or_is_late_and_while_servers_are_sick(
    trouble: Trouble, tmp_path: Path
) -> None:
    plan = Plan(kills=2, seed=6, users=3, trouble=trouble, seconds=1.5, every=1)
    ledger = await chaos(plan, SqliteBooks(tmp_path), tmp_path)
    assert ledger.sound, "\n".join(ledger.lines())


async def test_kills_while_the_disk_is_full(tmp_path: Path) -> None:
    plan = Plan(kills=2, seed=7, users=3, trouble="disk", every=1)
    ledger = await chaos(plan, SqliteBooks(tmp_path), tmp_path)
    assert ledger.sound, "\n".join(ledger.lines())


@pytest.mark.parametrize("trouble", ["database", "disk"])
async def test_kills_while_the_server_of_the_database_is_in_trouble(
    trouble: Trouble, postgres: Postgres, tmp_path: Path
) -> None:
    plan = Plan(kills=2, seed=8, users=3, trouble=trouble, seconds=1.0, every=1)
    ledger = await chaos(plan, PostgresBooks(postgres), tmp_path)
    assert ledger.sound, "\n".join(ledger.lines())
