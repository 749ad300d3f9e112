"""What ``check`` says about Discord: token, intents, guild, permissions and the link that grants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from modules.discord.sessions.rules import GUILD_SIZE
from modules.discord.transport.permissions import NEEDED, in_channel, invite_link, member_permissions, names
from modules.utils.inspection import Finding

API_BASE = "https://discord.com/api/v10"
TIME_LIMIT = 15.0
FULL = 450
"""`check` gives a hint when a guild has this many channels."""

Ask = Callable[[str], Awaitable[Any]]
"""Asks Discord's API for a path by GET. Raises `Refusal`, or an error of the network."""


class Refusal(Exception):
    """Discord answered with ``status`` instead of what was asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Discord answered {status}")
        self.status = status


def asking(session: aiohttp.ClientSession, token: str, api_base: str = API_BASE) -> Ask:
    """Asks through ``session``, while no bot is connected."""
    headers = {
        "Authorization": f"Bot {token}",
        "User-Agent": f"DiscordBot (https://github.com/Rapptz/discord.py {discord.__version__})",
    }
    limit = aiohttp.ClientTimeout(total=TIME_LIMIT)

    async def ask(path: str) -> Any:
        address = f"{api_base}{path}"
        async with session.get(address, headers=headers, timeout=limit, allow_redirects=False) as answer:
            if answer.status != 200:
                raise Refusal(answer.status)
            return await answer.json()

    return ask


def asking_by(http: HTTPClient) -> Ask:
    """Asks through the connected bot's client, which keeps to Discord's rate limits."""

    async def ask(path: str) -> Any:
        try:
            return await asyncio.wait_for(http.request(Route("GET", path)), TIME_LIMIT)
        except discord.HTTPException as error:
            raise Refusal(error.status) from error

    return ask


async def inspect_discord(
    ask: Ask,
    *,
    guild_id: int | None,
    gallery_channel_id: int | None = None,
    role_ids: Collection[int] = (),
) -> tuple[Finding, ...]:
    """What is right and wrong between the bot and Discord, up to the first fault that keeps the rest from
    being asked. ``role_ids``: the roles that settings name."""
    found: list[Finding] = []
    try:
        me, application = await account(ask)
        link = invite_link(application["id"])
        found += about_account(me, application)
        guilds = await guilds_of(ask)
        what = f"the invite link with exactly the permissions it needs: {link}"
        found.append(_ok(what, routine=guild_id in guilds))
        found.append(_about_guild(guilds, guild_id, link))
        if guild_id in guilds:
            found += await _inspect_guild(
                ask, guild_id, me, application, gallery=gallery_channel_id, role_ids=role_ids
            )
    except FAILURES as error:
        found.append(about_failure(error))
    return tuple(found)


async def account(ask: Ask) -> tuple[Any, Any]:
    """The bot's user and its application. Raises one of `FAILURES`."""
    return await ask("/users/@me"), await ask("/oauth2/applications/@me")


async def guilds_of(ask: Ask) -> dict[int, str]:
    """The guilds that the bot is in, with their names. Raises one of `FAILURES`."""
    return {int(guild["id"]): str(guild["name"]) for guild in await ask("/users/@me/guilds")}


def _ok(what: str, *, routine: bool = False) -> Finding:
    return Finding(level="ok", what=what, routine=routine)


def _hint(what: str, fix: str) -> Finding:
    return Finding(level="hint", what=what, fix=fix)


def _fault(what: str, fix: str) -> Finding:
    return Finding(level="fault", what=what, fix=fix)


FAILURES = (Refusal, aiohttp.ClientError, asyncio.TimeoutError, OSError, KeyError, TypeError, ValueError)
"""What asking Discord may raise, and reading what it answers."""


def about_failure(error: Exception) -> Finding:
    """What one of `FAILURES` means."""
    if isinstance(error, Refusal) and error.status == 401:
        fix = "reset it in the developer portal (Bot → Reset Token) and write the new one into .env"
        return _fault("Discord does not accept DISCORD_TOKEN", fix)
    if isinstance(error, Refusal):
        return _fault(f"Discord answered {error.status}", "try again in a few minutes")
    if isinstance(error, aiohttp.ClientError | asyncio.TimeoutError | OSError):
        what = f"Discord cannot be reached ({str(error) or 'no answer'})"
        return _fault(what, "check this machine's network and https://discordstatus.com")
    what = "something other than Discord answered"
    return _fault(what, "check what is between this machine and discord.com")


