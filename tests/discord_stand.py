"""The whole Discord room on real sockets: embedded Discord, real bot, real queue and database, a GPU that
paints at once what tells whose picture it is."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image

from modules.app.compose import Product, Replacements, compose
from modules.demo.discord_server import DiscordServer, WorldSpec, default_world, interactions
from modules.demo.users import Invocation, Payload, SimulatedUser, components_of, files_of, text_of
from modules.discord.bot import ImageBot
from modules.discord.requests.limits import Limits
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.jobs import Batch, Picture, Size
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import RunPreview
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.engine import Database
from modules.utils.settings.settings import Settings
from tests.discord_wiring import openapi_file, running, wired
from tests.fakes import FakeEngine, FakeRun, offer

FILE_UPLOAD = 19
SMALL = Size(width=64, height=64)
WIDE = Size(width=128, height=64)
TALL = Size(width=48, height=96)

OFFERS = (
    offer("flux", sizes=(SMALL, WIDE, TALL), default_size=SMALL),
    offer("z-image", sizes=(SMALL,), default_size=SMALL, negative="own", steps=8),
    offer("flux_edit", kind="edit", sizes=(), default_size=SMALL, scalings=()),
    offer("upscale", kind="upscale", sizes=(), default_size=SMALL, source_count=(1, 1), upscale=2.0),
)


def colour_of(prompt: str, seed: int) -> tuple[int, int, int]:
    """The colour that a picture of this prompt and seed has all over."""
    digest = hashlib.sha256(f"{prompt}|{seed}".encode()).digest()
    return digest[0], digest[1], digest[2]


def painted(prompt: str, seed: int, size: Size) -> bytes:
    """A PNG that nobody else's prompt and seed would give, with a note in it that must not leave."""
    image = Image.new("RGB", (size.width, size.height), colour_of(prompt, seed))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def pixel(data: bytes) -> tuple[int, int, int]:
    """The colour in the middle of a picture."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    found = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple)
    return found[0], found[1], found[2]


class PaintingRun(FakeRun):
    """A run whose pictures are real ones, with a preview after each step."""

    async def events(self) -> AsyncIterator[Any]:
        async for event in super().events():
            yield event
            for index, job in enumerate(self._batch.jobs):
                if self._engine.previews:  # type: ignore[attr-defined]
                    yield RunPreview(index=index, image=painted(job.request.prompt, 0, SMALL))

    async def fetch(self, index: int) -> Picture:
        job = self._batch.jobs[self.rows.row(index)]
        size = self._engine.paints or job.request.size  # type: ignore[attr-defined]
        data = painted(job.request.prompt, job.request.seed, size)
        return Picture(data=data, media_type="image/png", size=size)


@dataclass
class PaintingEngine(FakeEngine):
    """See `PaintingRun`. ``paints``: a size that it makes whatever was asked for."""

    previews: bool = False
    paints: Size | None = None

    async def submit(self, batch: Batch) -> FakeRun:
        self.check_alive()
        self.submitted.append(batch)
        run = self.known[batch.id] = PaintingRun(self, batch)
        return run


@dataclass
class Stand:
    """What a test holds in its hands."""

    server: DiscordServer
    product: Product
    engine: PaintingEngine
    work: asyncio.Future[int]
    people: list[SimulatedUser] = field(default_factory=list)

    @property
    def bot(self) -> ImageBot:
        return self.product.client

    @property
    def queue(self) -> QueueManager:
        return self.product.queue

    @property
    def fleet(self) -> Fleet:
        return self.product.fleet

    @property
    def database(self) -> Database:
        return self.product.database

    @property
    def general(self) -> int:
        """The channel where everybody is."""
        return self.server.channel("general").id

    def typed(self, command: str) -> str:
        """``!command`` as people write it; where the bot may not read messages, behind a mention of it."""
        if self.server.hub.bot_spec.message_content_intent:
            return command
        return command.replace("!", f"<@{self.server.bot.id}> ", 1)

    async def person(self, name: str = "member-1", locale: str | None = None) -> SimulatedUser:
        """A person's client. They see the bot's commands when this returns."""
        user = await SimulatedUser.connect(self.server.url, self.server.user(name).id)
        self.people.append(user)
        if locale is not None:
            await user.set_locale(locale)
        await user.until(lambda: user.commands)
        return user

    async def until(self, condition: Callable[[], object]) -> None:
        """Return once ``condition`` is true: something in the bot or the server of which no client hears."""
        async with timeout(60):
            while not condition():
                await asyncio.sleep(0.01)


def make_engine(seconds: float = 0.05) -> PaintingEngine:
    """A GPU that takes ``seconds`` for a batch."""
    limits = {known.name: 4 for known in OFFERS}
    return PaintingEngine(name="gpu-1", clock=LoopClock(), fixed=seconds, each=0.0, limits=limits)


@contextlib.asynccontextmanager
async def discord_server(world: WorldSpec | None = None, **options: Any) -> AsyncIterator[DiscordServer]:
    """An embedded Discord to which discord.py is pointed; at the end nothing wrong was sent to it."""
    server = DiscordServer(world or default_world(4), openapi=openapi_file(), **options)
    async with server:
        # a bot that shares its thread with Discord and the people may be late on a busy machine
        with wired(server), mock.patch.object(interactions, "RESPONSE_SECONDS", 30.0):
            yield server
        assert server.violations == []


PARTS = frozenset(part.name for part in fields(Replacements))


@contextlib.asynccontextmanager
async def bot_on(
    server: DiscordServer,
    folder: Path,
    *,
    engine: PaintingEngine | None = None,
    guild_id: int | None = -1,
    limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
    banned_words: Path | None = None,
    models: Path | None = None,
    **options: Any,
) -> AsyncIterator[Stand]:
    """The bot, connected, its database in ``folder`` outliving it; ``guild_id`` -1: the first guild.

    ``options`` are fields of `Settings` and of `Replacements`.
    """
    engine = engine or make_engine()
    chosen = {name: value for name, value in options.items() if name not in PARTS}
    given = Settings(
        discord_token=server.token,
        allowed_guild_id=server.guild.id if guild_id == -1 else guild_id,
        discord_api_base=server.api_url,
        discord_gateway_url=server.gateway_url,
        max_jobs_per_user=limits.jobs,
        max_pictures_per_day=limits.pictures_a_day or 0,
        role_limits=limits.roles,
        priority_roles=limits.priority_roles,
        banned_words_file=str(banned_words or ""),
        **{
            "batch_window_ms": 10,
            "comfy_urls": ("http://127.0.0.1:1",),
            "database_url": f"sqlite:///{folder}/bot.db",
            **chosen,
        },
    )
    parts: dict[str, Any] = {
        "offers": OFFERS,
        "make_engine": lambda _: engine,
        "may_speak": lambda: True,
        "ready_timeout": 0.02,
        "status_interval": 0.1,
    }
    parts |= {name: value for name, value in options.items() if name in PARTS}
    composed = compose(
        given,
        env_file=folder / ".env",
        models=models or folder,
        message_content=server.hub.bot_spec.message_content_intent,
        instead=Replacements(**parts),
    )
    async with composed as product:
        work = asyncio.ensure_future(product.work())
        stand = Stand(server=server, product=product, engine=engine, work=work)
        try:
            async with running(product.client, server.token):
                try:
                    yield stand
                finally:
                    for person in stand.people:
                        await person.aclose()
                    work.cancel()
                    await asyncio.wait([work])
                    await product.disconnect()
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


@contextlib.asynccontextmanager
async def whole_room(
    folder: Path, world: WorldSpec | None = None, *, rate_limits: bool = True, **options: Any
) -> AsyncIterator[Stand]:
    """Server and bot together."""
    async with (
        discord_server(world, rate_limits=rate_limits) as server,
        bot_on(server, folder, **options) as stand,
    ):
        yield stand


def has_picture(message: dict[str, Any]) -> bool:
    """Whether a message carries a result (a status message may carry a preview)."""
    return any(not file["filename"].startswith("preview") for file in files_of(message))


async def session_of(person: SimulatedUser) -> str:
    """The id of the person's private channel, once it is there."""
    channel = await person.wait_for_channel(lambda known: str(known.get("name")).startswith("art-"))
    return str(channel["id"])


