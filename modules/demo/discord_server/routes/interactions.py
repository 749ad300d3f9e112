"""Answers to interactions and their followups (Discord docs, Receiving and Responding, Endpoints)."""

from __future__ import annotations

from modules.demo.discord_server.bodies.interactions import AUTOCOMPLETE, MODAL
from modules.demo.discord_server.bodies.messages import WebhookMessage
from modules.demo.discord_server.buckets import OTHER, WEBHOOK
from modules.demo.discord_server.interactions import Interaction
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Payload
from modules.demo.discord_server.state.posts import LOADING


def _callback(hub: Hub, call: Call) -> Reply:
    """204, or with `with_response` what came of it (Create Interaction Response)."""
    token = call.params["token"]
    interaction, kind = hub.interactions.answer(call.id("interaction_id"), token, call.data, call.uploads)
    if call.query.get("with_response") not in ("1", "true"):
        return Reply()
    shown: Payload = {"id": str(interaction.id), "type": interaction.kind}
    answer: Payload = {"interaction": shown}
    message = interaction.original
    if kind not in (AUTOCOMPLETE, MODAL):
        answer["resource"] = {"type": kind}
        if message is not None:
            shown.update(
                response_message_id=str(message.id),
                response_message_loading=bool(message.flags & LOADING),
                response_message_ephemeral=message.ephemeral_to is not None,
            )
            answer["resource"]["message"] = message.payload(hub.files)
    return Reply(data=answer)


def _interaction(hub: Hub, call: Call) -> Interaction:
    if call.id("webhook_id") != hub.bot.id:
        raise Refusal(10015)
    return hub.interactions.by_webhook(call.params["token"])


def _follow_up(hub: Hub, call: Call) -> Reply:
    interaction = _interaction(hub, call)
    body = call.body(WebhookMessage)
    message = hub.interactions.follow_up(interaction, body, call.uploads)
    return Reply(data=message.payload(hub.files))


def _get(hub: Hub, call: Call) -> Reply:
    message = hub.interactions.find(_interaction(hub, call), call.params["message_id"])
    return Reply(data=message.payload(hub.files))


def _edit(hub: Hub, call: Call) -> Reply:
    interaction = _interaction(hub, call)
    message = hub.interactions.find(interaction, call.params["message_id"])
    hub.interactions.edit(interaction, message, call.body(WebhookMessage), call.uploads)
    return Reply(data=message.payload(hub.files))


def _delete(hub: Hub, call: Call) -> Reply:
    interaction = _interaction(hub, call)
    hub.interactions.delete(interaction, hub.interactions.find(interaction, call.params["message_id"]))
    return Reply()


_CALLBACK = "/interactions/{interaction_id}/{token}/callback"
_WEBHOOK = "/webhooks/{webhook_id}/{token}"
_MESSAGE = f"{_WEBHOOK}/messages/{{message_id}}"

ROUTES = [
    Route(method="POST", template=_CALLBACK, handler=_callback, limit=OTHER, is_interaction=True),
    Route(method="POST", template=_WEBHOOK, handler=_follow_up, limit=WEBHOOK, is_interaction=True),
    Route(method="GET", template=_MESSAGE, handler=_get, limit=WEBHOOK, is_interaction=True),
    Route(method="PATCH", template=_MESSAGE, handler=_edit, limit=WEBHOOK, is_interaction=True),
    Route(method="DELETE", template=_MESSAGE, handler=_delete, limit=WEBHOOK, is_interaction=True),
]
