"""The demonstration without a browser: simulated people act at once, and each of their jobs is checked.

Everybody makes pictures with each model and edits one; one person asks for more than they may, one
uploads a file that is no picture. What comes back must be their own: the simulated GPUs sign each
picture with its prompt and seed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from modules.demo.acting import Outcome, Person
from modules.demo.users import SimulatedUser


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is played: ``jobs`` pictures for each of the people whose ids are ``users``.

    ``signed``: the GPUs are the simulated ones, which sign their pictures. ``patience`` is the most
    seconds a picture may take; ``limit`` how many one person may have at once.
    """

    page: str
    users: tuple[int, ...]
    jobs: int
    signed: bool
    limit: int = 2
    patience: float = 120.0
    out: Path | None = None


async def commands_are_there(page: str) -> None:
    """Return once the bot has registered its slash commands."""
    async with await SimulatedUser.connect(page) as user:
        await user.until(lambda: any(command["name"] == "imagine" for command in user.commands), 60)


async def play(script: Script) -> int:
    """Act it, print a line for each job and the table; 0 if every job ended as it should, else 1."""
    await commands_are_there(script.page)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0)
            )
        )
        people = [
            Person(
                user=await stack.enter_async_context(
                    await SimulatedUser.connect(script.page, user, session=session)
                ),
                limit=script.limit,
                signed=script.signed,
                patience=script.patience,
            )
            for user in script.users
        ]
        started = time.monotonic()
        acts = [person.act(script.jobs) for person in people[:-2]]
        acts += [person.act(script.jobs, broken=True) for person in people[-2:-1]]
        acts += [people[-1].act(script.jobs, too_much=True)]
        outcomes = [outcome for act in await asyncio.gather(*acts) for outcome in act]
        took = time.monotonic() - started
        outcomes += await wrong_requests(session, script.page)
    if script.out is not None:
        await asyncio.to_thread(_write, outcomes, script.out)
    print(_table(len(people), outcomes, took), flush=True)
    return 1 if any(outcome.problem for outcome in outcomes) else 0


async def wrong_requests(session: aiohttp.ClientSession, page: str) -> list[Outcome]:
    """What the bot asked of the embedded Discord that Discord does not know; each is told and counts."""
    async with session.get(f"{page}/control") as answer:
        said = await answer.json()
    wrong = [Outcome(who="the bot", what="asks Discord", problem=each) for each in said["violations"]]
    for outcome in wrong:
        print(outcome.line(), flush=True)
    return wrong


def _write(outcomes: Sequence[Outcome], folder: Path) -> None:
    for number, outcome in enumerate(outcomes, 1):
        if outcome.picture is not None:
            name = re.sub(r"[^0-9A-Za-z]+", "-", f"{number:03d} {outcome.who} {outcome.what}")[:60].strip("-")
            (folder / f"{name}.png").write_bytes(outcome.picture)


def _table(people: int, outcomes: Sequence[Outcome], seconds: float) -> str:
    pictures = [outcome for outcome in outcomes if outcome.picture is not None]
    runs = sum(1 / outcome.batch for outcome in pictures)
    rows = {
        "users": str(people),
        "jobs": str(len(outcomes)),
        "pictures": str(len(pictures)),
        "errors shown to users": str(sum(outcome.refused is not None for outcome in outcomes)),
        "not as they should be": str(sum(outcome.problem is not None for outcome in outcomes)),
        "seconds": f"{seconds:.1f}",
        "images/s": f"{len(pictures) / seconds:.2f}",
        "mean batch": f"{len(pictures) / runs:.2f}" if runs else "–",
    }
    width = max(map(len, rows))
    return "\n".join(["", *(f"{name:<{width}}  {value:>8}" for name, value in rows.items())])
