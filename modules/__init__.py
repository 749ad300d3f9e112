"""The rooms of the bot. Imports go down only: discord | ai | demo, then utils, then queue_manager."""
