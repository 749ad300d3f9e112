"""Kills the bot at random instants, and afterwards counts what became of every job that it had accepted."""
