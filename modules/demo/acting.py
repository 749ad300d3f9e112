"""Simulated people at work: they ask for pictures and check that those they get are theirs."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, UnidentifiedImageError

from modules.demo.comfy_server.drawing.marks import NoMark, mark_of, read_mark
from modules.demo.users import File, InvocationFailed, SimulatedUser, files_of, text_of

SUBJECTS = (
    "a lighthouse in a storm", "a fox reading a newspaper", "a market on the moon", "a boat of paper",
    "a castle of ice", "a robot watering flowers", "a tram in the mist", "an owl with a lantern",
)  # fmt: skip

_SEED = re.compile(r"seed `(\d+)`")
_NUMBERED = ", number "
_LINK = re.compile(r"<#\d+>")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one request. ``problem`` None: it ended as it should. ``refused``: the sentence with which
    it was refused, as it should be. ``number``: the picture's, once accepted."""

    who: str
    command: str
    model: str = ""
    prompt: str = ""
    number: int | None = None
    seconds: float = 0.0
    picture: bytes | None = None
    refused: str | None = None
    problem: str | None = None

    def line(self) -> str:
        """For people."""
        asked = self.who
        if self.prompt:
            asked += f" asks for {wish(self.command, self.model, self.prompt)}"
        if self.problem is not None:
            return f"✗ {asked}: {self.problem}"
        return asked if self.refused is None else f"{asked} and is told: “{self.refused}”"


def wish(kind: str, model: str, prompt: str) -> str:
    """A request in words, without the part that makes its prompt unique."""
    subject = prompt.partition(_NUMBERED)[0]
    return f"a photo turned into “{subject}”" if kind == "edit" else f"“{subject}” ({model})"