def about_account(me: Any, application: Any) -> tuple[Finding, ...]:
    """Who the bot is, and whether it may read messages."""
    return _ok(f"DISCORD_TOKEN works: the bot is {me['username']}"), _about_intent(application)


def _about_intent(application: Any) -> Finding:
    flags = discord.ApplicationFlags._from_value(int(application["flags"]))
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        return _ok("the Message Content Intent is on")
    what = "the Message Content Intent is off, so ! commands need a mention of the bot"
    return _hint(what, "switch it on in the developer portal: Bot → Privileged Gateway Intents")


def _about_guild(guilds: dict[int, str], guild_id: int | None, link: str) -> Finding:
    known = ", ".join(f"{name} ({number})" for number, name in guilds.items())
    if guild_id in guilds:
        return _ok(f"the bot is in {guilds[guild_id]} ({guild_id})")
    if not known:
        return _fault("the bot is not in any server", f"invite it with {link}")
    if guild_id is None:
        what = "ALLOWED_GUILD_ID is empty, so the bot takes no requests yet"
        return _fault(what, f"write the ID of its server there; the bot is in {known}")
    what = f"the bot is not in the server ALLOWED_GUILD_ID={guild_id}, but in {known}"
    return _fault(what, f"correct the ID, or invite the bot with {link}")


async def _inspect_guild(
    ask: Ask,
    guild_id: int,
    me: Any,
    application: Any,
    *,
    gallery: int | None,
    role_ids: Collection[int],
) -> list[Finding]:
    guild, link = await ask(f"/guilds/{guild_id}"), invite_link(application["id"])
    held = [str(role) for role in (await ask(f"/guilds/{guild_id}/members/{me['id']}"))["roles"]]
    granted = member_permissions(guild["roles"], held, guild_id=guild_id)
    found = [*_about_permissions(granted, link), *_about_roles(guild["roles"], role_ids)]
    channels = await ask(f"/guilds/{guild_id}/channels")
    if len(channels) >= FULL:
        what = f"the server has {len(channels)} of at most {GUILD_SIZE} channels"
        found.append(
            _hint(
                what,
                "delete some, or private channels that are idle will close early to make room",
            )
        )
    if gallery is not None:

        def may_in(channel: Any) -> discord.Permissions:
            overwrites = channel.get("permission_overwrites", ())
            return in_channel(granted, overwrites, held, guild_id=guild_id, member_id=me["id"])

        found.append(_about_gallery(channels, gallery, may_in))
    try:
        await ask(f"/applications/{application['id']}/guilds/{guild_id}/commands")
        found.append(_ok("slash commands can be registered", routine=True))
    except Refusal as refusal:
        if refusal.status != 403:
            raise
        found.append(_fault("the bot was invited without slash commands", f"invite it again with {link}"))
    return found


def _about_permissions(granted: discord.Permissions, link: str) -> Iterator[Finding]:
    for name in (name for name, needed in NEEDED if needed):
        (shown,) = names(discord.Permissions(**{name: True}))
        if getattr(granted, name):
            yield _ok(f"the bot has the permission {shown}", routine=True)
        else:
            fix = f"give it to the bot's role in Server Settings → Roles, or invite it again with {link}"
            yield _fault(f"the bot lacks the permission {shown}", fix)
    if granted.administrator:
        what = "the bot is an administrator, which is more than it needs"
        yield _hint(what, f"remove that from its role; {link} grants all it needs")


def _about_roles(roles: Any, wanted: Collection[int]) -> Iterator[Finding]:
    known = {int(role["id"]) for role in roles}
    for role_id in wanted:
        if role_id not in known:
            what = f"ROLE_LIMITS or PRIORITY_ROLES contains {role_id}, which is not a role of this server"
            yield _hint(what, "copy the ID again: Server Settings → Roles → … → Copy Role ID")


def _about_gallery(channels: Any, gallery: int, may_in: Callable[[Any], discord.Permissions]) -> Finding:
    channel = next((each for each in channels if each["id"] == str(gallery)), None)
    if channel is None:
        what = f"GALLERY_CHANNEL_ID={gallery} is not a channel of this server"
        return _fault(
            what, "switch on Developer Mode in Discord, right-click the channel, and choose Copy Channel ID"
        )
    wanted = discord.Permissions(view_channel=True, send_messages=True, attach_files=True, embed_links=True)
    lacking = discord.Permissions(wanted.value & ~may_in(channel).value)
    if lacking.value:
        what = f"the bot lacks {', '.join(names(lacking))} in the gallery #{channel['name']}"
        return _fault(what, "grant them to the bot in the channel's settings")
    return _ok(f"the gallery is #{channel['name']}")
