"""Each picture of a set is shown once, whatever Discord answers and people choose meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord.utils import time_snowflake
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.discord.delivery.result_message import ResultMessages
from modules.discord.delivery.result_sets import GALLERY_LIMIT, ResultSets
from modules.discord.transport.message_client import DiscordAway, OutgoingMessage, Posted, Unreachable
from modules.discord.ui.components import MORE, custom_id
from modules.discord.ui.message_parts import components_of, custom_ids_of, files_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NoOutput
from modules.queue_manager.jobs import Job, Picture, PictureSet, Size
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import JobRecord
from tests.examples import examples
from tests.fakes import request
from tests.journal import a_job
from tests.virtual_time import VirtualClock, run_virtual

CHANNEL = 1000
NONE = b"no picture"
MESSAGES = Translations.load()


@dataclass
class Channel:
    """A message client for one channel, which now and then does what it is told and does not say so, or does
    nothing at all. ``messages`` are as Discord's API gives them."""

    clock: VirtualClock
    chance: random.Random
    trouble: float = 0.0
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    edits: int = 0

    async def _answer(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.01, 0.3))
        if self.chance.random() < self.trouble:
            raise DiscordAway("no answer")

    async def post(self, channel_id: int, note: OutgoingMessage, *, nonce: str, **_: object) -> Posted:
        await self._answer()  # not carried out
        if nonce not in self.nonces:
            moment = datetime.fromtimestamp(self.clock.unix(), tz=timezone.utc)
            message_id = time_snowflake(moment) + len(self.messages)
            self.nonces[nonce] = message_id
            self._fill(message_id, note)
        await self._answer()  # carried out, and not answered
        return self._posted(self.nonces[nonce])

    @asynccontextmanager
    async def turn_to_edit(self, where: Posted, **_: object) -> AsyncIterator[None]:
        yield

    async def edit_now(self, where: Posted, note: OutgoingMessage) -> Posted:
        await self._answer()
        if where.message_id not in self.messages:
            raise Unreachable("unknown message")
        self.edits += 1
        self._fill(where.message_id, note)
        await self._answer()
        return self._posted(where.message_id)

    async def message(self, where: Posted) -> dict[str, Any]:
        if where.message_id not in self.messages:
            raise Unreachable("unknown message")
        return self.messages[where.message_id]

    async def page(self, channel_id: int, **_: object) -> list[dict[str, Any]]:
        assert channel_id == CHANNEL
        return [self.messages[message_id] for message_id in sorted(self.messages, reverse=True)]

    async def delete(self, where: Posted, **_: object) -> None:
        self.messages.pop(where.message_id, None)

    def _fill(self, message_id: int, note: OutgoingMessage) -> None:
        assert isinstance(note.view, discord.ui.LayoutView)
        before = self.messages.get(message_id, {"attachments": []})["attachments"]
        kept = [each for each in before if each["id"] in {file.id for file in note.kept}]
        new = [
            {"id": f"{message_id}-{self.edits}-{file.name}", "filename": file.name, "url": "x"}
            for file in note.files or ()
        ]
        files = [*kept, *new]
        names = [each["filename"] for each in files]
        components = note.view.to_components()
        galleries = [part for part in components[1]["components"] if part["type"] == 12]
        items = [item for gallery in galleries for item in gallery["items"]]
        shown = [item["media"]["url"].removeprefix("attachment://") for item in items]
        assert sorted(shown) == sorted(names), "a file that no part shows, or the other way round"
        assert shown == sorted(shown, key=lambda name: int(name.partition("-")[0]))
        controls = [
            {**part, "items": []} if part["type"] == 12 else part for part in components[1]["components"]
        ]
        self.messages[message_id] = {
            "id": str(message_id),
            "attachments": files,
            "components": [{"type": 17, "components": controls}],
        }

    def _posted(self, message_id: int) -> Posted:
        files = tuple(files_of(self.messages[message_id]))
        return Posted(channel_id=CHANNEL, message_id=message_id, files=files)

    def numbers(self) -> list[int]:
        """The pictures in all messages."""
        names = [each["filename"] for message in self.messages.values() for each in message["attachments"]]
        return sorted(int(name.partition("-")[0]) for name in names)

    def small_print(self) -> list[str]:
        """The lines of small print in all messages, in their order."""
        texts = [said for message in self.messages.values() for said in texts_of_all(message)]
        return [said.removeprefix("-# ") for said in texts if said.startswith("-# ")]

    def menus(self) -> list[str]:
        """The menus in all messages, by their ``custom_id``."""
        found = [name for message in self.messages.values() for name in custom_ids_of(message)]
        return [name for name in found if name.startswith(tuple(map(custom_id, MORE)))]


