"""A bot is moved from SQLite to PostgreSQL with a queue in it, and goes on there."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from modules.demo.comfy_server import Timing
from modules.demo.users import File, Payload, text_of
from tests.bot_process import said_by
from tests.discord_stand import SMALL, answered_by_status, has_picture, painted
from tests.e2e.operated import person, result_of, run_bot, staged
from tests.postgres import Postgres

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def _queued(words: str, message: Payload) -> bool:
    return not has_picture(message) and words in text_of(message)


@pytest.mark.long
async def test_the_queue_goes_on_in_the_other_database(tmp_path: Path, postgres: Postgres) -> None:
    new = postgres.url(postgres.new_database())
    async with staged(tmp_path, timing=Timing(step=0.02, row=0.01)) as stage:
        old = f"sqlite:///{tmp_path / 'bot.db'}"
        async with run_bot(stage.env_file) as bot, person(stage) as (ana, general):
            await (await ana.command("imagine", general, model="flux", prompt="first light", seed=7)).reply()
            first = await ana.wait_for_message(result_of("first light"), 60)
            await (await ana.command("admin pause", general)).reply()
            await ana.command("imagine", general, model="flux", prompt="a long night")
            photo = File(filename="photo.png", data=painted("an upload", 0, SMALL))
            await ana.command("edit", general, prompt="make it blue", image=photo)
            for words in ("a long night", "make it blue"):
                await ana.wait_for_message(partial(_queued, words), 60)

            refused = await said_by("database", "copy", old, new, folder=tmp_path)
            assert refused == (1, "", "FROM: a running bot uses it; stop that bot first\n")
            assert await bot.end() == 0
            code, said, errors = await said_by("database", "copy", old, new, folder=tmp_path)
            assert (code, errors) == (0, "")
            assert said.startswith(f"Copied from SQLite {tmp_path}/bot.db to PostgreSQL ")
            assert {"  jobs: 3", "  source pictures: 1"} <= set(said.splitlines())
            assert "Jobs that have not ended: 2. The bot continues them on the new database." in said

            stage.write(DATABASE_URL=new)
            async with run_bot(stage.env_file) as moved:
                for words in ("a long night", "make it blue"):
                    await ana.wait_for_message(result_of(words), 60)
                await answered_by_status(await ana.click(first, "Again"))
                await ana.wait_for_message(result_of("**#4**"), 60)
                assert await moved.end() == 0
                assert not any("Traceback" in line or "ERROR" in line for line in moved.lines)
            for words in ("a long night", "make it blue"):
                pictures = [m for c in ana.channels for m in ana.messages(c) if result_of(words)(m)]
                assert len(pictures) == 1
