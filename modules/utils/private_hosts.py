"""Whether a host is near: what travels there without encryption stays on private ground."""

from __future__ import annotations

import ipaddress

_PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".localhost", ".home.arpa")
_OVERLAYS = ipaddress.ip_network("100.64.0.0/10")
"""Not routed in the internet (RFC 6598); Tailscale and its like give their machines addresses of it."""


def is_private(host: str) -> bool:
    """Whether ``host`` (a name, an address, or a socket's folder) is on this machine or in a private
    network, as far as its name tells."""
    if host.startswith("/"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.casefold().endswith(_PRIVATE_ENDINGS)
    return address.is_private or (address.version == 4 and address in _OVERLAYS)
