"""Messages that are created once: what a repeated nonce gives back."""

from __future__ import annotations

from modules.demo.discord_server.bodies.messages import CreateMessage
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.state.guilds import Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import User

NONCE_SECONDS = 180.0
"""How long a nonce is remembered: "the past few minutes" (Message Resource, Create Message)."""


def remembered_nonce(hub: Hub, author: User, body: CreateMessage) -> Message | None:
    """The message that this nonce made before, whatever its channel; 10008 if it was deleted.

    Only with enforce_nonce (Message Resource, Create Message; discord-api-docs #6647). Nonces are unique per
    author, so the message found may stand in another channel.
    """
    if not body.enforce_nonce or body.nonce is None:
        return None
    known = hub.nonces.get((author.id, str(body.nonce)))
    if known is None or hub.clock.now() - known[2] > NONCE_SECONDS:
        return None
    channel = hub.channels.get(known[0])
    message = channel.messages.get(known[1]) if channel else None
    if message is None:
        raise Refusal(10008)
    return message


def remember_nonce(hub: Hub, message: Message, body: CreateMessage) -> None:
    if body.enforce_nonce and body.nonce is not None:
        key = (message.author.id, str(body.nonce))
        hub.nonces[key] = (message.channel.id, message.id, hub.clock.now())
    if len(hub.nonces) > 50_000:
        oldest = hub.clock.now() - NONCE_SECONDS
        hub.nonces = {key: value for key, value in hub.nonces.items() if value[2] > oldest}
