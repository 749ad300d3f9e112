"""Creating, editing and deleting messages, with the events that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modules.demo.discord_server.bodies.components import check_components, texts_in, with_ids
from modules.demo.discord_server.bodies.embeds import check_embeds
from modules.demo.discord_server.bodies.messages import (
    AllowedMentions,
    CreateMessage,
    EditMessage,
    WebhookMessage,
)
from modules.demo.discord_server.gateway import DIRECT_MESSAGES, GUILD_MESSAGES
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.state.files import Attachment, Upload
from modules.demo.discord_server.state.guilds import (
    COMPONENTS_V2,
    DEFAULT,
    EPHEMERAL,
    HAS_SNAPSHOT,
    LOADING,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
    Channel,
    Message,
)
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.mentions import (
    CHANNEL_DEFAULT,
    INTERACTION_DEFAULT,
    check_mentions,
    find_mentions,
)
from modules.demo.discord_server.state.message_files import (
    AnyMessageBody,
    attachments_after,
    check_references,
    drop_files,
)
from modules.demo.discord_server.state.people import Payload, User
from modules.demo.discord_server.state.permissions import MENTION_EVERYONE

SETTABLE_FLAGS = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | COMPONENTS_V2


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a message is besides its body: its type, the interaction it answers, who alone may see it."""

    kind: int = DEFAULT
    interaction: Payload | None = None
    ephemeral_to: int | None = None
    reference: Message | None = None
    forwarded: Message | None = None
    flags: int = 0


CHANNEL_MESSAGE = Origin()


def create_message(
    hub: Hub,
    channel: Channel,
    author: User,
    body: CreateMessage | WebhookMessage,
    *,
    uploads: Sequence[Upload] = (),
    origin: Origin = CHANNEL_MESSAGE,
) -> Message:
    """Check the body, store the message and tell everyone who sees it."""
    message = Message(id=hub.ids.make(), channel=channel, author=author, kind=origin.kind)
    message.interaction, message.reference = origin.interaction, origin.reference
    message.forwarded, message.ephemeral_to = origin.forwarded, origin.ephemeral_to
    message.flags = origin.flags | ((body.flags or 0) & (SETTABLE_FLAGS | EPHEMERAL))
    if author.bot:
        message.application_id = hub.bot.id
    if isinstance(body, CreateMessage):
        message.nonce = body.nonce
    attachments = attachments_after(hub, message, body, list(uploads))
    try:
        _fill(hub, message, body, attachments)
    except Refusal:
        drop_files(hub, attachments)
        raise
    keep_message(hub, message)
    announce(hub, message, "MESSAGE_CREATE")
    return message


def forward_of(hub: Hub, source: Message, channel: Channel) -> Origin:
    """What a forward of ``source`` into ``channel`` is: a copy of it as it stands now, with files of its own
    (Message Resource, Message Reference Types, FORWARD). Forwarding a forward passes on what it holds."""
    source = source.forwarded or source
    files = [hub.files.copied(attachment, channel_id=channel.id) for attachment in source.attachments]
    copy = replace(source, attachments=files, embeds=list(source.embeds), flags=source.flags & SETTABLE_FLAGS)
    return Origin(reference=source, forwarded=copy, flags=HAS_SNAPSHOT)


def keep_message(hub: Hub, message: Message) -> None:
    """Put a message where it is found again: in its channel, or among the ephemeral ones."""
    if message.ephemeral_to is not None:
        hub.ephemerals[message.id] = message
        return
    message.channel.messages[message.id] = message
    message.channel.last_message_id = message.id
    hub.counters["messages"] += 1


def edit_message(
    hub: Hub, message: Message, body: EditMessage | WebhookMessage, uploads: Sequence[Upload] = ()
) -> None:
    """Apply an edit and tell of it. Filling a deferred answer is no edit: it shows no "(edited)"."""
    fills = bool(message.flags & LOADING)
    before = list(message.attachments)
    attachments = attachments_after(hub, message, body, list(uploads))
    snapshot = (message.content, message.embeds, message.components, message.flags)
    try:
        message.flags &= ~LOADING
        _fill(hub, message, body, attachments)
    except Refusal:
        message.content, message.embeds, message.components, message.flags = snapshot
        message.attachments = before
        drop_files(hub, [each for each in attachments if each not in before])
        raise
    kept = {attachment.id for attachment in attachments}
    drop_files(hub, [attachment for attachment in before if attachment.id not in kept])
    if not fills:
        message.edited_at = hub.clock.now()
    announce(hub, message, "MESSAGE_UPDATE")


def delete_messages(hub: Hub, channel: Channel, messages: Sequence[Message], *, bulk: bool = False) -> None:
    """Remove messages and their files, and tell everyone who saw them."""
    guild = {"guild_id": str(channel.guild.id)} if channel.guild else {}
    intents = GUILD_MESSAGES if channel.guild else DIRECT_MESSAGES
    public = [message for message in messages if message.ephemeral_to is None]
    for message in messages:
        channel.messages.pop(message.id, None)
        hub.ephemerals.pop(message.id, None)
        drop_files(hub, message.attachments)
        drop_files(hub, message.forwarded.attachments if message.forwarded else ())
        gone = {"id": str(message.id), "channel_id": str(channel.id)}
        hub.clients.tell(viewers_of(hub, message), "MESSAGE_DELETE", gone)
        if message.ephemeral_to is None and not bulk:
            hub.gateway.dispatch("MESSAGE_DELETE", {**gone, **guild}, intents=intents, channel=channel)
    if bulk and public:
        ids = [str(message.id) for message in public]
        data = {"ids": ids, "channel_id": str(channel.id), **guild}
        hub.gateway.dispatch("MESSAGE_DELETE_BULK", data, intents=intents, channel=channel)


