"""Whether a host is near: what travels there without encryption stays on private ground."""

from __future__ import annotations

import ipaddress

_PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".localhost")


def is_private(host: str) -> bool:
    """Whether ``host`` (a name, an address, or a socket's folder) is on this machine or in a private
    network, as far as its name tells."""
    if host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_ENDINGS)
