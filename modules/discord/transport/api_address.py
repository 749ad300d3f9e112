"""Points discord.py at a simulated Discord, which can only be on this very machine."""

from __future__ import annotations

from ipaddress import ip_address

from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from modules.queue_manager.errors import BadSettings


def redirect(*, api_base: str, gateway_url: str) -> str:
    """Let discord.py speak to ``api_base`` and ``gateway_url`` from now on, in this whole process.

    Returns host and port of the API, where the simulated attachments are as well. Raises `BadSettings`
    for any host that is not loopback: a token must never be sent elsewhere.
    """
    for name, url in (("DISCORD_API_BASE", api_base), ("DISCORD_GATEWAY_URL", gateway_url)):
        if not _is_loopback(URL(url).host):
            raise BadSettings(f"{name}: is not on this machine; leave it empty for the real Discord")
    Route.BASE = api_base.rstrip("/")
    DiscordWebSocket.DEFAULT_GATEWAY = URL(gateway_url)
    return host_of(api_base)


def host_of(url: str) -> str:
    """Host and port of an address."""
    parsed = URL(url)
    return f"{parsed.host}:{parsed.port}"


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
