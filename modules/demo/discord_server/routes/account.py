"""The bot's own account, users, and where the gateway is (Discord docs, User; Application; Gateway)."""

from __future__ import annotations

from modules.demo.discord_server.bodies.channels import CreateDm
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.guild_life import bot_leaves
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Payload

CONTENT_FLAG, MEMBERS_FLAG = 1 << 19, 1 << 15
"""Application flags of privileged intents for bots in few guilds (Application Resource)."""


def _me(hub: Hub, _call: Call) -> Reply:
    return Reply(
        data={**hub.bot.payload(), "verified": True, "mfa_enabled": False, "email": None, "flags": 0}
    )


def _application(hub: Hub, _call: Call) -> Reply:
    spec = hub.bot_spec
    owner = next(iter(hub.people), hub.bot)
    application: Payload = {
        "id": str(hub.bot.id),
        "name": spec.name,
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "owner": owner.payload(),
        "team": None,
        "verify_key": "0" * 64,
        "rpc_origins": [],
        "summary": "",
        "flags": spec.message_content_intent * CONTENT_FLAG | spec.members_intent * MEMBERS_FLAG,
        "tags": [],
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "event_webhooks_status": 1,
        "integration_types_config": {"0": {}},
        "approximate_guild_count": sum(guild.has_bot for guild in hub.guilds.values()),
        "approximate_user_install_count": 0,
    }
    return Reply(data=application)


def _my_guilds(hub: Hub, _call: Call) -> Reply:
    guilds: list[Payload] = [
        {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(guild.permissions(hub.bot.id)),
            "features": [],
        }
        for guild in hub.guilds.values()
        if guild.has_bot
    ]
    return Reply(data=guilds)


def _leave(hub: Hub, call: Call) -> Reply:
    bot_leaves(hub, hub.guild(call.id("guild_id")))
    return Reply()


def _open_dm(hub: Hub, call: Call) -> Reply:
    user = hub.users.get(call.body(CreateDm).recipient_id)
    if user is None:
        raise Refusal(10013)
    is_new = user.id not in hub.dms
    channel = hub.open_dm(user)
    if is_new:
        hub.clients.tell((user.id,), "CHANNEL_CREATE", channel.payload(viewer=user.id))
    return Reply(data=channel.payload(viewer=hub.bot.id))


def _user(hub: Hub, call: Call) -> Reply:
    user_id = call.id("user_id")
    user = hub.bot if user_id == hub.bot.id else hub.users.get(user_id)
    if user is None:
        raise Refusal(10013)
    return Reply(data=user.payload())


def _gateway(hub: Hub, _call: Call) -> Reply:
    return Reply(data={"url": hub.gateway_url})


def _gateway_bot(hub: Hub, _call: Call) -> Reply:
    limit = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
    return Reply(data={"url": hub.gateway_url, "shards": 1, "session_start_limit": limit})


ROUTES = [
    Route(method="GET", template="/users/@me", handler=_me),
    Route(method="GET", template="/users/@me/guilds", handler=_my_guilds),
    Route(method="DELETE", template="/users/@me/guilds/{guild_id}", handler=_leave),
    Route(method="POST", template="/users/@me/channels", handler=_open_dm),
    Route(method="GET", template="/users/{user_id}", handler=_user),
    Route(method="GET", template="/applications/@me", handler=_application),
    Route(method="GET", template="/oauth2/applications/@me", handler=_application),
    Route(method="GET", template="/gateway", handler=_gateway),
    Route(method="GET", template="/gateway/bot", handler=_gateway_bot),
]
