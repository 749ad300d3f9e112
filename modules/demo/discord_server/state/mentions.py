"""Which mentions in a message really ping (Discord docs, Message Resource, Allowed Mentions Object)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from modules.demo.discord_server.bodies.messages import AllowedMentions
from modules.demo.discord_server.refusals import invalid_field

_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")

CHANNEL_DEFAULT = AllowedMentions(parse=("users", "roles", "everyone"), replied_user=True)
INTERACTION_DEFAULT = AllowedMentions(parse=("users",))
"""What counts when a body has no allowed_mentions (discord-api-docs #7629)."""


@dataclass(frozen=True, kw_only=True)
class Mentions:
    """Ids of those who are pinged, in the order of the text."""

    users: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()
    everyone: bool = False


def check_mentions(allowed: AllowedMentions) -> None:
    """`parse` and the list of the same kind exclude each other."""
    parse = allowed.parse or ()
    for kind, ids in (("users", allowed.users), ("roles", allowed.roles)):
        if kind in parse and ids:
            raise invalid_field(
                f"allowed_mentions.{kind}",
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
            )


def find_mentions(
    content: str, allowed: AllowedMentions, *, may_mention_all: bool, replied_to: int | None
) -> Mentions:
    """Who is pinged by `content`; @everyone only with the permission to mention everyone."""
    parse: Collection[str] = allowed.parse or ()
    users = _chosen(_USER, content, everyone="users" in parse, only=allowed.users or ())
    if replied_to is not None and allowed.replied_user and replied_to not in users:
        users.append(replied_to)
    return Mentions(
        users=tuple(users),
        roles=tuple(
            _chosen(_ROLE, content, everyone="roles" in parse and may_mention_all, only=allowed.roles or ())
        ),
        everyone="everyone" in parse and may_mention_all and bool(_EVERYONE.search(content)),
    )


def _chosen(pattern: re.Pattern[str], content: str, *, everyone: bool, only: Collection[int]) -> list[int]:
    found = dict.fromkeys(int(each) for each in pattern.findall(content))
    return [each for each in found if everyone or each in only]