async def more(person: SimulatedUser, message: Payload, what: str, *, strange: bool = False) -> Invocation:
    """Choose ``what`` (the name of an action) in the menu under a result, as it is now. Returns once the
    message has a new menu; a stranger (``strange``) gets none."""
    now = person.message(message["id"]) or message
    menu = menu_of(now)
    asked = await person.click(now, menu, values=[what])
    if not strange:
        await person.until(lambda: menu_of(person.message(message["id"]) or message) != menu)
    return asked


def menu_of(message: Payload) -> str:
    """The ``custom_id`` of the menu of further actions."""
    names = ("fullet:more:", "fullet:others:")
    (menu,) = (c for c in components_of(message) if str(c.get("custom_id")).startswith(names))
    return str(menu["custom_id"])


def filled(form: Payload) -> dict[str, str | None]:
    """What stands in a form's fields, and what is chosen in its menus."""
    fields = [part["component"] for part in form["components"] if part["component"]["type"] != FILE_UPLOAD]
    return {field["custom_id"]: field.get("value") or _chosen(field) for field in fields}


def _chosen(field: Payload) -> str | None:
    return next((option["value"] for option in field.get("options", ()) if option.get("default")), None)


async def asked_to_delete(person: SimulatedUser, message: Payload) -> tuple[Payload, str]:
    """The question that comes before a result is deleted, and the id of the button that says yes."""
    question = await (await more(person, message, "delete")).reply()
    (yes,) = components_of({"components": question["components"][0]["components"]})
    return question, str(yes["custom_id"])


async def delete_result(person: SimulatedUser, message: Payload) -> None:
    """Delete a result, and say yes to the question."""
    question, yes = await asked_to_delete(person, message)
    await (await person.click(question, yes)).acknowledged()
    await person.until(lambda: not person.message(question["id"])["components"])  # type: ignore[index]


async def answered_by_status(asked: Invocation) -> None:
    """Return once a request in the person's own channel is accepted: a click gets no answer, and the answer
    to a command is deleted, since the status message says all."""
    await asked.acknowledged()
    await asked._screen.until(
        lambda: asked.state == "updated" or (asked.message_id is not None and asked.message is None)
    )


async def result_for(person: SimulatedUser, words: str, timeout: float = 60.0) -> dict[str, Any]:
    """The message with the picture whose text holds ``words``."""
    return await person.wait_for_message(lambda m: has_picture(m) and words in text_of(m), timeout)


async def set_for(person: SimulatedUser, words: str, count: int, timeout: float = 15.0) -> dict[str, Any]:
    """The message with ``count`` pictures whose text holds ``words``."""
    return await person.wait_for_message(
        lambda m: has_picture(m) and len(files_of(m)) == count and words in text_of(m), timeout
    )


async def status_with(person: SimulatedUser, words: str, timeout: float = 60.0) -> dict[str, Any]:
    """The message without a result whose text holds ``words``."""
    return await person.wait_for_message(
        lambda m: not has_picture(m) and not m["flags"] & 64 and words in text_of(m), timeout
    )
