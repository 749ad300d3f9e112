"""Users, members and roles as they are now, and the shapes in which the API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

Payload = dict[str, Any]
"""A JSON object in the API's own shape."""


def iso(seconds: float) -> str:
    """Unix seconds as the API writes time (ISO 8601 with an offset)."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


@dataclass(kw_only=True, eq=False)
class User:
    """A person or the bot (Discord docs, User Resource)."""

    id: int
    name: str
    global_name: str | None
    bot: bool = False
    accepts_dms: bool = True
    locale: str = "en-US"

    def payload(self) -> Payload:
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0000" if self.bot else "0",
            "global_name": self.global_name,
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


@dataclass(kw_only=True, eq=False)
class Role:
    """A role; the one whose id is the guild's is @everyone (Discord docs, Permissions, Role Object)."""

    id: int
    name: str
    permissions: int
    position: int
    managed: bool = False

    def payload(self) -> Payload:
        return {
            "id": str(self.id),
            "name": self.name,
            "permissions": str(self.permissions),
            "position": self.position,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": self.managed,
            "mentionable": False,
            "icon": None,
            "unicode_emoji": None,
            "flags": 0,
        }


@dataclass(kw_only=True, eq=False)
class Member:
    """A user in a guild (Discord docs, Guild Resource, Guild Member Object)."""

    user: User
    joined_at: float
    roles: list[int] = field(default_factory=list)
    nick: str | None = None

    def payload(self, *, with_user: bool = True) -> Payload:
        shown: Payload = {
            "roles": [str(role) for role in self.roles],
            "nick": self.nick,
            "avatar": None,
            "banner": None,
            "joined_at": iso(self.joined_at),
            "premium_since": None,
            "communication_disabled_until": None,
            "deaf": False,
            "mute": False,
            "pending": False,
            "flags": 0,
        }
        if with_user:
            shown["user"] = self.user.payload()
        return shown
