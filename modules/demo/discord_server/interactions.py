"""Interactions: their 3 seconds, their 15 minutes, their answers and followups.

Discord docs, Receiving and Responding; what users start comes from `clients.invocations`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.demo.discord_server.bodies.base import read_body
from modules.demo.discord_server.bodies.components import check_modal, with_ids
from modules.demo.discord_server.bodies.interactions import (
    AUTOCOMPLETE,
    DEFERRED_MESSAGE,
    DEFERRED_UPDATE,
    MESSAGE,
    MODAL,
    UPDATE,
    Answer,
    AutocompleteData,
    DeferData,
    ModalData,
)
from modules.demo.discord_server.bodies.messages import WebhookMessage
from modules.demo.discord_server.gateway import ALWAYS
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.state.files import Upload
from modules.demo.discord_server.state.guilds import (
    CONTEXT_MENU,
    DEFAULT,
    EPHEMERAL,
    LOADING,
    REPLY,
    SLASH_COMMAND,
    Channel,
    Message,
)
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.message_files import DM_FILE_LIMIT
from modules.demo.discord_server.state.messages import (
    Origin,
    announce,
    create_message,
    delete_messages,
    edit_message,
    ids_as_text,
    keep_message,
)
from modules.demo.discord_server.state.people import Payload, User

COMMAND, COMPONENT, COMMAND_AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
"""Interaction types (Receiving and Responding, Interaction Type)."""

RESPONSE_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60.0
"""Receiving and Responding, Followup Messages."""
NO_RESPONSE = "The application did not respond"


@dataclass(kw_only=True, eq=False)
class Interaction:
    """One interaction. `original` is the message that it made or, for a component, the one it belongs to."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    data: Payload
    nonce: str
    created_at: float
    metadata: Payload
    source: Message | None = None
    acknowledged: bool = False
    expired: bool = False
    ephemeral: bool = False
    original: Message | None = None
    followups: dict[int, Message] = field(default_factory=dict)

    @property
    def message_kind(self) -> int:
        if self.kind == COMMAND:
            return SLASH_COMMAND if self.data.get("type") == 1 else CONTEXT_MENU
        return REPLY if self.source is not None else DEFAULT


@dataclass(frozen=True, kw_only=True)
class OpenModal:
    """A modal that stands on a user's screen."""

    payload: Payload
    opener: Interaction


