"""What ``check`` says of Discord: token, intents, guild, permissions and the link that grants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from modules.discord.transport.permissions import NEEDED, in_channel, invite_link, member_permissions, names
from modules.utils.inspection import Finding

API_BASE = "https://discord.com/api/v10"
TIME_LIMIT = 15.0
LARGEST_GUILD = 500
"""A guild has no more channels than this (Discord docs, Guild Resource)."""
FULL = 450

Ask = Callable[[str], Awaitable[Any]]
"""Asks Discord's API for a path by GET. Raises `Refusal`, or an error of the network."""


class Refusal(Exception):
    """Discord answered with ``status`` instead of what was asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Discord answered {status}")
        self.status = status


def asking(session: aiohttp.ClientSession, token: str, api_base: str = API_BASE) -> Ask:
    """Asks by itself, while no bot is connected."""
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
    """Asks by the connected bot's own client, so that its pacing holds."""

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
    """Everything that is wrong between the bot and Discord, at least as far as the first thing that
    keeps the rest from being asked. ``role_ids`` are those that settings name."""
    found: list[Finding] = []
    try:
        me, application = await ask("/users/@me"), await ask("/oauth2/applications/@me")
        found += [_known(me), _about_intent(application), _about_link(application)]
        guilds = {int(guild["id"]): str(guild["name"]) for guild in await ask("/users/@me/guilds")}
        found.append(_about_guild(guilds, guild_id, invite_link(application["id"])))
        if guild_id in guilds:
            found += await _inspect_guild(
                ask, guild_id, me, application, gallery=gallery_channel_id, role_ids=role_ids
            )
    except Refusal as refusal:
        found.append(_about_refusal(refusal.status))
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        why = str(error) or "no answer"
        mend = "check this machine's network and https://discordstatus.com"
        found.append(Finding(level="fault", what=f"Discord cannot be reached ({why})", mend=mend))
    except (KeyError, TypeError, ValueError):
        mend = "check what is between this machine and discord.com"
        found.append(Finding(level="fault", what="something other than Discord answered", mend=mend))
    return tuple(found)


def _known(me: Any) -> Finding:
    return Finding(level="ok", what=f"DISCORD_TOKEN works: the bot is {me['username']}")


def _about_refusal(status: int) -> Finding:
    if status == 401:
        mend = "reset it in the developer portal (Bot → Reset Token) and write the new one into .env"
        return Finding(level="fault", what="Discord does not accept DISCORD_TOKEN", mend=mend)
    return Finding(level="fault", what=f"Discord answered {status}", mend="try again in a few minutes")


def _about_intent(application: Any) -> Finding:
    flags = discord.ApplicationFlags._from_value(int(application["flags"]))
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        return Finding(level="ok", what="the Message Content Intent is on")
    return Finding(
        level="hint",
        what="the Message Content Intent is off, so ! commands need a mention of the bot",
        mend="switch it on in the developer portal: Bot → Privileged Gateway Intents",
    )


def _about_link(application: Any) -> Finding:
    link = invite_link(application["id"])
    return Finding(level="ok", what=f"the invite link with exactly the permissions it needs: {link}")


def _about_guild(guilds: dict[int, str], guild_id: int | None, link: str) -> Finding:
    known = ", ".join(f"{name} ({number})" for number, name in guilds.items())
    if guild_id in guilds:
        return Finding(level="ok", what=f"the bot is in {guilds[guild_id]} ({guild_id})")
    if not known:
        return Finding(level="fault", what="the bot is in no server", mend=f"invite it with {link}")
    if guild_id is None:
        what = "ALLOWED_GUILD_ID is empty, so the bot only waits to be set up"
        return Finding(
            level="fault", what=what, mend=f"write the ID of its server there; the bot is in {known}"
        )
    return Finding(
        level="fault",
        what=f"the bot is not in the server ALLOWED_GUILD_ID={guild_id}, but in {known}",
        mend=f"correct the ID, or invite the bot with {link}",
    )


async def _inspect_guild(
    ask: Ask,
    guild_id: int,
    me: Any,
    application: Any,
    *,
    gallery: int | None,
    role_ids: Collection[int],
) -> list[Finding]:
    guild = await ask(f"/guilds/{guild_id}")
    held = [str(role) for role in (await ask(f"/guilds/{guild_id}/members/{me['id']}"))["roles"]]
    granted = member_permissions(guild["roles"], held, guild_id=guild_id)
    found = list(_about_permissions(granted, invite_link(application["id"])))
    found += _about_roles(guild["roles"], role_ids)
    channels = await ask(f"/guilds/{guild_id}/channels")
    if len(channels) >= FULL:
        what = f"the server has {len(channels)} of at most {LARGEST_GUILD} channels"
        found.append(Finding(level="hint", what=what, mend="delete some, or people share the ones there are"))
    if gallery is not None:

        def may_in(channel: Any) -> discord.Permissions:
            overwrites = channel.get("permission_overwrites", ())
            return in_channel(granted, overwrites, held, guild_id=guild_id, member_id=me["id"])

        found.append(_about_gallery(channels, gallery, may_in))
    try:
        await ask(f"/applications/{application['id']}/guilds/{guild_id}/commands")
    except Refusal as refusal:
        if refusal.status != 403:
            raise
        what = "the bot was invited without slash commands"
        mend = f"invite it again with {invite_link(application['id'])}"
        found.append(Finding(level="fault", what=what, mend=mend))
    else:
        found.append(Finding(level="ok", what="slash commands can be registered"))
    return found


def _about_permissions(granted: discord.Permissions, link: str) -> Iterator[Finding]:
    for name, needed in NEEDED:
        if not needed:
            continue
        (shown,) = names(discord.Permissions(**{name: True}))
        if getattr(granted, name):
            yield Finding(level="ok", what=f"the bot has the permission {shown}")
        else:
            mend = f"give it to the bot's role in Server Settings → Roles, or invite it again with {link}"
            yield Finding(level="fault", what=f"the bot lacks the permission {shown}", mend=mend)
    if granted.administrator:
        what = "the bot is an administrator, which is more than it needs"
        yield Finding(level="hint", what=what, mend=f"remove that from its role; {link} grants all it needs")


def _about_roles(roles: Any, wanted: Collection[int]) -> Iterator[Finding]:
    known = {int(role["id"]) for role in roles}
    for role_id in wanted:
        if role_id not in known:
            what = f"ROLE_LIMITS or PRIORITY_ROLES name {role_id}, which is not a role of this server"
            mend = "copy the ID again: Server Settings → Roles → … → Copy Role ID"
            yield Finding(level="hint", what=what, mend=mend)


def _about_gallery(channels: Any, gallery: int, may_in: Callable[[Any], discord.Permissions]) -> Finding:
    channel = next((each for each in channels if each["id"] == str(gallery)), None)
    if channel is None:
        return Finding(
            level="fault",
            what=f"GALLERY_CHANNEL_ID={gallery} is not a channel of this server",
            mend="switch on Developer Mode in Discord, right-click the channel, Copy ID",
        )
    wanted = discord.Permissions(view_channel=True, send_messages=True, attach_files=True, embed_links=True)
    lacking = discord.Permissions(wanted.value & ~may_in(channel).value)
    if lacking.value:
        what = f"the bot lacks {', '.join(names(lacking))} in the gallery #{channel['name']}"
        return Finding(level="fault", what=what, mend="grant them to the bot in the channel's settings")
    return Finding(level="ok", what=f"the gallery is #{channel['name']}")
