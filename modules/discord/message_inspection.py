"""What ``check --discord`` says: in a temporary private channel, it does what the bot relies on, with the
bot's own transport, and compares Discord's answers with what was sent. It needs no gateway, so the bot may
run meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import aiohttp
import discord

from modules.discord.delivery.message_search import CLOCKS_APART, StatusMessageSearch, find_result
from modules.discord.delivery.picture_delivery import FILE_LIMIT
from modules.discord.sample_messages import SampleMessage, sample_messages
from modules.discord.sessions.channels import OWNER_MAY
from modules.discord.sessions.rules import is_private_to
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    DISCORD_ERRORS,
    AlreadyDeleted,
    DiscordAway,
    FileUpload,
    MessageClient,
    MessageError,
    OutgoingMessage,
    Posted,
    Refused,
    TooLarge,
    Unreachable,
)
from modules.discord.transport.permissions import NEEDED, names
from modules.discord.transport.rate_limit_buckets import RateLimitBuckets
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Priority
from modules.discord.ui.components import custom_id
from modules.discord.ui.formatting import nonce
from modules.discord.ui.message_parts import components_of, custom_ids_of, files_of
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import BadSourceImage
from modules.utils.inspection import Finding, Level

CHANNEL = "fullet-check"
TOPIC = "python bot.py check --discord tries the bot's messages here, then deletes this channel"

LEFT_BEHIND = timedelta(minutes=30)
"""A channel older than this was left behind: no check runs that long."""

REMOVAL_LIMIT = 30.0
"""Seconds for deleting the channel, in which Ctrl-C does not interrupt."""

TELL = "please report this line to the project"

LIMIT_HEADERS = tuple(
    f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Reset", "Reset-After", "Bucket")
)
"""What the bot learns its limits from."""


class _Otherwise(Exception):
    """Discord answered, but did something other than what the bot relies on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    method: str
    path: str
    status: int
    headers: Mapping[str, str]


