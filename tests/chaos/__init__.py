"""Kills the bot at random instants, and afterwards counts how every job ended that it had accepted."""
