"""What is said of a job when its message's turn comes, and who waits for a turn at all; in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import discord
import pytest
from discord.utils import time_snowflake

from modules.ai.comfy.errors import ServerLacks
from modules.demo.users import text_of
from modules.discord.delivery.status_messages import LiveStatusMessages
from modules.discord.delivery.status_poster import StatusPoster
from modules.discord.delivery.status_text import worth_telling
from modules.discord.transport.message_client import OutgoingMessage, Posted
from modules.discord.transport.rate_limiter import Line, Priority
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import (
    EngineStalled,
    ExecutionFailed,
    FusionRefused,
    GenerationError,
    OutOfMemory,
    StoreUnavailable,
)
from modules.queue_manager.jobs import Job, JobId, JobState, Picture, PictureSet, Size
from modules.queue_manager.ports import (
    Cancelled,
    Delivered,
    Failed,
    Finished,
    Progressed,
    Queued,
    Receipt,
    Requeued,
    RunReport,
    Started,
)
from modules.queue_manager.status import QueuePosition, Stranded
from modules.utils.database.rows import UserPreferences
from tests.fakes import request
from tests.journal import a_job
from tests.virtual_time import VirtualClock, run_virtual

MESSAGES = Translations.load()


@dataclass
class Turns:
    """A message client whose turns are given by the test. ``said``: what stands in each message, in order."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    line: Line = field(default_factory=Line)
    wanted: list[tuple[str, Priority]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    files: list[Any] = field(default_factory=list)
    pinged: list[int | None] = field(default_factory=list)
    deleted: int = 0

    @asynccontextmanager
    async def turn_to_post(self, channel_id: int, *, level: Priority) -> AsyncIterator[None]:
        self.wanted.append(("post", level))
        await self.line.join(level)
        yield

    @asynccontextmanager
    async def turn_to_edit(self, where: Posted, *, level: Priority) -> AsyncIterator[None]:
        self.wanted.append(("edit", level))
        await self.line.join(level)
        yield

    async def post_now(self, channel_id: int, note: OutgoingMessage, *, nonce: str | None = None) -> Posted:
        self._say(note)
        moment = datetime.fromtimestamp(self.clock.unix(), tz=timezone.utc)
        return Posted(channel_id=channel_id, message_id=time_snowflake(moment))

    async def edit_now(self, where: Posted, note: OutgoingMessage) -> None:
        self._say(note)

    async def post(
        self, channel_id: int, note: OutgoingMessage, *, level: Priority, nonce: str | None = None
    ) -> Posted:
        async with self.turn_to_post(channel_id, level=level):
            return await self.post_now(channel_id, note, nonce=nonce)

    async def delete(self, where: Posted, *, level: Priority) -> None:
        self.deleted += 1

    def _say(self, note: OutgoingMessage) -> None:
        assert isinstance(note.view, discord.ui.LayoutView)
        self.said.append(text_of({"components": note.view.to_components()}))
        self.pinged.append(note.mention)
        self.files.append(note.files)

    async def give(self) -> None:
        """The first who waits has their turn."""
        await asyncio.sleep(3)  # longer than two edits of a message are apart
        self.line.admit()
        await asyncio.sleep(0.1)


@dataclass
class Notes:
    """The store of status messages."""

    noted: dict[JobId, int] = field(default_factory=dict)

    async def put(self, job_ids: Collection[JobId], channel_id: int, message_id: int) -> None:
        await asyncio.sleep(0.01)
        self.noted |= dict.fromkeys(job_ids, message_id)

    async def remove(self, job_ids: Collection[JobId]) -> None:
        await asyncio.sleep(0.01)
        self.noted = {job_id: where for job_id, where in self.noted.items() if job_id not in job_ids}


@dataclass
class Choices:
    """What people chose; ``away``: the database does not answer for so many seconds, and then fails."""

    chosen: UserPreferences = field(default_factory=UserPreferences)
    away: float = 0.0

    async def get(self, user_id: int) -> UserPreferences:
        if self.away:
            await asyncio.sleep(self.away)
            raise StoreUnavailable("away")
        return self.chosen


class Stand:
    """Status messages, with everything around them in the test's hands."""

    def __init__(self) -> None:
        self.turns, self.notes, self.choices = Turns(), Notes(), Choices()
        self.told: list[Any] = []
        self.served = True
        self.stranded: Stranded | None = None
        self.place: QueuePosition | None = None
        self.messages = LiveStatusMessages(
            poster=StatusPoster(
                message_client=self.turns,  # type: ignore[arg-type]
                store=self.notes,  # type: ignore[arg-type]
                preferences=self.choices,  # type: ignore[arg-type]
                messages=MESSAGES,
                clock=self.turns.clock,
                tell_elsewhere=self._tell,
            ),
            store=self.notes,  # type: ignore[arg-type]
            clock=self.turns.clock,
            place=lambda _: self.place,
            hindrance=lambda: None,
            served=lambda _: self.served,
            stranded=lambda _: self.stranded,
            together_with=lambda job: [job],
        )
        self.job: Job = a_job(1)

    async def _tell(self, board: Any) -> None:
        self.told.append(board)

    async def step(self, step: int, preview: bytes | None = None) -> None:
        await self.messages.on_event(Progressed(job=self.job, step=step, steps=9, preview=preview))

    async def queued(self) -> None:
        await self.messages.on_event(Queued(job=self.job))
        await asyncio.sleep(0.1)

    async def finished(self) -> None:
        picture = Picture(data=b"", media_type="image/png", size=Size(width=64, height=64))
        report = RunReport(engine="a", batch_size=1, started_at=0.0, ended_at=1.0)
        await self.messages.on_event(Finished(job=self.job, picture=picture, report=report))

    async def delivered(self) -> None:
        receipt = Receipt(where="channel", channel_id=1, message_id=2)
        await self.messages.on_event(Delivered(job=self.job, receipt=receipt))
        await asyncio.sleep(0.1)


def set_of(count: int) -> list[Job]:
    """Jobs that were asked for at once."""
    together = replace(request(1), set=PictureSet(id="5" * 32, count=count))
    return [a_job(number, together) for number in range(1, count + 1)]


def play(scene: Callable[[Stand], Any]) -> Stand:
    async def whole() -> Stand:
        stand = Stand()
        await scene(stand)
        await stand.messages.aclose()
        return stand

    return run_virtual(whole())


def test_what_is_said_is_what_is_so_when_the_turn_comes() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await asyncio.sleep(3)  # it waits
        await stand.messages.on_event(Started(job=stand.job, engine="a", batch_size=1))
        await stand.step(1)
        await stand.turns.give()
        await stand.step(2)
        await asyncio.sleep(3)
        await stand.step(3)
        await stand.step(4)
        await stand.turns.give()
        assert stand.turns.line.first is None

    stand = play(scene)
    steps = [re.findall(r"(\d)\D{1,4}9", text)[-1:] for text in stand.turns.said]
    assert steps == [["1"], ["4"]]


def test_a_message_that_was_overtaken_before_it_was_shown_waits_for_no_turn() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.delivered()
        assert stand.turns.line.first is None

    stand = play(scene)
    assert (stand.turns.said, stand.notes.noted, stand.messages._all) == ([], {}, {})


def test_an_edit_that_waits_gives_way_to_the_removal_of_its_message() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.turns.give()
        await stand.step(1)
        await asyncio.sleep(3)
        assert stand.turns.line.first is Priority.STATUS
        await stand.delivered()
        assert stand.turns.line.first is None
        await asyncio.sleep(3)

    stand = play(scene)
    assert len(stand.turns.said) == 1
    assert stand.turns.deleted == 1
    assert (stand.notes.noted, stand.messages._all) == ({}, {})


@pytest.mark.parametrize("posted", [False, True])
def test_a_failure_does_not_wait_where_the_status_of_its_job_waited(posted: bool) -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        if posted:
            await stand.turns.give()
            await stand.step(1)
            await asyncio.sleep(3)
        await stand.messages.on_event(Failed(job=stand.job, error=GenerationError("lost")))
        await asyncio.sleep(3)
        assert stand.turns.line.first is Priority.DELIVER
        await stand.turns.give()
        if posted:  # an edit notifies nobody
            assert f"<@{stand.job.request.user_id}>" not in stand.turns.said[-1]
            await stand.turns.give()
        assert stand.turns.line.first is None

    stand = play(scene)
    assert f"<@{stand.job.request.user_id}>" in stand.turns.said[-1]
    assert stand.turns.pinged[-1] == stand.job.request.user_id
    assert ("/channels/" in stand.turns.said[-1]) is posted  # where it is told
    assert (stand.notes.noted, stand.messages._all) == ({}, {})


@pytest.mark.parametrize("posted", [False, True])
def test_who_wants_no_mention_is_told_of_a_failure_without_one(posted: bool) -> None:
    async def scene(stand: Stand) -> None:
        stand.choices.chosen = UserPreferences(notify=False)
        await stand.queued()
        if posted:
            await stand.turns.give()
        await stand.messages.on_event(Failed(job=stand.job, error=GenerationError("lost")))
        await stand.turns.give()
        assert stand.turns.line.first is None

    stand = play(scene)
    assert "could not be made" in stand.turns.said[-1]
    assert "<@" not in stand.turns.said[-1]
    assert set(stand.turns.pinged) == {None}


def test_a_picture_that_comes_at_once_is_not_said_to_be_on_its_way() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.turns.give()
        await stand.finished()
        await asyncio.sleep(1)
        await stand.delivered()

    stand = play(scene)
    assert len(stand.turns.said) == 1
    assert stand.turns.deleted == 1


def test_a_picture_that_is_long_on_its_way_is_said_to_be() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.turns.give()
        await stand.finished()
        await asyncio.sleep(3)
        await stand.turns.give()

    assert "is ready; sending it" in play(scene).turns.said[-1]


def test_a_place_that_only_counts_down_is_told_when_half_of_it_is_gone() -> None:
    def at(ahead: int, expected_at: float | None) -> QueuePosition:
        return QueuePosition(state="waiting", ahead=ahead, waiting=ahead + 1, expected_at=expected_at)

    def told(old: QueuePosition, new: QueuePosition) -> bool:
        return worth_telling(old, new, now=0.0)

    assert not told(at(8, 100.0), at(5, 101.0))
    assert told(at(8, 100.0), at(4, 101.0))
    assert told(at(8, 100.0), at(7, 130.0))
    assert told(at(8, 100.0), at(9, 100.0))
    assert told(at(1, 100.0), at(0, 100.0))
    assert told(at(8, None), at(7, None))
    assert not told(at(0, 100.0), at(0, 100.0))


def test_of_a_set_the_message_tells_of_the_picture_that_is_made_and_shows_its_preview() -> None:
    async def scene(stand: Stand) -> None:
        first, second = jobs = set_of(2)
        for job in jobs:
            await stand.messages.on_event(Queued(job=job))
        await stand.turns.give()
        for job in jobs:
            await stand.messages.on_event(Started(job=job, engine="a", batch_size=2))
        await stand.messages.on_event(Progressed(job=first, step=4, steps=9, preview=b"\xff\xd81"))
        await stand.messages.on_event(Progressed(job=second, step=4, steps=9, preview=b"\xff\xd82"))
        await stand.turns.give()
        assert [file.data for file in stand.turns.files[-1]] == [b"\xff\xd81"]
        receipt = Receipt(where="channel", channel_id=1, message_id=2)
        await stand.messages.on_event(Delivered(job=first, receipt=receipt))
        await stand.turns.give()
        assert "1 of 2 ready" in stand.turns.said[-1]
        assert "Making **#2**" in stand.turns.said[-1]
        assert stand.turns.files[-1] == ()
        assert set(stand.notes.noted) == {first.id, second.id}
        await stand.messages.on_event(Delivered(job=second, receipt=receipt))
        await asyncio.sleep(3)

    stand = play(scene)
    assert "**#1–#2** · 0 of 2 ready" in stand.turns.said[0]
    assert stand.turns.deleted == 1
    assert (stand.notes.noted, stand.messages._all) == ({}, {})


def test_a_set_that_a_former_process_began_goes_on_until_all_of_it_is_known() -> None:
    async def scene(stand: Stand) -> None:
        first, second = set_of(2)
        now = datetime.fromtimestamp(stand.turns.clock.unix(), tz=timezone.utc)
        where = Posted(channel_id=1000, message_id=time_snowflake(now))
        stand.messages._left = {first.id: where, second.id: where}
        stand.notes.noted = {first.id: where.message_id, second.id: where.message_id}
        receipt = Receipt(where="channel", channel_id=1, message_id=2)
        await stand.messages.on_event(Delivered(job=first, receipt=receipt))
        await asyncio.sleep(3)
        assert stand.turns.deleted == 0  # the second one is still to come

        async def none(_: JobId) -> None:
            raise AssertionError("it is in the queue")

        await stand.messages.repair(lambda _: second, none)
        await stand.turns.give()
        assert "1 of 2 ready" in stand.turns.said[-1]
        await stand.messages.on_event(Delivered(job=second, receipt=receipt))
        await asyncio.sleep(3)

    stand = play(scene)
    assert stand.turns.deleted == 1
    assert (stand.notes.noted, stand.messages._all) == ({}, {})


def test_the_final_state_comes_true_though_it_came_while_another_was_being_sent() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await asyncio.sleep(3)
        stand.turns.line.admit()
        await asyncio.sleep(0.005)  # its place is being noted
        await stand.messages.on_event(Cancelled(job=stand.job, by=stand.job.request.user_id))
        await asyncio.sleep(3)
        if stand.turns.line.first is not None:
            await stand.turns.give()

    stand = play(scene)
    assert MESSAGES.text(stand.job.request.locale, "status-cancelled", number="1") in stand.turns.said[-1]
    assert (stand.notes.noted, stand.messages._all) == ({}, {})


def test_a_result_that_comes_while_the_place_of_its_status_is_noted_leaves_nothing() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await asyncio.sleep(3)
        stand.turns.line.admit()
        await asyncio.sleep(0.005)
        await stand.delivered()
        await asyncio.sleep(3)

    stand = play(scene)
    assert (stand.turns.said, stand.notes.noted, stand.messages._all) == ([], {}, {})


def test_hearing_of_a_step_waits_for_no_database() -> None:
    async def scene(stand: Stand) -> None:
        stand.choices.away = 100.0
        before = stand.turns.clock.now()
        await stand.step(1, preview=b"\xff\xd8")
        await stand.delivered()
        assert stand.turns.clock.now() - before < 1

    play(scene)


def test_previews_are_shown_to_those_who_want_them_as_they_choose_now() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.turns.give()
        for step, wanted in ((1, True), (2, False), (3, True)):
            stand.choices.chosen = UserPreferences(previews=wanted)
            await stand.step(step, preview=b"\xff\xd8" + bytes([step]))
            await stand.turns.give()

    stand = play(scene)
    shown = [[file.data[-1] for file in files or ()] for files in stand.turns.files]
    assert shown == [[], [1], [], [3]]


# ── a run that failed ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "together", "served", "words"),
    [
        (EngineStalled("x"), 2, True, "the GPU server failed. A working server will make the picture"),
        (EngineStalled("x"), 2, False, "no other one can make it right now. The picture waits until one can"),
        (
            ServerLacks("x"),
            0,
            True,
            "is missing something this model needs. A server that has it will make the picture",
        ),
        (ServerLacks("x"), 0, False, "and no other one has it right now. The picture waits until one does"),
        (OutOfMemory("x"), 4, True, "ran out of memory. Trying again with fewer pictures at once"),
        (OutOfMemory("x"), 1, True, "ran out of memory. Trying again"),
        (ExecutionFailed("x"), 4, True, "Trying again in a smaller group or alone, to find the cause"),
        (FusionRefused("x"), 4, True, "cannot be made together with others. It will now be made separately"),
        (GenerationError("x"), 1, True, "something failed. Trying again"),
    ],
)
def test_what_became_of_a_run_is_told_as_it_is(
    error: GenerationError, together: int, served: bool, words: str
) -> None:
    async def scene(stand: Stand) -> None:
        stand.served = served
        await stand.queued()
        await stand.turns.give()
        if together:
            await stand.messages.on_event(Started(job=stand.job, engine="gpu-1", batch_size=together))
            await stand.turns.give()
        await stand.messages.on_event(Requeued(job=stand.job, error=error))
        await stand.turns.give()
        assert words in stand.turns.said[-1]
        assert "your place is kept." in stand.turns.said[-1]

    run_virtual(scene(Stand()))


