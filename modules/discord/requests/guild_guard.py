"""Which guild the bot serves: decided here, and asked before anything else on every event."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Mode = Literal["serving", "set-up", "wrong-guild", "starting"]


class GuildGuard:
    """``allowed`` None: the bot is being set up. Until `look` was called, only the allowed guild is heard."""

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.mode: Mode = "set-up" if allowed is None else "starting"

    def look(self, present: Collection[int]) -> frozenset[int]:
        """Set the mode according to the guilds that the bot is in; returns those that it must leave.

        It leaves others only while it is a member of the allowed one, so that a mistyped digit costs nothing.
        """
        if self.allowed is None:
            self.mode = "set-up"
        elif self.allowed not in present:
            self.mode = "wrong-guild"
        else:
            self.mode = "serving"
            return frozenset(present) - {self.allowed}
        return frozenset()

    def admits(self, guild_id: int | None) -> bool:
        """Whether the bot reacts to what happens in this guild (None: direct messages)."""
        return self.allowed is not None and guild_id == self.allowed

    def hears_set_up(self, guild_id: int | None) -> bool:
        """Whether ``getid`` is answered in a guild: in any, as long as the bot is not in the allowed one."""
        return guild_id is not None and self.mode in ("set-up", "wrong-guild")
