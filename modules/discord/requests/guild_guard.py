"""Which guild the bot serves: decided here, and asked before anything else on every event."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Mode = Literal["serving", "set-up", "wrong-guild", "starting"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What follows from the guilds that the bot is in. ``leave``: those it must leave."""

    mode: Mode
    leave: frozenset[int] = frozenset()


def judge(allowed: int | None, present: Collection[int]) -> Verdict:
    """Without an allowed guild the bot is being set up; it leaves others only while it is a member of
    the allowed one, so that a mistyped digit costs nothing."""
    if allowed is None:
        return Verdict(mode="set-up")
    if allowed not in present:
        return Verdict(mode="wrong-guild")
    return Verdict(mode="serving", leave=frozenset(present) - {allowed})


class GuildGuard:
    """Remembers the last verdict. Until there is one, only the allowed guild is heard, and waits."""

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.mode: Mode = "set-up" if allowed is None else "starting"

    def look(self, present: Collection[int]) -> Verdict:
        """Judge anew."""
        verdict = judge(self.allowed, present)
        self.mode = verdict.mode
        return verdict

    def admits(self, guild_id: int | None) -> bool:
        """Whether what happens in this guild (None: direct messages) is any of our business."""
        return self.allowed is not None and guild_id == self.allowed

    def hears_set_up(self, guild_id: int | None) -> bool:
        """Whether a guild is answered its id: any, as long as the right one is not known."""
        return guild_id is not None and self.mode in ("set-up", "wrong-guild")