def texts_of_all(message: dict[str, Any]) -> list[str]:
    return [str(part["content"]) for part in components_of(message) if part["type"] == 10]


@dataclass
class Books:
    """The history of the jobs."""

    records: dict[str, JobRecord] = field(default_factory=dict)

    async def job(self, job_id: str) -> JobRecord | None:
        return self.records.get(job_id)

    async def of_user(self, user_id: int, **_: object) -> list[JobRecord]:
        return [record for record in self.records.values() if record.state == "delivered"]


class Stage:
    """A set of pictures, and what delivers them."""

    def __init__(self, count: int, *, seed: int = 0, trouble: float = 0.0) -> None:
        together = replace(request(1), set=PictureSet(id="5" * 32, count=count))
        self.jobs = [a_job(number, together) for number in range(1, count + 1)]
        self.books = Books(
            {
                job.id: JobRecord(
                    job_id=job.id, number=job.number, request=job.request, state="finished", queued_at=0.0
                )
                for job in self.jobs
            }
        )
        self.clock = VirtualClock()
        self.channel = Channel(clock=self.clock, chance=random.Random(seed), trouble=trouble)
        self.sets = self.process(self.clock.epoch)

    def process(self, began: float) -> ResultSets:
        """What a process knows when it starts: nothing."""

        async def present(picture: Picture, **_: object) -> Picture:
            if picture.data == NONE:
                raise NoOutput("no picture")
            return picture

        return ResultSets(
            message_client=self.channel,  # type: ignore[arg-type]
            result_messages=ResultMessages(
                cleaner=SimpleNamespace(present=present),  # type: ignore[arg-type]
                messages=MESSAGES,
                offers=(),
                varies=lambda: True,
            ),
            history=self.books,  # type: ignore[arg-type]
            clock=self.clock,
            began=began,
        )

    async def add(
        self, job: Job, *, remark: str | None = None, media_type: str = "image/png", data: bytes = b"x" * 100
    ) -> Posted:
        """Show its picture; nothing is noted yet."""
        picture = Picture(data=data, media_type=media_type, size=Size(width=64, height=64))
        report = RunReport(engine="a", batch_size=1, started_at=0.0, ended_at=1.0)
        finished = Finished(job=job, picture=picture, report=report)
        posted, _ = await self.sets.add(
            finished, CHANNEL, limit=10**7, part="result", notify=True, remark=remark
        )
        return posted

    async def deliver(self, job: Job, **options: Any) -> Posted:
        """As the bot does: until Discord answers."""
        while True:
            try:
                posted = await self.add(job, **options)
            except DiscordAway:
                await asyncio.sleep(0.5)
                continue
            self.books.records[job.id] = replace(
                self.books.records[job.id],
                state="delivered",
                channel_id=CHANNEL,
                message_id=posted.message_id,
            )
            return posted


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(2, GALLERY_LIMIT),
    trouble=st.sampled_from([0.0, 0.2, 0.5]),
    choosing=st.booleans(),
)
def test_each_picture_is_there_once(seed: int, count: int, trouble: float, choosing: bool) -> None:
    stage = Stage(count, seed=seed, trouble=trouble)
    chance = random.Random(seed)

    async def one(job: Job) -> None:
        await asyncio.sleep(chance.uniform(0, 3))
        posted = await stage.deliver(job)
        assert job.number in stage.channel.numbers()
        if choosing and chance.random() < 0.5:
            try:
                await stage.sets.choose(posted, job, notify=True)
            except DiscordAway:
                return

    async def whole() -> None:
        await asyncio.gather(*map(one, stage.jobs))

    run_virtual(whole())
    assert stage.channel.numbers() == list(range(1, count + 1))
    if not trouble:
        assert len(stage.channel.messages) == 1


def test_pictures_that_are_ready_at_once_come_with_one_edit() -> None:
    stage = Stage(5)

    async def whole() -> None:
        first = asyncio.ensure_future(stage.deliver(stage.jobs[2]))
        await asyncio.sleep(0.001)
        await asyncio.gather(*(stage.deliver(job) for job in stage.jobs if job is not stage.jobs[2]))
        await first

    run_virtual(whole())
    assert stage.channel.numbers() == [1, 2, 3, 4, 5]
    assert stage.channel.edits == 1


def test_the_next_process_adds_to_the_message_of_the_former_one() -> None:
    stage = Stage(3)

    async def whole() -> None:
        first = await stage.deliver(stage.jobs[1])
        stage.sets = stage.process(stage.clock.unix())
        assert (await stage.deliver(stage.jobs[0])).message_id == first.message_id
        stage.channel.messages.clear()  # its owner deletes it
        assert (await stage.deliver(stage.jobs[2])).message_id != first.message_id

    run_virtual(whole())
    assert stage.channel.numbers() == [3]


