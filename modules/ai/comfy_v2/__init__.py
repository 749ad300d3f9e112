"""Comfy API v2, by its official client: imported only where an address of that kind is used, since the client
brings an HTTP library of its own."""
