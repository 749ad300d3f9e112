"""Points discord.py at a simulated Discord, which can only be on this machine."""

from __future__ import annotations

from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from modules.queue_manager.errors import BadSettings
from modules.utils.settings.values import is_loopback


def redirect(*, api_base: str, gateway_url: str) -> str:
    """Make discord.py use ``api_base`` and ``gateway_url`` from now on, in this whole process. Returns host
    and port of the API, which serves the attachments, too. Raises `BadSettings` for any host that is not
    loopback: a token must never be sent elsewhere."""
    for name, url in (("DISCORD_API_BASE", api_base), ("DISCORD_GATEWAY_URL", gateway_url)):
        if not is_loopback(URL(url).host or ""):
            raise BadSettings(f"{name}: is not on this machine; leave it empty for the real Discord")
    Route.BASE = api_base.rstrip("/")
    DiscordWebSocket.DEFAULT_GATEWAY = URL(gateway_url)
    api = URL(api_base)
    return f"{api.host}:{api.port}"
