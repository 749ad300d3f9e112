"""What the embedded Discord holds when it starts: guilds, channels, users and the bot, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from modules.demo.discord_server.state.permissions import BOT_DEFAULT, MEMBER_DEFAULT

MIB = 1 << 20

TEXT, DM, CATEGORY = 0, 1, 4
"""Channel types (Discord docs, Channel Resource, Channel Types)."""


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """A channel that stands in a guild from the start; `parent` names a category listed before it."""

    name: str
    kind: int = TEXT
    topic: str | None = None
    nsfw: bool = False
    parent: str | None = None
    administrators_only: bool = False
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class UserSpec:
    """A person; without an id one is made. `accepts_dms=False` is Discord's "allow DMs" switched off."""

    name: str
    display_name: str | None = None
    administrator: bool = False
    accepts_dms: bool = True
    locale: str = "en-US"
    roles: tuple[str, ...] = ()
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class BotSpec:
    """The application and its bot user, with the portal's switches for privileged intents."""

    name: str = "FuLLet"
    token: str = "embedded.discord.token"  # noqa: S105 - opens nothing but this server
    permissions: int = BOT_DEFAULT
    members_intent: bool = True
    presences_intent: bool = False
    message_content_intent: bool = True
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class GuildSpec:
    """One guild. Every user is a member unless `members` (names) says otherwise.

    `everyone` are the permissions of @everyone. They are none by default, and people get theirs from
    the role "Members", so that the bot holds exactly `BotSpec.permissions` and nothing by accident.
    """

    name: str = "FuLLet demo"
    channels: tuple[ChannelSpec, ...] = ()
    members: tuple[str, ...] | None = None
    everyone: int = 0
    member_permissions: int = MEMBER_DEFAULT
    roles: tuple[str, ...] = ()
    premium_tier: int = 0
    locale: str = "en-US"
    has_bot: bool = True
    automod_words: tuple[str, ...] = ()
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """Everything at the start. The first user is the one the page opens as."""

    users: tuple[UserSpec, ...]
    guilds: tuple[GuildSpec, ...]
    bot: BotSpec = field(default_factory=BotSpec)


DEFAULT_CHANNELS: tuple[ChannelSpec, ...] = (
    ChannelSpec(name="Text channels", kind=CATEGORY),
    ChannelSpec(name="general", topic="Type /imagine to make a picture", parent="Text channels"),
    ChannelSpec(name="gallery", topic="Shared pictures", parent="Text channels"),
    ChannelSpec(name="age-restricted", nsfw=True, parent="Text channels"),
    ChannelSpec(name="moderators", administrators_only=True, parent="Text channels"),
)


def default_world(
    users: int = 3, *, bot: BotSpec | None = None, locales: Sequence[str] = ("en-US",)
) -> WorldSpec:
    """One guild, one administrator (the first user) and ordinary members; `locales` are dealt out in turn."""
    people = [UserSpec(name="admin", display_name="Admin", administrator=True, locale=locales[0])]
    people += [
        UserSpec(name=f"member-{n}", display_name=f"Member {n}", locale=locales[n % len(locales)])
        for n in range(1, users)
    ]
    return WorldSpec(
        users=tuple(people), guilds=(GuildSpec(channels=DEFAULT_CHANNELS),), bot=bot or BotSpec()
    )