def test_a_picture_that_is_not_remembered_any_more_is_never_dropped() -> None:
    stage = Stage(2)

    async def whole() -> None:
        posted = [await stage.deliver(job) for job in stage.jobs][-1]
        del stage.books.records[stage.jobs[0].id]
        try:
            await stage.sets.choose(posted, stage.jobs[1], notify=True)
        except Unreachable:
            return
        raise AssertionError("it was edited")

    run_virtual(whole())
    assert stage.channel.numbers() == [1, 2]


def test_one_is_taken_out_and_the_last_takes_its_message_along() -> None:
    stage = Stage(2)

    async def whole() -> None:
        posted = [await stage.deliver(job) for job in stage.jobs][-1]
        await stage.sets.remove(posted, stage.jobs[0], notify=False)
        assert stage.channel.numbers() == [2]
        await stage.sets.remove(posted, stage.jobs[1], notify=False)

    run_virtual(whole())
    assert stage.channel.messages == {}


@pytest.mark.parametrize("restarted", [False, True])
def test_what_there_is_to_say_of_the_pictures_stays_when_others_come(restarted: bool) -> None:
    stage = Stage(4)
    said = [
        "Your old channel could not be used.",
        "#2: Compressed to fit.",
        "#3: The GPU server sent no picture.",
    ]

    async def whole() -> None:
        where = await stage.deliver(stage.jobs[0], remark=said[0])
        await stage.deliver(stage.jobs[1], media_type="image/webp")
        await stage.deliver(stage.jobs[2], data=NONE)
        before = stage.channel.small_print()
        assert len(before) == 4, "the facts, what is said of all, and of two pictures"
        assert before[1].startswith("#2: ")
        assert before[2].startswith("#3: ")
        assert before[3] == said[0]
        if restarted:
            stage.sets = stage.process(stage.clock.unix())
        await stage.deliver(stage.jobs[3])
        assert stage.channel.small_print()[1:] == before[1:]
        await stage.sets.choose(where, stage.jobs[3], notify=True)
        assert stage.channel.small_print()[1:] == before[1:]
        await stage.sets.remove(where, stage.jobs[1], notify=True)
        assert stage.channel.small_print()[1:] == before[2:]

    run_virtual(whole())
    assert stage.channel.numbers() == [1, 4]


def test_a_message_that_was_posted_and_never_noted_is_found_by_the_next_process() -> None:
    stage = Stage(3)
    another = a_job(4, replace(request(1), set=PictureSet(id="6" * 32, count=2)))
    stage.books.records[another.id] = replace(
        stage.books.records[stage.jobs[0].id], job_id=another.id, number=4, request=another.request
    )

    async def whole() -> None:
        first = await stage.add(stage.jobs[0])  # and then the process dies
        await stage.deliver(another)
        await asyncio.sleep(5)
        stage.sets = stage.process(stage.clock.unix())
        added = await asyncio.gather(stage.deliver(stage.jobs[1]), stage.deliver(stage.jobs[2]))
        assert [each.message_id for each in added] == [first.message_id] * 2

    run_virtual(whole())
    assert len(stage.channel.messages) == 2
    assert stage.channel.numbers() == [1, 2, 3, 4]


def test_nothing_is_kept_about_who_wants_to_be_forgotten() -> None:
    stage = Stage(3)
    owner = stage.jobs[0].request.user_id

    async def whole() -> None:
        posted = await stage.deliver(stage.jobs[0])
        await stage.sets.choose(posted, stage.jobs[0], notify=True)
        stage.sets.forget(owner + 1)
        assert _remembered(stage.sets, stage.jobs[0].request.prompt)
        stage.sets.forget(owner)
        assert not _remembered(stage.sets, stage.jobs[0].request.prompt)

    run_virtual(whole())


def _remembered(sets: ResultSets, prompt: str) -> bool:
    """Whether the prompt stands anywhere in what is kept."""
    return prompt in repr(vars(sets)["_sets"])


def test_after_a_choice_the_menu_is_another_one_so_that_the_same_can_be_chosen_again() -> None:
    stage = Stage(2)

    async def whole() -> None:
        posted = [await stage.deliver(job) for job in stage.jobs][-1]
        job = stage.jobs[1]
        (before,) = stage.channel.menus()
        await stage.sets.choose(posted, job, notify=True, more=MORE[1])
        assert stage.channel.menus() == [custom_id(MORE[1], job.id)] != [before]
        assert stage.channel.numbers() == [1, 2]

    run_virtual(whole())