def test_a_server_that_can_make_it_after_all_is_told() -> None:
    async def scene(stand: Stand) -> None:
        stand.served = False
        await stand.queued()
        await stand.turns.give()
        await stand.messages.on_event(Requeued(job=stand.job, error=EngineStalled("x")))
        await stand.turns.give()
        stand.served = True
        stand.messages.look_at_places()
        await stand.turns.give()
        assert "A working server will make the picture" in stand.turns.said[-1]

    run_virtual(scene(Stand()))


def test_a_job_whose_model_is_gone_is_told_until_when_it_waits() -> None:
    async def scene(stand: Stand) -> None:
        await stand.queued()
        await stand.turns.give()
        stand.stranded = Stranded(model="Flux", until=1_900_000_000.0)
        stand.messages.look_at_places()
        await stand.turns.give()
        assert "No GPU has Flux any more" in stand.turns.said[-1]
        assert "this request will fail <t:1900000000:R>" in stand.turns.said[-1]
        stand.stranded = None
        stand.messages.look_at_places()
        await stand.turns.give()
        assert "any more" not in stand.turns.said[-1]

    run_virtual(scene(Stand()))


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_no_countdown_runs_into_the_past(state: JobState) -> None:
    async def scene(stand: Stand) -> None:
        expected_at = stand.turns.clock.unix() + 20
        stand.place = QueuePosition(state=state, ahead=0, waiting=1, expected_at=expected_at)
        await stand.queued()
        if state == "running":
            await stand.messages.on_event(Started(job=stand.job, engine="gpu-1", batch_size=1))
        await stand.turns.give()
        stand.messages.look_at_places()
        assert f"Expected <t:{round(expected_at)}:R>." in stand.turns.said[-1]
        while stand.turns.line.first is None:
            await asyncio.sleep(1)
            stand.messages.look_at_places()
        assert stand.turns.clock.unix() < expected_at
        await stand.turns.give()
        assert "Expected any moment now." in stand.turns.said[-1]
        await asyncio.sleep(30)
        stand.messages.look_at_places()
        await asyncio.sleep(3)
        assert stand.turns.line.first is None  # it says so already

    play(scene)