class Interactions:
    """All interactions of the last 20 minutes, by id and by token."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._by_token: dict[str, Interaction] = {}
        self._recent: deque[Interaction] = deque()
        self.open_modals: dict[tuple[int, str], OpenModal] = {}

    def start(
        self,
        kind: int,
        user: User,
        channel: Channel,
        *,
        data: Payload,
        nonce: str,
        metadata: Payload,
        source: Message | None = None,
    ) -> Interaction:
        """Send INTERACTION_CREATE; without an answer in 3 s the token dies and the user is told."""
        hub = self.hub
        interaction = Interaction(
            id=hub.ids.make(),
            token=secrets.token_urlsafe(60),
            kind=kind,
            user=user,
            channel=channel,
            data=data,
            nonce=nonce,
            created_at=hub.clock.now(),
            metadata={},
            source=source,
        )
        interaction.metadata = {
            "id": str(interaction.id),
            "type": kind,
            "user": user.payload(),
            "authorizing_integration_owners": {"0": str(channel.guild.id if channel.guild else 0)},
            **metadata,
        }
        self._forget_old()
        self._by_token[interaction.token] = interaction
        self._recent.append(interaction)
        hub.counters["interactions"] += 1
        hub.clock.call_at(interaction.created_at + RESPONSE_SECONDS, lambda: self._expire(interaction))
        hub.gateway.dispatch("INTERACTION_CREATE", self._payload(interaction), intents=ALWAYS)
        return interaction

    def answer(
        self, interaction_id: int, token: str, data: Any, uploads: Sequence[Upload]
    ) -> tuple[Interaction, int]:
        """The callback: 10062 after 3 s, 40060 for a second one; what is allowed depends on the kind."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id or interaction.expired:
            raise Refusal(10062)
        if interaction.acknowledged:
            raise Refusal(40060)
        body = read_body(Answer, data)
        allowed = {
            COMMAND: (MESSAGE, DEFERRED_MESSAGE, MODAL),
            COMPONENT: (MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, MODAL),
            COMMAND_AUTOCOMPLETE: (AUTOCOMPLETE,),
            MODAL_SUBMIT: (MESSAGE, DEFERRED_MESSAGE)
            + ((DEFERRED_UPDATE, UPDATE) if interaction.source is not None else ()),
        }[interaction.kind]
        if body.type not in allowed:
            raise invalid_field("type", "BASE_TYPE_CHOICES", f"Value must be one of {set(allowed)}.")
        handlers: dict[int, Callable[[Interaction, Mapping[str, Any], Sequence[Upload]], None]] = {
            MESSAGE: self._reply,
            DEFERRED_MESSAGE: self._defer,
            DEFERRED_UPDATE: self._defer_update,
            UPDATE: self._update,
            AUTOCOMPLETE: self._autocomplete,
            MODAL: self._modal,
        }
        try:
            handlers[body.type](interaction, body.data or {}, uploads)
        except Refusal as refusal:
            raise refusal.inside("data") from None
        interaction.acknowledged = True
        self.hub.acknowledge_seconds.append(self.hub.clock.now() - interaction.created_at)
        return interaction, body.type

    def by_webhook(self, token: str) -> Interaction:
        """The interaction behind a followup: 10015 if unknown or not acknowledged, 50027 after 15 minutes."""
        interaction = self._by_token.get(token)
        if interaction is None or not interaction.acknowledged:
            raise Refusal(10015)
        if self.hub.clock.now() - interaction.created_at > TOKEN_SECONDS:
            raise Refusal(50027)
        return interaction

    def follow_up(self, interaction: Interaction, body: WebhookMessage, uploads: Sequence[Upload]) -> Message:
        """A further message. The first one after a defer fills the deferred answer, whatever its flags."""
        original = interaction.original
        if original is not None and original.flags & LOADING:
            self.edit(interaction, original, body, uploads)
            return original
        ephemeral = bool((body.flags or 0) & EPHEMERAL)
        metadata = dict(interaction.metadata)
        if original is not None:
            metadata["original_response_message_id"] = str(original.id)
        message = self._create(interaction, body, uploads, ephemeral=ephemeral, metadata=metadata)
        interaction.followups[message.id] = message
        return message

    def edit(
        self, interaction: Interaction, message: Message, body: WebhookMessage, uploads: Sequence[Upload]
    ) -> None:
        filled = bool(message.flags & LOADING)
        edit_message(self.hub, message, body, uploads)
        if filled:
            self.tell(interaction, "answered", message=message)

    def find(self, interaction: Interaction, message_id: str) -> Message:
        """`@original` or a followup, while it exists; else 10008."""
        original = interaction.original
        if message_id in ("@original", str(original.id) if original else None):
            message = original
        else:
            message = interaction.followups.get(int(message_id)) if message_id.isdigit() else None
        if message is None or not self._exists(message):
            raise Refusal(10008)
        return message

    def delete(self, interaction: Interaction, message: Message) -> None:
        interaction.followups.pop(message.id, None)
        if message is interaction.original:
            interaction.original = None
            if message.flags & LOADING:
                self.tell(interaction, "answered")
        delete_messages(self.hub, message.channel, [message])

    def tell(
        self,
        interaction: Interaction,
        state: str,
        *,
        message: Message | None = None,
        error: str | None = None,
        modal: Payload | None = None,
    ) -> None:
        """Tell the user's clients how their interaction stands."""
        told: Payload = {
            "nonce": interaction.nonce,
            "id": str(interaction.id),
            "state": state,
            "ephemeral": interaction.ephemeral,
        }
        if message is not None:
            told["message_id"] = str(message.id)
        if error is not None:
            told["error"] = error
        if modal is not None:
            told["modal"] = modal
        self.hub.clients.tell((interaction.user.id,), "INTERACTION", told)

    def _reply(self, interaction: Interaction, data: Mapping[str, Any], uploads: Sequence[Upload]) -> None:
        body = read_body(WebhookMessage, data)
        interaction.ephemeral = bool((body.flags or 0) & EPHEMERAL)
        message = self._create(
            interaction, body, uploads, ephemeral=interaction.ephemeral, metadata=interaction.metadata
        )
        interaction.original = message
        self.tell(interaction, "answered", message=message)

    def _defer(self, interaction: Interaction, data: Mapping[str, Any], _uploads: Sequence[Upload]) -> None:
        """ "Thinking…": a message with the LOADING flag, filled later."""
        body = read_body(DeferData, data)
        interaction.ephemeral = bool((body.flags or 0) & EPHEMERAL)
        hub = self.hub
        message = Message(
            id=hub.ids.make(),
            channel=interaction.channel,
            author=hub.bot,
            kind=interaction.message_kind,
            flags=LOADING | (EPHEMERAL if interaction.ephemeral else 0),
            application_id=hub.bot.id,
            interaction=interaction.metadata,
            reference=interaction.source,
            ephemeral_to=interaction.user.id if interaction.ephemeral else None,
        )
        keep_message(hub, message)
        announce(hub, message, "MESSAGE_CREATE")
        interaction.original = message
        self.tell(interaction, "deferred", message=message)
        hub.clock.call_at(interaction.created_at + TOKEN_SECONDS, lambda: self._give_up(interaction))

    def _defer_update(
        self, interaction: Interaction, _data: Mapping[str, Any], _uploads: Sequence[Upload]
    ) -> None:
        interaction.original = interaction.source
        self.tell(interaction, "updated", message=interaction.source)

    def _update(self, interaction: Interaction, data: Mapping[str, Any], uploads: Sequence[Upload]) -> None:
        source = interaction.source
        if source is None or not self._exists(source):
            raise Refusal(10008)
        if data:
            edit_message(self.hub, source, read_body(WebhookMessage, data), uploads)
        interaction.original = source
        self.tell(interaction, "updated", message=source)

    def _autocomplete(
        self, interaction: Interaction, data: Mapping[str, Any], _uploads: Sequence[Upload]
    ) -> None:
        body = read_body(AutocompleteData, data)
        choices = [{"name": choice.name, "value": choice.value} for choice in body.choices]
        told = {"nonce": interaction.nonce, "choices": choices}
        self.hub.clients.tell((interaction.user.id,), "AUTOCOMPLETE", told)

    def _modal(self, interaction: Interaction, data: Mapping[str, Any], _uploads: Sequence[Upload]) -> None:
        body = read_body(ModalData, data)
        components = [component.model_dump(exclude_none=True) for component in body.components]
        check_modal(components)
        components = with_ids(ids_as_text(components))
        modal = {"custom_id": body.custom_id, "title": body.title, "components": components}
        key = (interaction.user.id, body.custom_id)
        self.open_modals[key] = OpenModal(payload=modal, opener=interaction)
        self.tell(interaction, "modal", modal=modal)

    def _create(
        self,
        interaction: Interaction,
        body: WebhookMessage,
        uploads: Sequence[Upload],
        *,
        ephemeral: bool,
        metadata: Payload,
    ) -> Message:
        origin = Origin(
            kind=interaction.message_kind,
            interaction=metadata,
            ephemeral_to=interaction.user.id if ephemeral else None,
            reference=interaction.source,
        )
        return create_message(
            self.hub, interaction.channel, self.hub.bot, body, uploads=uploads, origin=origin
        )

    def _exists(self, message: Message) -> bool:
        return message.id in message.channel.messages or message.id in self.hub.ephemerals

    def _expire(self, interaction: Interaction) -> None:
        if not interaction.acknowledged:
            interaction.expired = True
            self.hub.counters["interactions without answer"] += 1
            self.tell(interaction, "failed", error=NO_RESPONSE)

    def _give_up(self, interaction: Interaction) -> None:
        """A deferred answer that was never filled fails when the token dies."""
        original = interaction.original
        if original is not None and original.flags & LOADING:
            self.tell(interaction, "failed", error=NO_RESPONSE)

    def _forget_old(self) -> None:
        oldest = self.hub.clock.now() - TOKEN_SECONDS - 300.0
        while self._recent and self._recent[0].created_at < oldest:
            self._by_token.pop(self._recent.popleft().token, None)

    def _payload(self, interaction: Interaction) -> Payload:
        """INTERACTION_CREATE (Receiving and Responding, Interaction Structure)."""
        hub, channel, user = self.hub, interaction.channel, interaction.user
        guild = channel.guild
        payload: Payload = {
            "id": str(interaction.id),
            "application_id": str(hub.bot.id),
            "type": interaction.kind,
            "token": interaction.token,
            "version": 1,
            "data": interaction.data,
            "channel_id": str(channel.id),
            "channel": channel.payload(viewer=hub.bot.id),
            "locale": user.locale,
            "entitlements": [],
            "entitlement_sku_ids": [],
            "authorizing_integration_owners": interaction.metadata["authorizing_integration_owners"],
            "context": 0 if guild else 1,
            "app_permissions": str(hub.permissions(hub.bot.id, channel)),
            "attachment_size_limit": guild.file_limit if guild else DM_FILE_LIMIT,
        }
        if guild is not None:
            member = guild.members[user.id].payload()
            member["permissions"] = str(hub.permissions(user.id, channel))
            payload.update(
                guild_id=str(guild.id),
                guild={"id": str(guild.id), "locale": guild.locale, "features": []},
                guild_locale=guild.locale,
                member=member,
            )
        else:
            payload["user"] = user.payload()
        if interaction.source is not None:
            payload["message"] = interaction.source.payload(hub.files)
        return payload
