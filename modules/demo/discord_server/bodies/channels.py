"""Bodies about channels and their overwrites (Discord docs, Channel Resource; Guild Resource)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modules.demo.discord_server.bodies.base import Body, PermissionBits, Snowflake, text

Name = Annotated[str, text(100, 1)]
Topic = Annotated[str, text(1024)]


class OverwriteBody(Body):
    id: Snowflake
    type: Literal[0, 1]
    allow: PermissionBits | None = None
    deny: PermissionBits | None = None


class _ChannelFields(Body):
    type: int | None = None
    topic: Topic | None = None
    position: Annotated[int, Field(ge=0)] | None = None
    nsfw: bool | None = None
    rate_limit_per_user: Annotated[int, Field(ge=0, le=21600)] | None = None
    parent_id: Snowflake | None = None
    permission_overwrites: Annotated[tuple[OverwriteBody, ...], Field(max_length=100)] | None = None
    default_auto_archive_duration: Literal[60, 1440, 4320, 10080] | None = None
    default_thread_rate_limit_per_user: Annotated[int, Field(ge=0, le=21600)] | None = None


class CreateChannel(_ChannelFields):
    name: Name


class EditChannel(_ChannelFields):
    name: Name | None = None
    flags: int | None = None


class PutOverwrite(Body):
    type: Literal[0, 1]
    allow: PermissionBits | None = None
    deny: PermissionBits | None = None


class MoveChannel(Body):
    id: Snowflake
    position: Annotated[int, Field(ge=0)] | None = None
    lock_permissions: bool | None = None
    parent_id: Snowflake | None = None


class CreateDm(Body):
    recipient_id: Snowflake
