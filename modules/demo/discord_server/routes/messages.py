"""Messages in channels (Discord docs, Message Resource)."""

from __future__ import annotations

from modules.demo.discord_server.bodies.messages import BulkDelete, CreateMessage, EditMessage
from modules.demo.discord_server.buckets import MESSAGES, OLD_EDITS
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.guilds import DEFAULT, FORWARD, REPLY, Channel, Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.messages import (
    Origin,
    content_is_free,
    create_message,
    delete_messages,
    edit_message,
    forward_of,
    redacted,
)
from modules.demo.discord_server.state.nonces import remember_nonce, remembered_nonce
from modules.demo.discord_server.state.people import Payload
from modules.demo.discord_server.state.permissions import (
    ATTACH_FILES,
    MANAGE_MESSAGES,
    READ_MESSAGE_HISTORY,
    SEND_MESSAGES,
)
from modules.demo.discord_server.state.world import CATEGORY

OLD_MESSAGE_SECONDS = 3600.0
"""Edits of messages older than an hour are limited more tightly (code 30046)."""
OLDEST_BULK_SECONDS = 14 * 86_400.0
MOST_BULK, MOST_HISTORY = 100, 100


def _find(hub: Hub, channel: Channel, message_id: int) -> Message:
    message = channel.messages.get(message_id)
    if message is None:
        raise Refusal(10008)
    return message


def _shown(hub: Hub, message: Message) -> Payload:
    """Without the portal's switch for message content REST hides it as well (Message Content Intent)."""
    payload = message.payload(hub.files)
    free = hub.bot_spec.message_content_intent or content_is_free(hub, message)
    return payload if free else redacted(payload)


def _create(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    body = call.body(CreateMessage)
    hub.require(channel, SEND_MESSAGES | (ATTACH_FILES if call.uploads else 0))
    if channel.kind == CATEGORY:
        raise Refusal(50008)
    if channel.is_dm:
        _check_dm(hub, channel)
    known = remembered_nonce(hub, hub.bot, body)
    if known is not None:
        hub.counters["nonce repeats"] += 1
        return Reply(data=known.payload(hub.files, with_nonce=True))
    origin = _reply_origin(hub, channel, body)
    message = create_message(hub, channel, hub.bot, body, uploads=call.uploads, origin=origin)
    remember_nonce(hub, message, body)
    return Reply(data=message.payload(hub.files, with_nonce=True))


def _check_dm(hub: Hub, channel: Channel) -> None:
    """50007: the person refuses DMs, or shares no guild with the bot (Opcodes and Status Codes)."""
    person = next(user for user in channel.recipients if user is not hub.bot)
    shared = any(guild.has_bot and person.id in guild.members for guild in hub.guilds.values())
    if not person.accepts_dms or not shared:
        raise Refusal(50007)


def _reply_origin(hub: Hub, channel: Channel, body: CreateMessage) -> Origin:
    """A reply needs READ_MESSAGE_HISTORY and its message (Create Message, message_reference)."""
    reference = body.message_reference
    if reference is None:
        return Origin(kind=DEFAULT)
    if reference.type == FORWARD:
        place = hub.channel(reference.channel_id or channel.id)
        hub.require(place, READ_MESSAGE_HISTORY)
        return forward_of(hub, _find(hub, place, reference.message_id), channel)
    hub.require(channel, READ_MESSAGE_HISTORY)
    source = channel.messages.get(reference.message_id)
    if source is None and reference.fail_if_not_exists is not False:
        raise invalid_field("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
    return Origin(kind=REPLY if source else DEFAULT, reference=source)


def _get(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel, READ_MESSAGE_HISTORY)
    return Reply(data=_shown(hub, _find(hub, channel, call.id("message_id"))))


def _history(hub: Hub, call: Call) -> Reply:
    """Newest first; nothing without READ_MESSAGE_HISTORY (Get Channel Messages)."""
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel)
    if not hub.permissions(hub.bot.id, channel) & READ_MESSAGE_HISTORY:
        return Reply(data=[])
    limit = call.number("limit", 50)
    if not 1 <= limit <= MOST_HISTORY:
        raise invalid_field("limit", "NUMBER_TYPE_MAX", "int value should be 1 to 100.")
    chosen = _chosen(call, list(channel.messages.values()), limit)
    return Reply(data=[_shown(hub, message) for message in reversed(chosen)])


def _chosen(call: Call, stored: list[Message], limit: int) -> list[Message]:
    """The part of a channel's messages that before, after or around ask for, oldest first."""
    if "after" in call.query:
        start = call.number("after", 0)
        return [message for message in stored if message.id > start][:limit]
    if "around" in call.query:
        middle = call.number("around", 0)
        older = [message for message in stored if message.id < middle][-(limit // 2) :]
        return older + [message for message in stored if message.id >= middle][: limit - limit // 2]
    end = call.number("before", 1 << 63)
    return [message for message in stored if message.id < end][-limit:]


def _edit(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    body = call.body(EditMessage)
    hub.require(channel)
    message = _find(hub, channel, call.id("message_id"))
    if message.author is not hub.bot:
        raise Refusal(50005)
    if hub.clock.now() - message.created_at > OLD_MESSAGE_SECONDS:
        wait = hub.limits.take("old edits", str(channel.id), OLD_EDITS)
        if wait is not None:
            raise Refusal(30046, retry_after=wait)
        hub.counters["old edits"] += 1
    edit_message(hub, message, body, call.uploads)
    return Reply(data=message.payload(hub.files))


def _delete(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel)
    message = _find(hub, channel, call.id("message_id"))
    if message.author is not hub.bot:
        hub.require(channel, MANAGE_MESSAGES)
    delete_messages(hub, channel, [message])
    return Reply()


def _bulk_delete(hub: Hub, call: Call) -> Reply:
    """2 to 100 messages of the last 14 days; ids that are unknown do no harm (Bulk Delete Messages)."""
    channel = hub.channel(call.id("channel_id"))
    body = call.body(BulkDelete)
    if channel.is_dm:
        raise Refusal(50003)
    hub.require(channel, MANAGE_MESSAGES)
    if not 2 <= len(body.messages) <= MOST_BULK:
        raise Refusal(50016)
    found = [channel.messages[each] for each in dict.fromkeys(body.messages) if each in channel.messages]
    if any(hub.clock.now() - message.created_at > OLDEST_BULK_SECONDS for message in found):
        raise Refusal(50034)
    delete_messages(hub, channel, found, bulk=True)
    return Reply()


_ALL = "/channels/{channel_id}/messages"
_ONE = f"{_ALL}/{{message_id}}"

ROUTES = [
    Route(method="POST", template=f"{_ALL}/bulk-delete", handler=_bulk_delete),
    Route(method="POST", template=_ALL, handler=_create, limit=MESSAGES),
    Route(method="GET", template=_ALL, handler=_history),
    Route(method="GET", template=_ONE, handler=_get),
    Route(method="PATCH", template=_ONE, handler=_edit, limit=MESSAGES),
    Route(method="DELETE", template=_ONE, handler=_delete),
]
