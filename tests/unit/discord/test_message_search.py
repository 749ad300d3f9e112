"""What a process that died left in a channel is found however much was written since."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.demo.discord_server.state.clock import EPOCH_MS
from modules.discord.delivery.message_search import CLOCKS_APART, PAGES, StatusMessageSearch, find_result
from modules.discord.delivery.status_text import Ending, StatusText, render
from modules.discord.transport.message_client import PAGE_SIZE
from modules.discord.ui.components import custom_id
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import JobId, PictureSet
from tests.examples import examples
from tests.fakes import request
from tests.journal import a_job

ACCEPTED_AT = 1_800_000_000.0
CHANNEL = 1000  # of all jobs of tests


class Channel:
    """A client that reads one channel, in which messages were written at these times (Unix seconds)."""

    def __init__(self, times: list[float]) -> None:
        self.messages: list[dict[str, Any]] = []
        for number, time in enumerate(sorted(times)):
            self.messages.append({"id": str(((int(time * 1000) - EPOCH_MS) << 22) + number)})
        self.asked = 0

    def put(self, place: int, *buttons: str, file: str | None = None) -> str:
        """What the message at ``place`` carries; its id."""
        message = self.messages[place]
        message["components"] = [{"components": [{"custom_id": name} for name in buttons]}]
        message["attachments"] = [{"filename": file}] if file is not None else []
        return str(message["id"])

    async def page(self, channel_id: int, *, after: int | None = None) -> list[dict[str, Any]]:
        """As `MessageClient.page`, newest first like Discord."""
        assert channel_id == CHANNEL
        self.asked += 1
        newer = [message for message in self.messages if after is None or int(message["id"]) > after]
        return list(reversed(newer[-PAGE_SIZE:] if after is None else newer[:PAGE_SIZE]))


class Standing:
    """A clock that stands."""

    time = 50.0

    def now(self) -> float:
        return self.time

    def unix(self) -> float:
        raise AssertionError("not asked for")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")


@settings(max_examples=examples(30), deadline=None)
@given(
    before=st.integers(0, 250),
    since=st.integers(1, PAGES * PAGE_SIZE),
    place=st.floats(0, 1, exclude_max=True),
    ahead=st.floats(0, CLOCKS_APART - 1),
)
def test_a_result_is_found_wherever_it_stands_since_acceptance(
    before: int, since: int, place: float, ahead: float
) -> None:
    """Also if our clock is ahead of Discord's, and at a cost that only what was written since decides."""
    accepted = ACCEPTED_AT - ahead
    times = [accepted - 10_000 + number for number in range(before)]
    channel = Channel([*times, *(accepted + number for number in range(since))])
    job = a_job(1)
    expected = channel.put(before + int(place * since), file=f"1-{job.id}.png")
    found = asyncio.run(find_result(channel, CHANNEL, job.id, since=ACCEPTED_AT))  # type: ignore[arg-type]
    assert str(found) == expected
    assert channel.asked <= since / PAGE_SIZE + 2


def _laid_out(*, picture: str, control: str) -> dict[str, Any]:
    """A message as Discord gives it whose file its layout shows: then it is not among the attachments."""
    media = {"url": f"https://cdn.discordapp.com/attachments/1/2/{picture}?ex=1&is=2&hm=3", "width": 1}
    parts = [
        {"type": 12, "items": [{"media": media, "description": "x", "spoiler": False}]},
        {
            "type": 9,
            "components": [{"type": 10, "content": "x"}],
            "accessory": {"type": 2, "custom_id": control},
        },
    ]
    return {"attachments": [], "components": [{"type": 17, "components": parts}]}


@pytest.mark.parametrize("by", ["file", "button"])
def test_a_result_is_found_however_deep_its_layout_nests_it(by: str) -> None:
    job = a_job(1)
    channel = Channel([ACCEPTED_AT + number for number in range(9)])
    picture = f"1-{job.id}.png" if by == "file" else "other.png"
    control = custom_id("delete" if by == "button" else "vary", job.id)
    channel.messages[4].update(_laid_out(picture=picture, control=control))
    found = asyncio.run(find_result(channel, CHANNEL, job.id, since=ACCEPTED_AT))  # type: ignore[arg-type]
    assert str(found) == channel.messages[4]["id"]


