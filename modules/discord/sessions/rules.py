"""Pure: when a private channel gets its warning and when it is closed, which one makes room for another,
whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import discord

from modules.utils.database.rows import SessionRecord

CATEGORY_SIZE = 50
"""Channels that fit in one category."""

GUILD_SIZE = 500
"""Channels that fit in one guild, categories included (Discord docs, Guild Resource)."""

PREFIX = "art-"
_OWNER = re.compile(r"(?:<@|fullet:)(\d{1,20})\b")
"""A mention, as the topic has it now, or what it had before."""

Step = Literal["keep", "warn", "close"]


def owner_of(name: str, topic: str | None) -> int | None:
    """Whose session a channel with this name and topic is, if it is one."""
    match = _OWNER.search(topic or "")
    return int(match[1]) if match and name.startswith(PREFIX) else None


def next_step(record: SessionRecord, *, now: float, busy: bool, idle: float, notice: float) -> Step:
    """What to do with a session: a channel is closed only ``notice`` seconds after its warning.

    ``busy``: they have an active job. ``idle`` and ``notice`` in seconds.
    """
    unused = now - record.last_used_at
    if busy or unused < idle - notice:
        return "keep"
    if not record.warned:
        return "warn"
    return "close" if unused >= idle else "keep"


def closing_time(record: SessionRecord, *, now: float, idle: float, notice: float) -> float:
    """When a session that is warned ``now`` will be closed: ``notice`` seconds after the warning at
    the earliest, even if its time ran out long ago."""
    return max(record.last_used_at + idle, now + notice)


def longest_idle(records: Iterable[SessionRecord], busy: frozenset[int]) -> SessionRecord | None:
    """The session to close to make room for another: the longest unused one without an active job."""
    free = [record for record in records if record.user_id not in busy]
    return min(free, key=lambda record: record.last_used_at, default=None)


def is_private_to(
    overwrites: Mapping[discord.Role | discord.Member | discord.Object, discord.PermissionOverwrite],
    *,
    user_id: int,
    bot_id: int,
    everyone_id: int,
) -> bool:
    """Whether the overwrites hide a channel from everyone and show it to this one person.

    Roles may be let in (administrators decide who moderates), other people may not.
    """
    seen = {target.id: overwrite.view_channel for target, overwrite in overwrites.items()}
    roles = {target.id for target in overwrites if _is_role(target)}
    strangers = set(seen) - roles - {user_id, bot_id, everyone_id}
    return (
        seen.get(everyone_id) is False
        and seen.get(user_id) is True
        and not any(seen[stranger] for stranger in strangers)
    )


def _is_role(target: discord.Role | discord.Member | discord.Object) -> bool:
    return isinstance(target, discord.Role) or getattr(target, "type", None) is discord.Role
