"""Answers to interactions and their followups (Discord docs, Receiving and Responding, Endpoints)."""

from __future__ import annotations

from collections.abc import Callable

from modules.demo.discord_server.bodies.interactions import AUTOCOMPLETE, MODAL
from modules.demo.discord_server.bodies.messages import WebhookMessage
from modules.demo.discord_server.buckets import OTHER, WEBHOOK
from modules.demo.discord_server.interactions import Interaction, Interactions
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.rest import Call, Handler, Reply, Route
from modules.demo.discord_server.state.guilds import LOADING
from modules.demo.discord_server.state.people import Payload


def _callback(interactions: Interactions, call: Call) -> Reply:
    """204, or with `with_response` what came of it (Create Interaction Response)."""
    token = call.params["token"]
    interaction, kind = interactions.answer(call.id("interaction_id"), token, call.data, call.uploads)
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
            answer["resource"]["message"] = message.payload(interactions.hub.files)
    return Reply(data=answer)


def _interaction(interactions: Interactions, call: Call) -> Interaction:
    if call.id("webhook_id") != interactions.hub.bot.id:
        raise Refusal(10015)
    return interactions.by_webhook(call.params["token"])


def _follow_up(interactions: Interactions, call: Call) -> Reply:
    interaction = _interaction(interactions, call)
    body = call.body(WebhookMessage)
    message = interactions.follow_up(interaction, body, call.uploads)
    return Reply(data=message.payload(interactions.hub.files))


def _get(interactions: Interactions, call: Call) -> Reply:
    message = interactions.find(_interaction(interactions, call), call.params["message_id"])
    return Reply(data=message.payload(interactions.hub.files))


def _edit(interactions: Interactions, call: Call) -> Reply:
    interaction = _interaction(interactions, call)
    message = interactions.find(interaction, call.params["message_id"])
    interactions.edit(interaction, message, call.body(WebhookMessage), call.uploads)
    return Reply(data=message.payload(interactions.hub.files))


def _delete(interactions: Interactions, call: Call) -> Reply:
    interaction = _interaction(interactions, call)
    interactions.delete(interaction, interactions.find(interaction, call.params["message_id"]))
    return Reply()


_CALLBACK = "/interactions/{interaction_id}/{token}/callback"
_WEBHOOK = "/webhooks/{webhook_id}/{token}"
_MESSAGE = f"{_WEBHOOK}/messages/{{message_id}}"


def routes(interactions: Interactions) -> list[Route]:
    """The routes over these interactions."""

    def by(answer: Callable[[Interactions, Call], Reply]) -> Handler:
        return lambda _hub, call: answer(interactions, call)

    return [
        Route(method="POST", template=_CALLBACK, handler=by(_callback), limit=OTHER, is_interaction=True),
        Route(method="POST", template=_WEBHOOK, handler=by(_follow_up), limit=WEBHOOK, is_interaction=True),
        Route(method="GET", template=_MESSAGE, handler=by(_get), limit=WEBHOOK, is_interaction=True),
        Route(method="PATCH", template=_MESSAGE, handler=by(_edit), limit=WEBHOOK, is_interaction=True),
        Route(method="DELETE", template=_MESSAGE, handler=by(_delete), limit=WEBHOOK, is_interaction=True),
    ]
