"""An embedded Discord on loopback, for the demo and for tests: it refuses what Discord refuses."""

from __future__ import annotations

from modules.demo.discord_server.server import DiscordServer
from modules.demo.discord_server.state.clock import ServerClock
from modules.demo.discord_server.state.world import (
    BotSpec,
    ChannelSpec,
    GuildSpec,
    UserSpec,
    WorldSpec,
    default_world,
)

__all__ = [
    "BotSpec",
    "ChannelSpec",
    "DiscordServer",
    "GuildSpec",
    "ServerClock",
    "UserSpec",
    "WorldSpec",
    "default_world",
]
