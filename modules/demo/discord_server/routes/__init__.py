"""The REST routes by resource; each handler is a plain function over the hub and the call."""
