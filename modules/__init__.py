"""The packages of the bot. Imports only go down: discord | ai | demo, then utils, then queue_manager."""

VERSION = "0.2.0"
"""The version of the bot; ``pyproject.toml`` reads it here."""
