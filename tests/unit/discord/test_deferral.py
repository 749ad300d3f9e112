"""Everybody is acknowledged in time, whatever becomes of the others; a quick answer is enough for that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import discord
import pytest

from modules.discord.interactions.deferral import (
    ALREADY_ACKNOWLEDGED,
    AT_ONCE,
    CROWD,
    HOLD,
    SETTLE,
    TIME_LIMIT,
    Deferrals,
    ResponseKind,
    note_received,
)
from modules.discord.interactions.replies import answer, answer_nothing
from tests.virtual_time import run_virtual


@dataclass
class Response:
    """What answers an interaction, after so many seconds; ``lost``: of so many, no answer comes back."""

    seconds: float = 0.1
    lost: int = 0
    sent: list[tuple[str, float]] = field(default_factory=list)
    _response_type: Any = None

    @property
    def type(self) -> Any:
        return self._response_type

    def is_done(self) -> bool:
        return self._response_type is not None

    async def defer(self, *, ephemeral: bool = False, thinking: bool = False) -> None:
        await self._send("thinking" if thinking else "silent")
        kinds = (ResponseKind.deferred_message_update, ResponseKind.deferred_channel_message)
        self._response_type = kinds[thinking]

    async def send_message(self, text: str, **_: object) -> None:
        await self._send(text)
        self._response_type = ResponseKind.channel_message

    async def edit_message(self, *, content: str, **_: object) -> None:
        await self._send(f"changed: {content}")
        self._response_type = ResponseKind.message_update

    async def _send(self, what: str) -> None:
        if self.sent:
            error: Any = type("Answer", (), {"status": 400, "reason": ""})()
            raise discord.HTTPException(error, {"code": ALREADY_ACKNOWLEDGED, "message": "again"})
        self.sent.append((what, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.seconds)
        if self.lost:
            self.lost -= 1
            raise aiohttp.ServerDisconnectedError


@dataclass
class Interaction:
    response: Response = field(default_factory=Response)
    id: int = field(default_factory=count().__next__)
    message: Any = None
    extras: dict[str, Any] = field(default_factory=dict)
    later: list[str] = field(default_factory=list)

    async def edit_original_response(self, *, content: str, **_: object) -> None:
        self.later.append(content)

    async def delete_original_response(self) -> None:
        self.later.append("deleted")


async def at_once() -> None:
    """The guild is known."""


def make_deferrals() -> Deferrals:
    nobody: Any = None
    return Deferrals(requesters=nobody, until_home=at_once)


async def asked(deferrals: Deferrals, interaction: Any, seconds: float, *, update: bool = False) -> None:
    """Somebody asks, and is answered after so many seconds."""
    await deferrals.defer(interaction, update=update)
    await asyncio.sleep(seconds)
    await answer(interaction, "here")


@pytest.mark.parametrize("update", [False, True])
def test_who_is_answered_soon_gets_the_answer_and_nothing_before_it(update: bool) -> None:
    async def whole() -> None:
        interaction = Interaction()
        await asked(make_deferrals(), interaction, 0.5, update=update)
        await asyncio.sleep(10)
        assert interaction.response.sent == [("changed: here" if update else "here", 0.5 + SETTLE)]
        assert interaction.later == []

    run_virtual(whole())


@pytest.mark.parametrize("update", [False, True])
def test_who_waits_longer_is_told_so_in_time_and_answered_then(update: bool) -> None:
    async def whole() -> None:
        interaction = Interaction()
        await asked(make_deferrals(), interaction, 5, update=update)
        ((what, at),) = interaction.response.sent
        assert what == ("silent" if update else "thinking")
        assert at == pytest.approx(HOLD)
        assert interaction.later == ["here"]

    run_virtual(whole())


def test_an_answer_that_is_ready_while_it_is_being_deferred_comes_after_that() -> None:
    async def whole() -> None:
        interaction = Interaction(Response(1.0))
        await asked(make_deferrals(), interaction, HOLD + 0.5)
        assert [what for what, _ in interaction.response.sent] == ["thinking"]
        assert interaction.later == ["here"]
        assert asyncio.get_running_loop().time() == pytest.approx(HOLD + 1.0)

    run_virtual(whole())


@pytest.mark.parametrize("late", [0.9, 2.5])
def test_the_time_counts_from_when_it_came_not_from_when_its_turn_is(late: float) -> None:
    async def whole() -> None:
        interaction: Any = Interaction()
        note_received(interaction)
        await asyncio.sleep(late)
        await asked(make_deferrals(), interaction, 0.8)
        ((what, at),) = interaction.response.sent
        assert what == "thinking"
        assert at == pytest.approx(max(late + SETTLE, HOLD))

    run_virtual(whole())


@pytest.mark.parametrize("clicked", [False, True])
def test_where_nothing_is_said_a_click_costs_one_request(clicked: bool) -> None:
    async def whole() -> None:
        interaction: Any = Interaction(message=object() if clicked else None)
        await make_deferrals().defer(interaction)
        await answer_nothing(interaction)
        assert [what for what, _ in interaction.response.sent] == ["silent" if clicked else "thinking"]
        assert interaction.later == ([] if clicked else ["deleted"])
        slow: Any = Interaction(message=object())
        await make_deferrals().defer(slow)
        await asyncio.sleep(5)
        await answer_nothing(slow)
        assert slow.later == ["deleted"]

    run_virtual(whole())


def test_an_answer_of_which_nothing_comes_back_is_sent_again_and_counts_once() -> None:
    async def whole() -> None:
        interaction = Interaction(Response(lost=1))
        await asked(make_deferrals(), interaction, 0.5)
        await asyncio.sleep(10)
        assert interaction.response.sent == [("here", 0.5 + SETTLE)]
        assert interaction.response.type is ResponseKind.channel_message
        assert interaction.later == []

    run_virtual(whole())


def test_a_crowd_is_deferred_before_any_of_it_is_worked_on() -> None:
    async def whole() -> None:
        deferrals, few = make_deferrals(), [Interaction() for _ in range(CROWD)]
        await asyncio.gather(*(asked(deferrals, interaction, 0.5) for interaction in few))
        assert [interaction.response.sent[0][0] for interaction in few] == ["here"] * CROWD
        many = [Interaction() for _ in range(CROWD + 1)]
        began = asyncio.get_running_loop().time()
        asking = [asyncio.ensure_future(asked(deferrals, interaction, 0.5)) for interaction in many]
        await asyncio.sleep(SETTLE + 0.05)
        late = Interaction()  # while they are being deferred
        await asked(deferrals, late, 0.0)
        await asyncio.gather(*asking)
        assert [interaction.response.sent for interaction in many] == [[("thinking", began + SETTLE)]] * len(
            many
        )
        assert late.response.sent[0][0] == "thinking"
        last = Interaction()
        await asked(deferrals, last, 0.1)
        assert last.response.sent[0][0] == "here"

    run_virtual(whole())


def test_acknowledgements_that_hang_keep_nobody_else_waiting() -> None:
    async def whole() -> None:
        deferrals = make_deferrals()
        hung = [Interaction(Response(3600.0)) for _ in range(AT_ONCE)]
        others = [Interaction() for _ in range(AT_ONCE)]
        asking = [asked(deferrals, interaction, 0.1) for interaction in [*hung, *others]]
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert asyncio.get_running_loop().time() < 2 * TIME_LIMIT
        assert all(isinstance(result, asyncio.TimeoutError) for result in results[:AT_ONCE])
        assert all(interaction.later == ["here"] for interaction in others)

    run_virtual(whole())
