"""The rooms of the bot. Imports go down only: discord | ai | demo, then utils, then queue_manager."""

VERSION = "0.1.0"
"""As in pyproject.toml and CHANGELOG.md; an image has neither."""