class Person:
    """One person and what they do.

    ``limit``: how many pictures they may have under way; ``signed``: the GPUs sign what they draw;
    ``patience``: seconds until a picture must be there; ``tell``: takes a line about a request that is
    refused or did not end as it should.
    """

    def __init__(
        self, *, user: SimulatedUser, limit: int, signed: bool, patience: float, tell: Callable[[str], None]
    ) -> None:
        self._tell = tell
        self._user, self._limit, self._signed, self._patience = user, limit, signed, patience
        self._places = asyncio.Semaphore(limit)
        self.name = str(user.user.get("global_name") or user.user["username"])

    async def act(self, jobs: int, *, too_much: bool = False, broken: bool = False) -> list[Outcome]:
        """Make ``jobs`` pictures, after asking for too much or uploading a file that is not a picture."""
        try:
            channel = await self._general()
            models = await self._models(channel)
            outcomes = [await self._upload_no_picture(channel)] if broken else []
            if too_much:
                outcomes += await self._ask_for_too_much(channel, models[0])
            turns = [*(("imagine", model) for model in models), ("edit", "")]
            making = [self._make(channel, number, *turns[number % len(turns)]) for number in range(jobs)]
            return [*outcomes, *await asyncio.gather(*making)]
        except (InvocationFailed, asyncio.TimeoutError, ConnectionError) as error:
            return [self._told(Outcome(who=self.name, command="", problem=_words(error)))]

    # ── what they do ────────────────────────────────────────────────────────────────────────────

    async def _make(self, channel: str, number: int, command: str, model: str) -> Outcome:
        """One picture, once there is a place for it."""
        async with self._places:
            outcome = await self._ask(channel, number, command, model)
            # The picture is seen a moment before the place that it took is free again.
            for _ in range(20):
                if outcome.refused is None:
                    return self._told(outcome)
                await asyncio.sleep(0.25)
                outcome = await self._ask(channel, number, command, model)
        return self._told(replace(outcome, refused=None, problem=f"refused: {outcome.refused}"))

    async def _ask_for_too_much(self, channel: str, model: str) -> list[Outcome]:
        """One more than they may have, all at the same moment: exactly one must be refused."""
        count = self._limit + 1

        async def one(number: int) -> Outcome:
            return self._told(await self._ask(channel, number, "imagine", model))

        asked = await asyncio.gather(*(one(100 + n) for n in range(count)))
        refused = [outcome for outcome in asked if outcome.refused]
        if len(refused) != 1:
            lost = replace(asked[-1], problem=f"of {count} at once {len(refused)} were refused instead of 1")
            asked = [*asked[:-1], self._told(lost)]
        return asked

    async def _upload_no_picture(self, channel: str) -> Outcome:
        """Ask for an edit of a text file, which has to be refused with a sentence."""
        outcome = await self._ask(
            channel, 200, "edit", "", File(filename="photo.png", data=b"no picture at all")
        )
        if outcome.refused is None:
            outcome = replace(outcome, problem="a text file was taken for a picture")
        return self._told(outcome)

    async def _ask(
        self, channel: str, number: int, command: str, model: str, upload: File | None = None
    ) -> Outcome:
        """Send one command and wait for what comes of it."""
        prompt = f"{SUBJECTS[(number + self._user.id) % len(SUBJECTS)]}{_NUMBERED}{number} of {self.name}"
        asked = Outcome(who=self.name, command=command, model=model, prompt=prompt)
        options: dict[str, Any] = {"prompt": prompt}
        if command == "edit":
            options["image"] = upload or File(filename="photo.png", data=_photo(number))
        else:
            options["model"] = model
        started = time.monotonic()
        try:
            invocation = await self._user.command(command, channel, **options)
            reply = await invocation.reply(timeout=30)
            if _LINK.search(text_of(reply)) is None:  # an accepted request's answer links to its channel
                return replace(asked, refused=_first_line(text_of(reply)))
            return await self._received(asked, _number_in(text_of(reply)), started)
        except (InvocationFailed, asyncio.TimeoutError) as error:
            return replace(asked, problem=_words(error))

    async def _received(self, asked: Outcome, number: str, started: float) -> Outcome:
        asked = replace(asked, number=int(number))

        def mine(message: dict[str, Any]) -> bool:  # previews are attached too, but have no seed yet
            text = text_of(message)
            return bool(files_of(message)) and _SEED.search(text) is not None and _number_in(text) == number

        try:
            message = await self._user.wait_for_message(mine, self._patience)
        except asyncio.TimeoutError:
            return replace(asked, problem=f"no picture; the last word was: {self._last_word(number)}")
        seconds = time.monotonic() - started
        data = await self._user.download(files_of(message)[0]["url"])
        return replace(
            asked,
            seconds=seconds,
            picture=data,
            problem=await asyncio.to_thread(
                fault_of, data, asked.prompt, text_of(message), signed=self._signed
            ),
        )

    # ── what they see ───────────────────────────────────────────────────────────────────────────

    async def _general(self) -> str:
        channel = await self._user.wait_for_channel(lambda found: found.get("name") == "general", 30)
        return str(channel["id"])

    async def _models(self, channel: str) -> list[str]:
        choices = await self._user.autocomplete("imagine", channel, "model", timeout=30)
        return [str(choice["value"]) for choice in choices]

    def _last_word(self, number: str) -> str:
        said = [
            text_of(message)
            for channel in self._user.channels
            for message in self._user.messages(channel)
            if f"#{number}" in text_of(message)
        ]
        return _first_line(said[-1]) if said else "nothing"

    def _told(self, outcome: Outcome) -> Outcome:
        if outcome.refused or outcome.problem:
            self._tell(outcome.line())
        return outcome


def fault_of(data: bytes, prompt: str, text: str, *, signed: bool) -> str | None:
    """What is wrong with a picture that came under ``text``: it must be one, and made from ``prompt``."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        seed = _SEED.search(text)
        if signed and (seed is None or read_mark(image.convert("RGB")) != mark_of(prompt, int(seed[1]))):
            return "somebody else's picture"
    except (UnidentifiedImageError, OSError, NoMark) as error:
        return f"no picture of theirs: {error}"
    return None


def _photo(number: int) -> bytes:
    """A small picture to edit, in a different colour each time."""
    buffer = io.BytesIO()
    Image.new("RGB", (512, 512), (40 * number % 256, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def _number_in(text: str) -> str:
    found = re.search(r"#(\d+)", text)
    return found[1] if found else ""


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[0]


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
