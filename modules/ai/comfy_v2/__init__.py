"""Comfy API v2, through its official client. Imported only if such an address is used, because the client
brings its own HTTP library."""
