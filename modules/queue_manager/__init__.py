"""The core: who waits, who goes next, what goes together. It imports the standard library only."""
