"""The core: who waits, who goes next, what goes together. Standard library only."""
