"""Who asks, as plain values: read once from an interaction, so that no rule needs Discord's objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import discord

from modules.discord.rejections import NotAMember
from modules.discord.sessions.channels import find_member
from modules.discord.transport.rate_limiter import Priority
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores.preferences import Preferences

RESTRICTABLE = (discord.TextChannel, discord.VoiceChannel, discord.Thread)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requester:
    """``locale``: the one they chose, or else their client's (for a typed command, their guild's).
    ``age_restricted``: they asked in such a channel. ``overheard``: people who are not administrators read
    the answer too."""

    user_id: int
    name: str
    guild_id: int
    locale: str
    role_ids: tuple[int, ...] = ()
    age_restricted: bool = False
    overheard: bool = False
    preferences: UserPreferences = field(default_factory=UserPreferences)


@dataclass(kw_only=True, eq=False)
class Requesters:
    """``home`` gives the allowed guild, once it is known."""

    preferences: Preferences
    home: Callable[[], discord.Guild | None]

    async def of(self, interaction: discord.Interaction) -> Requester:
        """The person behind an interaction. One in direct messages is looked up in the guild.

        Raises `NotAMember`.
        """
        user, channel, home = interaction.user, interaction.channel, self.home()
        if interaction.guild_id is None:
            member = await find_member(home, user.id, Priority.ACKNOWLEDGE) if home is not None else None
            if member is None:
                raise NotAMember
            user = member
        chosen = await self.preferences.get(user.id)
        return Requester(
            user_id=user.id,
            name=user.display_name,
            guild_id=interaction.guild_id or (home.id if home is not None else 0),
            locale=chosen.locale or str(interaction.locale),
            role_ids=tuple(role.id for role in user.roles) if isinstance(user, discord.Member) else (),
            age_restricted=isinstance(channel, RESTRICTABLE) and channel.is_nsfw(),
            preferences=chosen,
        )
