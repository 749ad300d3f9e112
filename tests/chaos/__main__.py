"""`python -m tests.chaos --kills 200 --seed S`: prints how every job ended; exit code 1 if one was lost,
delivered twice, out of order, or ended without a word."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from pathlib import Path
from typing import get_args

from tests.bot_process import nursery, start_bot
from tests.chaos.books import PostgresBooks, SqliteBooks
from tests.chaos.run import Plan, Trouble, run
from tests.chaos.stage import Kind
from tests.postgres import running_postgres


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--users", type=int, default=5)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--trouble", choices=get_args(Trouble), default="none")
    parser.add_argument("--every", type=int, default=3, help="there is trouble in every N-th life")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each trouble lasts")
    parser.add_argument("--elastic", choices=get_args(Kind), default="none")
    parser.add_argument("--cold", action="store_true", help="start each bot by Python, not from a nursery")
    parser.add_argument("--keep", type=Path, help="a folder for the log and the database")
    return asyncio.run(chaos(parser.parse_args()))


async def chaos(options: argparse.Namespace) -> int:
    """The run that the command line describes."""
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    print(f"seed {seed}, {options.database}, trouble: {options.trouble}", flush=True)
    plan = Plan(
        kills=options.kills,
        seed=seed,
        users=options.users,
        trouble=options.trouble,
        seconds=options.seconds,
        every=options.every,
        elastic=options.elastic,
    )
    async with contextlib.AsyncExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos")))
        folder.mkdir(exist_ok=True)
        books = (
            SqliteBooks(folder)
            if options.database == "sqlite"
            else PostgresBooks(stack.enter_context(running_postgres()))
        )
        start = start_bot if options.cold else await stack.enter_async_context(nursery(folder))
        ledger = await run(
            plan, books=books, folder=folder, start=start, tell=lambda line: print(line, flush=True)
        )
    print("\n".join(ledger.lines()))
    return 0 if ledger.sound else 1


if __name__ == "__main__":
    sys.exit(main())