class _Answers:
    """Everything that Discord has answered, retries included."""

    def __init__(self) -> None:
        self.all: list[_Answer] = []

    def trace(self) -> aiohttp.TraceConfig:
        """The hook that discord.py gives its HTTP session."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._ended)
        return config

    async def _ended(self, _session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        path, response = params.url.path, params.response
        self.all.append(
            _Answer(method=params.method, path=path, status=response.status, headers=response.headers)
        )

    def since(self, number: int) -> str:
        """What was asked and answered after the first ``number``: ``POST 200, GET 200 twice``."""
        counted = Counter(f"{answer.method} {answer.status}" for answer in self.all[number:])
        times = {1: "", 2: " twice"}
        return ", ".join(what + times.get(count, f" {count} times") for what, count in counted.items())


async def inspect_messages(
    found: list[Finding], *, token: str, guild_id: int, extra_host: str | None = None
) -> None:
    """Add to ``found`` what holds and what does not. The channel is deleted in any case, and cancelling ends
    the rest at once. ``extra_host``: see `AttachmentReader`."""
    answers, clock = _Answers(), LoopClock()
    client = discord.Client(intents=discord.Intents.none(), http_trace=answers.trace())
    buckets = RateLimitBuckets(http=client.http, pacer=DiscordRateLimiter(clock=clock), clock=clock)
    try:
        await client.login(token)
        guild = await client.fetch_guild(guild_id)
        async with _private_channel(guild, client, found) as channel, aiohttp.ClientSession() as session:
            if channel is None:
                return
            trial = _Trial(
                found=found,
                answers=answers,
                client=client,
                guild=guild,
                channel_id=channel.id,
                new_client=lambda: MessageClient(http=client.http, buckets=buckets, clock=clock),
                reader=AttachmentReader(session=session, extra_host=extra_host),
            )
            await trial.run()
    except (discord.LoginFailure, *DISCORD_ERRORS) as error:
        fix = "fix the problems above, or try again in a few minutes"
        found.append(Finding(level="fault", what=f"the check ended early: {_words(error)}", fix=fix))
    finally:
        await buckets.aclose()
        await client.close()


def _words(error: Exception) -> str:
    """An error as Discord put it, on one line."""
    return " ".join((str(error) or type(error).__name__).split())[:400]


# ── the channel ─────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _private_channel(
    guild: discord.Guild, client: discord.Client, found: list[Finding]
) -> AsyncIterator[discord.TextChannel | None]:
    """A channel as private as those of people, which is deleted afterwards; None if there can be none."""
    assert client.user is not None, "it is known since the login"
    bot_id = client.user.id
    await _clear_away(guild, found)
    overwrites: dict[discord.Role | discord.Member | discord.Object, discord.PermissionOverwrite] = {
        guild.default_role: discord.PermissionOverwrite(view_channel=False),
        discord.Object(bot_id, type=discord.Member): discord.PermissionOverwrite(**OWNER_MAY),
    }
    # A task of its own: Ctrl-C before the answer must not leave a channel of which nothing is known.
    making = asyncio.ensure_future(guild.create_text_channel(CHANNEL, topic=TOPIC, overwrites=overwrites))
    what = f"a private channel is made, #{CHANNEL}"
    try:
        try:
            channel = await asyncio.shield(making)
        except discord.HTTPException as error:
            fix = "delete some channels, or try again in a few minutes"
            if isinstance(error, discord.Forbidden):
                fix = f"the bot's role needs {', '.join(names(NEEDED))}: it may only grant what it has"
            what = f"the private channel #{CHANNEL} could not be made: {_words(error)}"
            found.append(Finding(level="fault", what=what, fix=fix))
            yield None
            return
        apart = time.time() - channel.created_at.timestamp()
        everyone = guild.default_role.id
        if is_private_to(channel.overwrites, user_id=bot_id, bot_id=bot_id, everyone_id=everyone):
            found.append(Finding(level="ok", what=f"{what}, which only the bot and administrators see"))
        else:
            what = f"{what}, but others can see it, too"
            found.append(Finding(level="fault", what=what, fix=f"pictures would not be private; {TELL}"))
        found.append(_about_clock(apart))
        yield channel
    finally:
        removal = asyncio.ensure_future(_remove(making))
        while not removal.done():
            with suppress(asyncio.CancelledError):  # a second Ctrl-C
                await asyncio.wait([removal])
        if (told := removal.result()) is not None:
            found.append(told)


async def _clear_away(guild: discord.Guild, found: list[Finding]) -> None:
    """Delete the channels of checks that were killed."""
    for channel in await guild.fetch_channels():
        ours = isinstance(channel, discord.TextChannel) and (channel.name, channel.topic) == (CHANNEL, TOPIC)
        if ours and discord.utils.utcnow() - channel.created_at > LEFT_BEHIND:
            await channel.delete(reason="left by a check that was killed")
            found.append(Finding(level="ok", what=f"#{CHANNEL}, left by an earlier check, is deleted"))


async def _remove(making: asyncio.Future[discord.TextChannel]) -> Finding | None:
    """Delete the channel, and say so; None if it could not be made."""
    what = f"#{CHANNEL} is deleted"
    try:
        async with timeout(REMOVAL_LIMIT):
            channel = await making
            await channel.delete(reason="the check has ended")
            try:
                await channel.guild.fetch_channel(channel.id)
            except discord.NotFound as error:
                return Finding(level="ok", what=f"{what} ({_words(error)})")
        problem = "it is still there"
    except DISCORD_ERRORS as error:
        if making.done() and not making.cancelled() and making.exception() is error:
            return None
        problem = _words(error)
    what = f"#{CHANNEL} could not be deleted: {problem}"
    return Finding(level="fault", what=what, fix="delete it by hand")


def _about_clock(apart: float) -> Finding:
    """``apart``: seconds by which this machine's clock is ahead of Discord's."""
    what = f"this machine's clock and Discord's are {abs(apart):.1f} s apart"
    if apart > CLOCKS_APART:
        fix = "set the clock: after a crash the bot would not find what it has posted"
        return Finding(level="fault", what=what, fix=fix)
    if abs(apart) > 30:
        fix = "set the clock: countdowns in messages are wrong by as much"
        return Finding(level="hint", what=what, fix=fix)
    return Finding(level="ok", what=what)


# ── what is tried there ─────────────────────────────────────────────────────────────────────────


@dataclass(kw_only=True, eq=False)
class _Trial:
    """``new_client``: one for each step, as a client leaves a channel alone that has refused something."""

    found: list[Finding]
    answers: _Answers
    client: discord.Client
    guild: discord.Guild
    channel_id: int
    new_client: Callable[[], MessageClient]
    reader: AttachmentReader

    @property
    def _bot_id(self) -> int:
        assert self.client.user is not None, "it is known since the login"
        return self.client.user.id

    async def run(self) -> None:
        """Try everything. Raises one of `DISCORD_ERRORS` if Discord is away."""
        try:
            samples = await sample_messages(
                guild_id=self.guild.id,
                channel_id=self.channel_id,
                bot_id=self._bot_id,
                limit=self.guild.filesize_limit,
            )
            for sample in samples:
                await self._try_sample(sample)
            await self._try_sizes()
        except DiscordAway as error:
            raise OSError(str(error)) from error
        finally:
            self._tell_limits()

    def _tell(self, level: Level, what: str, fix: str = "") -> None:
        self.found.append(Finding(level=level, what=what, fix=fix))

    async def _holds(self, belief: str, work: Awaitable[str], otherwise: str) -> bool:
        """Whether ``work`` ends without an error, which shows that ``belief`` holds. What ``work`` returns is
        reported, too; ``otherwise``: what follows if it fails."""
        before = len(self.answers.all)
        try:
            more = await work
        except DiscordAway:
            raise
        except (_Otherwise, MessageError) as error:
            self._tell("fault", f"{belief}: {_words(error)}", _fix(error, otherwise))
        except (KeyError, TypeError, ValueError) as error:
            self._tell("fault", f"{belief}: Discord's answer cannot be read ({error!r})", TELL)
        else:
            answered = self.answers.since(before)
            self._tell("ok", f"{belief} ({answered}{', ' if more else ''}{more})")
            return True
        return False

    async def _try_sample(self, sample: SampleMessage) -> None:
        name, once = sample.name, nonce(sample.job.id, self.channel_id, "check")
        posted = Posted(channel_id=self.channel_id, message_id=0)  # until it is

        async def post() -> str:
            nonlocal posted
            posted = await self._post(sample.outgoing, once)
            await self._compare(posted, sample.outgoing, sample.outgoing.files or ())
            return ""

        async def repeat() -> str:
            await self._post(sample.outgoing, once)
            page = await self.new_client().page(self.channel_id, after=posted.message_id - 1)
            there = [int(each["id"]) for each in page if int(each["author"]["id"]) == self._bot_id]
            for message_id in {*there} - {posted.message_id}:
                extra = Posted(channel_id=self.channel_id, message_id=message_id)
                await self.new_client().delete(extra, level=Priority.DELIVER)
            if there != [posted.message_id]:
                raise _Otherwise(f"Discord made {len(there)} messages out of it")
            return ""

        async def edit() -> str:
            files, there = sample.outgoing.files or (), posted
            for change in sample.edits:
                client, kept = self.new_client(), {file.name for file in change.kept}
                stay = tuple(file for file in there.files if file.name in kept)
                async with client.turn_to_edit(posted, level=Priority.DELIVER):
                    there = await client.edit_now(posted, replace(change, kept=stay))
                if change.files is not None:
                    files = (*(file for file in files if file.name in kept), *change.files)
                await self._compare(posted, change, files)
            return ""

        async def delete() -> str:
            await self.new_client().delete(posted, level=Priority.DELIVER)
            with suppress(Unreachable):
                await self.new_client().message(posted)
                raise _Otherwise("it is still there")
            return ""

        async def post_deleted() -> str:
            try:
                await self._post(sample.outgoing, once)
            except AlreadyDeleted as error:
                return _words(error)
            raise _Otherwise("Discord made a new message")

        await self._holds(f"{name} is posted and comes back as it was sent", post(), TELL)
        if not posted.message_id:
            return
        if sample.outgoing.files:
            belief = f"the pictures of {name} come back from Discord byte for byte"
            await self._holds(
                belief, self._read_back(sample, posted), f"/edit would start from a different picture; {TELL}"
            )
        doubled = f"if Discord's answer gets lost, people see it twice; {TELL}"
        once_only = await self._holds(
            f"{name} posted twice under one nonce appears only once", repeat(), doubled
        )
        await self._holds(f"{name} is edited and keeps what the edit does not mention", edit(), TELL)
        if sample.search is not None:
            belief = f"{name} is found again as after a crash"
            again = f"after a crash it would be posted again; {TELL}"
            await self._holds(belief, self._find(sample, posted), again)
        deleted = await self._holds(f"{name} is deleted", delete(), TELL)
        if deleted and once_only and sample.search == "result":
            belief = f"{name} that was deleted is not posted again under its nonce"
            await self._holds(belief, post_deleted(), f"what people delete may come back; {TELL}")

    async def _post(self, outgoing: OutgoingMessage, once: str | None = None) -> Posted:
        client = self.new_client()
        return await client.post(self.channel_id, outgoing, level=Priority.DELIVER, nonce=once)

    async def _compare(self, posted: Posted, sent: OutgoingMessage, files: tuple[FileUpload, ...]) -> None:
        """Raise `_Otherwise` if Discord has something other than what was sent."""
        message = await self.new_client().message(posted)
        unlike = "; ".join(_differences(message, sent, files))
        if unlike:
            raise _Otherwise(unlike)

    async def _read_back(self, sample: SampleMessage, posted: Posted) -> str:
        shown = _files_of(await self.new_client().message(posted))
        for file in sample.outgoing.files or ():
            try:
                data = await self.reader.read(shown[file.name]["url"])
            except BadSourceImage as error:
                url = str(shown[file.name]["url"]).partition("?")[0]
                raise _Otherwise(f"the bot cannot read {url}") from error
            if data != file.data:
                raise _Otherwise(
                    f"{len(file.data)} bytes were sent, and {len(data)} different ones came back"
                )
        return ""

    async def _find(self, sample: SampleMessage, posted: Posted) -> str:
        job, client = sample.job, self.new_client()
        if sample.search == "status":
            status = await StatusMessageSearch(message_client=client, clock=LoopClock()).find(job)
            message_id = status.message_id if status is not None else None
        else:
            message_id = await find_result(client, self.channel_id, job.id, since=job.queued_at)
        if message_id is None:
            raise _Otherwise("the search does not find it")
        if message_id != posted.message_id:
            raise _Otherwise("the search finds another message")
        if sample.search == "status":
            return "by its mark"
        message = await client.message(posted)
        by_name = any(job.id in file.name for file in files_of(message))
        by_menu = custom_id("more", job.id) in custom_ids_of(message)
        ways = (("by its file's name", by_name), ("by its menu", by_menu))
        return " and ".join(way for way, works in ways if works)

    async def _try_sizes(self) -> None:
        """One upload that just fits, and one that does not. On a boosted server only one upload, a byte more
        than fits elsewhere: the whole limit would take minutes."""
        limit = self.guild.filesize_limit
        boosted = limit > FILE_LIMIT
        largest = FILE_LIMIT + 1 if boosted else limit

        async def fits() -> str:
            posted = await self._post(_of_bytes(largest))
            await self.new_client().delete(posted, level=Priority.DELIVER)
            return f"the limit of this server is {limit} bytes"

        async def exceeds() -> str:
            try:
                await self._post(_of_bytes(limit + 1))
            except TooLarge as error:
                return _words(error)
            raise _Otherwise("Discord accepts it")

        await self._holds(
            f"a file of {largest} bytes is accepted", fits(), f"large pictures would fail; {TELL}"
        )
        if not boosted:
            belief = f"a file of {limit + 1} bytes is refused as too large"
            await self._holds(belief, exceeds(), f"the bot would shrink pictures needlessly; {TELL}")

    def _tell_limits(self) -> None:
        path = f"/channels/{self.channel_id}/messages"
        writing = ("POST", "PATCH")
        about = [each for each in self.answers.all if path in each.path and each.method in writing]
        lacking = [
            name
            for name in LIMIT_HEADERS
            if any(name not in each.headers for each in about if each.status == 200)
        ]
        if lacking:
            what = f"Discord's answers lack {', '.join(lacking)}, so the bot cannot see its limits"
            self._tell("hint", what, "check what is between this machine and discord.com")
        elif about:
            told = " and ".join(_limit(method, about) for method in writing)
            self._tell("ok", f"Discord's rate limits for messages in a channel: {told}")
        asked, refused = len(self.answers.all), [each for each in self.answers.all if each.status == 429]
        if refused:
            scopes = {answer.headers.get("X-RateLimit-Scope", "unknown") for answer in refused}
            were = "was" if len(refused) == 1 else "were"
            what = (
                f"{len(refused)} of {asked} requests {were} rate-limited (429, {', '.join(sorted(scopes))})"
            )
            self._tell("hint", what, f"does anything else use this token? If not, {TELL}")
        else:
            self._tell("ok", f"none of {asked} requests was rate-limited (429)")


# ── pure ────────────────────────────────────────────────────────────────────────────────────────


def _fix(error: Exception, otherwise: str) -> str:
    if isinstance(error, Unreachable):
        return f"the bot's role needs {', '.join(names(NEEDED))}"
    if isinstance(error, Refused) and error.code == BLOCKED_BY_AUTOMOD:
        return "this server's AutoMod blocks it; exempt the bot's role there"
    return otherwise


def _differences(
    message: Mapping[str, Any], sent: OutgoingMessage, files: tuple[FileUpload, ...]
) -> Iterator[str]:
    """What Discord shows differently from how it was sent."""
    drawn = {"components": sent.view.to_components() if sent.view is not None else []}
    texts = _texts(drawn) if isinstance(sent.view, discord.ui.LayoutView) else [sent.text]
    shown = [message["content"]] if message["content"] else _texts(message)
    if shown != texts:
        yield f"its text is {shown}"
    buttons = custom_ids_of(message)
    if buttons != custom_ids_of(drawn):
        yield f"its buttons are {buttons}"
    there = _files_of(message)
    if set(there) != {file.name for file in files}:
        yield f"its files are {', '.join(there) or 'none'}"
    for file in files:
        if there.get(file.name, {}).get("description", file.alt) != file.alt:
            yield f"the description of {file.name} is {there[file.name]['description']!r}"
    pinged = [int(each["id"]) for each in message["mentions"]]
    if message["mention_everyone"] or pinged != ([] if sent.mention is None else [sent.mention]):
        yield f"it pings {'everyone' if message['mention_everyone'] else pinged or 'nobody'}"


def _texts(message: Mapping[str, Any]) -> list[str]:
    return [str(part["content"]) for part in components_of(message) if "content" in part]


def _files_of(message: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A message's files by their names, those of a gallery among them: their ``url`` and ``description``."""
    gallery = [item for part in components_of(message) for item in part.get("items", ())]
    shown = [{**item, "url": item["media"]["url"]} for item in gallery]
    by_name = {file["url"].partition("?")[0].rpartition("/")[2]: file for file in shown}
    return {**by_name, **{file["filename"]: file for file in message["attachments"]}}


def _limit(method: str, answers: Iterable[_Answer]) -> str:
    """The limit of a method as the headers give it: ``POST 5 in 5 s``."""
    told = [each.headers for each in answers if each.method == method and LIMIT_HEADERS[0] in each.headers]
    seconds = max((float(headers["X-RateLimit-Reset-After"]) for headers in told), default=0)
    return f"{method} {told[-1]['X-RateLimit-Limit']} in {seconds:.2g} s" if told else f"{method} unknown"


def _of_bytes(count: int) -> OutgoingMessage:
    return OutgoingMessage(text="size", files=(FileUpload(name="size.bin", data=bytes(count)),))
