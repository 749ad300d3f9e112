"""Whether a host is in a private network, so that what is sent there without encryption stays private."""

from __future__ import annotations

import ipaddress

_PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".localhost", ".home.arpa")
_OVERLAYS = ipaddress.ip_network("100.64.0.0/10")
"""Not routed on the internet (RFC 6598); Tailscale and similar networks use it."""


def is_private(host: str) -> bool:
    """Whether ``host`` (a name, an address, or a socket's folder) is on this machine or in a private
    network, judged by its name alone."""
    if host.startswith("/"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.casefold().endswith(_PRIVATE_ENDINGS)
    return address.is_private or (address.version == 4 and address in _OVERLAYS)
