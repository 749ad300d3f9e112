"""A database that an earlier version left with jobs in it is migrated, and the bot serves who is in it."""

from __future__ import annotations

import base64
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Boolean, Connection, MetaData, delete

from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.files import Upload
from modules.demo.users import Payload, SimulatedUser, files_of, text_of
from modules.utils.database import schema
from modules.utils.database.address import read_address
from modules.utils.database.connections import Connections
from tests.discord_stand import (
    SMALL,
    Stand,
    answered_by_status,
    bot_on,
    colour_of,
    discord_server,
    painted,
    pixel,
    result_for,
    session_of,
)
from tests.e2e.test_older_messages import posted
from tests.postgres import Postgres

RECORDED = Path(__file__).parents[1] / "data" / "databases"


@dataclass
class Recording:
    """What a bot had in its database and had posted, at the places of the embedded Discord of today."""

    schema: str
    tables: dict[str, list[dict[str, Any]]]
    messages: list[Payload]


def read(name: str, server: DiscordServer, places: dict[str, str]) -> Recording:
    """A recording whose ids are those of ``places``, and of the messages, which are posted again."""
    text = (RECORDED / f"{name}.json").read_text(encoding="utf-8")
    then = json.loads(text)["places"]
    for place, now in places.items():
        text = text.replace(then[place], now)
    shown = []
    for message in json.loads(text)["messages"]:
        number, channel, names = message.pop("id"), places[message.pop("channel")], message.pop("files")
        uploads = [
            Upload(index=at, filename=file, data=painted("old", 1, SMALL)) for at, file in enumerate(names)
        ]
        body = {**message, "attachments": [{"id": at, "filename": file} for at, file in enumerate(names)]}
        shown.append(posted(server, int(channel), body, *uploads))
        text = text.replace(number, shown[-1]["id"])
    told = json.loads(text)
    since = time.time() - told["recorded_at"]
    for row in (row for rows in told["tables"].values() for row in rows):
        for column, value in row.items():
            if isinstance(value, dict):
                row[column] = base64.b64decode(value["base64"])
            elif column.endswith("_at") and value is not None:
                row[column] = value + since
    return Recording(told["schema"], told["tables"], shown)


async def restore(recording: Recording, url: str) -> None:
    """Make the database as it was: by the migrations of that version, with its rows."""

    def fill(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, recording.schema)
        there = MetaData()
        there.reflect(connection)
        connection.execute(delete(there.tables["counters"]))
        for table in (table for table in there.sorted_tables if table.name in recording.tables):
            flags = [column.name for column in table.columns if isinstance(column.type, Boolean)]
            rows = [
                {**row, **{flag: bool(row[flag]) for flag in flags}} for row in recording.tables[table.name]
            ]
            connection.execute(table.insert(), rows)

    address = read_address(url, root=Path())
    async with (
        aclosing(Connections(address)) as connections,
        aclosing(await connections.connect()) as connection,
    ):
        await connection.run_sync(fill)
        await connection.commit()


async def rooms(server: DiscordServer, folder: Path) -> dict[str, str]:
    """The ids of the people and their private channels, which stand empty and have no bot behind them."""
    async with bot_on(server, folder) as stand:
        found = {"guild": str(server.guild.id), "general": str(stand.general), "bot": str(server.bot.id)}
        for name, member in (("ana", "member-1"), ("ben", "member-2")):
            person = await stand.person(member)
            await person.command("imagine", stand.general, model="flux", prompt="a door")
            await result_for(person, "a door")
            found |= {name: str(person.id), f"{name}_channel": await session_of(person)}
        await stand.until(lambda: not stand.queue.status().waiting)
    for name in ("ana", "ben"):
        for message in server.messages(int(found[f"{name}_channel"])):
            server.delete_message(message)
    return found


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_older_database_is_migrated_and_its_people_are_served(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, name: str
) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    async with discord_server(rate_limits=False) as server:
        recording = read(name, server, await rooms(server, tmp_path))
        await restore(recording, url)
        async with bot_on(server, tmp_path, database_url=url) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await waiting_jobs_are_made(stand, ana, ben)
            await old_buttons_work(ana, recording)
            preferences = await stand.database.preferences.get(ana.id)
            assert (preferences.model, preferences.locale) == ("z-image", "es")
            assert await stand.database.members.is_blocked(4242)
            history = await (await ana.command("history", stand.general)).reply()
            assert "a lighthouse" in text_of(history)


async def waiting_jobs_are_made(stand: Stand, ana: SimulatedUser, ben: SimulatedUser) -> None:
    """Those in flight and those in the queue, each once, with the seeds and the sources that they had; what
    showed them is gone."""
    for person, prompt, seed in ((ana, "a snail in the rain", 11), (ana, "in winter", 12)):
        result = await result_for(person, prompt)
        data = await person.download(files_of(result)[0]["url"])
        assert pixel(data) == colour_of(prompt, seed)
    await ben.until(lambda: len([f for m in ben.messages(_channel(ben)) for f in files_of(m)]) == 2)
    assert "una ballena" in "".join(text_of(message) for message in ben.messages(_channel(ben)))
    made = [job for batch in stand.engine.submitted for job in batch.jobs]
    assert sorted(job.number for job in made) == [3, 4, 5, 6]
    (edit,) = (job for job in made if job.request.kind == "edit")
    street = painted("a street", 0, SMALL)
    kept = await stand.database.jobs.source(edit.request.sources[0].key)
    assert pixel(kept) == pixel(street)
    await stand.until(lambda: not stand.queue.status().waiting)
    await ana.until(
        lambda: (
            not [m for m in ana.messages(_channel(ana)) if "fullet:cancel:" in json.dumps(m["components"])]
        )
    )


async def old_buttons_work(ana: SimulatedUser, recording: Recording) -> None:
    """*Again* under a result that the older bot posted, and the next number of the queue."""
    old = next(message for message in recording.messages if "a lighthouse" in text_of(message))
    await answered_by_status(await ana.click(ana.message(old["id"]) or old, "Again"))
    again = await result_for(ana, "**#7**")
    assert "a lighthouse" in text_of(again)


def _channel(person: SimulatedUser) -> str:
    return next(
        str(channel["id"]) for channel in person.channels.values() if str(channel["name"]).startswith("art-")
    )
