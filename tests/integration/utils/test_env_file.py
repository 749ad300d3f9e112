"""Edits of .env reach the running bot, and half-saved ones do not harm it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from modules.utils.settings import settings
from modules.utils.settings.env_file import EnvironmentFile
from modules.utils.settings.settings import Settings

GOOD = "DISCORD_TOKEN=a.b.c\nCOMFY_URLS=http://a:1\n"


class Ticks:
    """A clock whose sleepers wake when the test says so."""

    def __init__(self) -> None:
        self._waiting = asyncio.Event()
        self._go = asyncio.Event()

    def now(self) -> float:
        return 0.0

    def unix(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        assert seconds == 2.0
        self._waiting.set()
        await self._go.wait()
        self._go.clear()

    async def tick(self) -> None:
        """Let the sleeper go once and wait until it sleeps again."""
        await self._waiting.wait()
        self._waiting.clear()
        self._go.set()
        await self._waiting.wait()


class Edited:
    """A watched file, and what reached the bot."""

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        self.path, self.clock = path, Ticks()
        self.seen: list[Settings] = []
        path.write_text(GOOD, encoding="utf-8")
        self.file = EnvironmentFile(
            path=path,
            environ=environ,
            now=settings.read(environ, settings.read_file(path)),
            on_change=self._take,
            clock=self.clock,
        )

    async def _take(self, new: Settings) -> None:
        self.seen.append(new)

    async def save(self, text: str) -> None:
        other = self.path.with_suffix(".new")
        other.write_text(text, encoding="utf-8")
        os.replace(other, self.path)
        await self.looked_at()

    async def looked_at(self) -> None:
        """The file has stood still for one look."""
        await self.clock.tick()
        await self.clock.tick()


async def test_new_addresses_are_taken_and_other_changes_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edited = Edited(tmp_path / ".env", {})
    watching = asyncio.create_task(edited.file.watch())
    await edited.clock.tick()
    assert edited.seen == []
    changed = GOOD.replace("http://a:1", "http://a:1, http://b:1") + "MAX_ATTEMPTS=5\nMAX_BATCH_SIZE=3\n"
    await edited.save(changed)
    assert [(new.comfy_urls, new.max_batch_size) for new in edited.seen] == [
        (("http://a:1", "http://b:1"), (3,))
    ]
    assert caplog.messages == [
        "COMFY_URLS has changed and applies now",
        "MAX_BATCH_SIZE has changed and applies now",
        "MAX_ATTEMPTS has changed and will apply at the next start",
    ]
    watching.cancel()


async def test_an_edit_from_before_is_taken_at_the_first_look(tmp_path: Path) -> None:
    """What a running process builds again, it builds from the settings of its start."""
    edited = Edited(tmp_path / ".env", {})
    edited.path.write_text(GOOD.replace("a:1", "b:1"), encoding="utf-8")
    again = EnvironmentFile(
        path=edited.path,
        environ={},
        now=settings.read({}, {"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://a:1"}),
        on_change=edited._take,
        clock=edited.clock,
    )
    watching = asyncio.create_task(again.watch())
    await edited.looked_at()
    assert [new.comfy_urls for new in edited.seen] == [("http://b:1",)]
    watching.cancel()


@pytest.mark.parametrize("text", ["", "DISCORD_TOKEN=a.b.c\n", GOOD.replace("http", "htp"), GOOD + 'X="half'])
async def test_a_half_saved_file_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    edited = Edited(tmp_path / ".env", {})
    watching = asyncio.create_task(edited.file.watch())
    await edited.save(text)
    await edited.clock.tick()
    assert edited.seen == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("Nothing changed")
    await edited.save(GOOD.replace("a:1", "c:1"))
    assert [new.comfy_urls for new in edited.seen] == [("http://c:1",)]
    watching.cancel()


async def test_half_of_an_address_is_not_taken_while_the_file_is_being_saved(tmp_path: Path) -> None:
    edited = Edited(tmp_path / ".env", {})
    watching = asyncio.create_task(edited.file.watch())
    await edited.looked_at()
    edited.path.write_text(GOOD.replace("a:1", "a:369"), encoding="utf-8")
    await edited.clock.tick()
    edited.path.write_text(GOOD.replace("a:1", "a:36935"), encoding="utf-8")
    await edited.looked_at()
    assert [new.comfy_urls for new in edited.seen] == [("http://a:36935",)]
    watching.cancel()


async def test_an_edit_hidden_by_a_real_variable_is_told(tmp_path: Path) -> None:
    edited = Edited(tmp_path / ".env", {"COMFY_URL": "http://real:1"})
    edited.path.write_text(GOOD.replace("a:1", "b:1"), encoding="utf-8")
    (line,) = await edited.file.reload()
    assert "overridden by the environment variable COMFY_URL" in line
    assert [new.comfy_urls for new in edited.seen] == [("http://real:1",)]


async def test_who_asks_for_it_has_the_addresses_taken_though_nothing_changed(tmp_path: Path) -> None:
    edited = Edited(tmp_path / ".env", {})
    assert await edited.file.reload() == ()
    edited.path.write_text("", encoding="utf-8")
    (line,) = await edited.file.reload()
    assert line.startswith("Nothing changed")
    assert [new.comfy_urls for new in edited.seen] == [("http://a:1",)]