def announce(hub: Hub, message: Message, event: str) -> None:
    """Tell the page's users who see the message, and the bot unless it is ephemeral."""
    payload = message.payload(hub.files, with_nonce=event == "MESSAGE_CREATE")
    hub.clients.tell(viewers_of(hub, message), event, payload)
    if message.ephemeral_to is not None:
        return
    channel = message.channel
    full = dict(payload)
    if channel.guild is not None:
        full["guild_id"] = str(channel.guild.id)
        member = channel.guild.members.get(message.author.id)
        if member is not None:
            full["member"] = member.payload(with_user=False)
    full["channel_type"] = channel.kind
    hub.gateway.dispatch(
        event,
        full,
        intents=GUILD_MESSAGES if channel.guild else DIRECT_MESSAGES,
        channel=channel,
        redacted=None if content_is_free(hub, message) else redacted(full),
    )


def viewers_of(hub: Hub, message: Message) -> frozenset[int]:
    if message.ephemeral_to is not None:
        return frozenset((message.ephemeral_to,))
    return hub.viewers(message.channel)


def content_is_free(hub: Hub, message: Message) -> bool:
    """Content comes without MESSAGE_CONTENT in DMs, in mentions of the bot and in its own messages.

    Discord docs, Gateway, Message Content Intent.
    """
    return message.channel.is_dm or message.author is hub.bot or hub.bot in message.mentions


def redacted(payload: Payload) -> Payload:
    """Without what MESSAGE_CONTENT gives, in the message and in what it forwards (Gateway, Message Content
    Intent)."""
    hidden: Payload = {**payload, "content": "", "embeds": [], "attachments": [], "components": []}
    if "message_snapshots" in payload:
        snapshots = payload["message_snapshots"]
        hidden["message_snapshots"] = [{"message": redacted(each["message"])} for each in snapshots]
    return hidden


def _fill(hub: Hub, message: Message, body: AnyMessageBody, attachments: list[Attachment]) -> None:
    """Put what the body sets into the message, and check the whole; what it leaves out stays."""
    given = body.model_fields_set
    message.attachments = attachments
    if body.flags is not None:
        if message.flags & ~body.flags & COMPONENTS_V2:
            # "can't be removed from that message" (Component Reference); the code is what bots report.
            text = "The components V2 flag cannot be removed from a message"
            raise invalid_field("flags", "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG", text)
        kept = message.flags & ~SUPPRESS_EMBEDS if isinstance(body, EditMessage) else message.flags
        message.flags = kept | (body.flags & (SUPPRESS_EMBEDS | COMPONENTS_V2))
    if "embeds" in given:
        embeds = body.embeds or ()
        check_embeds(embeds)
        message.embeds = [{"type": "rich", **embed.model_dump(exclude_none=True)} for embed in embeds]
    if "content" in given:
        message.content = body.content or ""
    if "components" in given:
        components = [each.model_dump(exclude_none=True) for each in body.components or ()]
        check_components(components, v2=bool(message.flags & COMPONENTS_V2))
        message.components = with_ids(ids_as_text(components))
    if message.flags & COMPONENTS_V2:
        _check_legacy_fields(message, body)
    if message.is_empty:
        raise Refusal(50006)
    check_references(message, body)
    _check_automod(message)
    if "content" in given or ("components" in given and message.flags & COMPONENTS_V2):
        _mention(hub, message, body)


def _check_legacy_fields(message: Message, body: AnyMessageBody) -> None:
    """A message with components V2 has no content, embeds or stickers (Component Reference).

    So an edit that adds the flag has to empty them in the same request.
    """
    stickers = isinstance(body, CreateMessage) and body.sticker_ids
    for field, used in (("content", message.content), ("embeds", message.embeds), ("sticker_ids", stickers)):
        if used:
            raise invalid_field(
                field,
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                f"The '{field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2",
            )


def ids_as_text(value: object) -> list[Payload]:
    """Snowflakes inside components (emoji, default values) as the strings that the API gives."""

    def convert(item: object, key: str = "") -> object:
        if isinstance(item, dict):
            nested = key in {"emoji", "default_values"}
            return {
                name: str(each) if name == "sku_id" or (nested and name == "id") else convert(each, name)
                for name, each in item.items()
            }
        if isinstance(item, list | tuple):
            return [convert(each, key) for each in item]
        return item

    converted = convert(value)
    if not isinstance(converted, list):
        raise TypeError("components are a list")
    return converted


def _mention(hub: Hub, message: Message, body: AnyMessageBody) -> None:
    default = INTERACTION_DEFAULT if isinstance(body, WebhookMessage) else CHANNEL_DEFAULT
    allowed: AllowedMentions = body.allowed_mentions or default
    check_mentions(allowed)
    guild = message.channel.guild
    granted = hub.permissions(message.author.id, message.channel)
    found = find_mentions(
        _text(message),
        allowed,
        may_mention_all=guild is not None and bool(granted & MENTION_EVERYONE),
        replied_to=message.reference.author.id if message.reference else None,
    )
    people = {**hub.users, hub.bot.id: hub.bot}
    message.mentions = [people[user] for user in found.users if user in people]
    message.mention_roles = [role for role in found.roles if guild is not None and role in guild.roles]
    message.mention_everyone = found.everyone


def _text(message: Message) -> str:
    """What people read of a message; text displays mention as its content does (Text Display)."""
    return f"{message.content}\n{texts_in(message.components)}"


def _check_automod(message: Message) -> None:
    """200000 where a guild's AutoMod forbids a word (Opcodes and Status Codes)."""
    guild, text = message.channel.guild, _text(message).lower()
    if guild is not None and any(word in text for word in guild.automod_words):
        raise Refusal(200000)