def test_a_status_message_is_told_by_a_button_in_its_layout() -> None:
    job = a_job(1)
    channel = Channel([job.queued_at + number for number in range(9)])
    channel.messages[3].update(_laid_out(picture="preview.webp", control=custom_id("cancel", job.id)))
    search = StatusMessageSearch(message_client=channel, clock=Standing())  # type: ignore[arg-type]
    found = asyncio.run(search.find(job))
    assert found is not None
    assert str(found.message_id) == channel.messages[3]["id"]


def test_a_status_message_is_found_whatever_it_carries() -> None:
    """Also "made and on its way", which has no button and no picture; that of a set by any of its jobs."""
    messages, together = Translations.load(), replace(request(1), set=PictureSet(id="5" * 32, count=2))
    jobs = [a_job(1, request(1)), a_job(2, together), a_job(3, together)]
    for stage in (*get_args(Ending)[1:], "queued", "finishing", "restarting"):
        channel = Channel([jobs[0].queued_at + number for number in range(9)])
        for place, shown in ((2, jobs[:1]), (5, jobs[1:])):
            view = render(messages, [StatusText(job=job, stage=stage) for job in shown])
            channel.messages[place].update({"attachments": [], "components": view.to_components()})
        search = StatusMessageSearch(message_client=channel, clock=Standing())  # type: ignore[arg-type]
        for job, place in zip(jobs, (2, 5, 5), strict=True):
            found = asyncio.run(search.find(job))
            assert found is not None, stage
            assert str(found.message_id) == channel.messages[place]["id"]


def test_what_is_not_there_ends_the_search_in_time() -> None:
    channel = Channel([ACCEPTED_AT + number for number in range(5000)])
    job_id = JobId("f" * 32)
    assert asyncio.run(find_result(channel, CHANNEL, job_id, since=ACCEPTED_AT)) is None  # type: ignore[arg-type]
    assert channel.asked == PAGES + 1
    quiet = Channel([ACCEPTED_AT - 9000 + number for number in range(5000)])
    assert asyncio.run(find_result(quiet, CHANNEL, job_id, since=ACCEPTED_AT)) is None  # type: ignore[arg-type]
    assert quiet.asked == 1
    empty = Channel([])
    assert asyncio.run(find_result(empty, CHANNEL, job_id, since=ACCEPTED_AT)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("buttons", "is_status"),
    [(("cancel",), True), (("again", "prompt"), True), (("again", "vary", "delete"), False), ((), False)],
)
def test_a_status_message_is_told_by_its_buttons(buttons: tuple[str, ...], is_status: bool) -> None:
    job = a_job(1)
    channel = Channel([job.queued_at + number for number in range(300)])
    message_id = channel.put(3, *(custom_id(name, job.id) for name in buttons))
    search = StatusMessageSearch(message_client=channel, clock=Standing())  # type: ignore[arg-type]
    found = asyncio.run(search.find(job))
    assert (str(found.message_id) if found is not None else None) == (message_id if is_status else None)


def test_one_look_serves_all_who_search_in_a_moment() -> None:
    jobs = [a_job(number) for number in range(1, 9)]
    channel = Channel([jobs[0].queued_at + number for number in range(20)])
    for number, job in enumerate(jobs):
        channel.put(number, custom_id("cancel", job.id))
    clock = Standing()
    search = StatusMessageSearch(message_client=channel, clock=clock)  # type: ignore[arg-type]

    async def whole() -> None:
        await asyncio.gather(*(search.find(job) for job in jobs))
        assert channel.asked == 1
        search.forget(CHANNEL)
        assert await search.find(jobs[0]) is not None
        assert channel.asked == 2
        clock.time += 60
        assert await search.find(jobs[0]) is not None
        assert channel.asked == 3
        assert not search._looking  # a channel is not remembered for ever

    asyncio.run(whole())
