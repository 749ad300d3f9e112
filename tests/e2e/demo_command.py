"""``python bot.py demo``, as a command for the environment that the tests run in: none is made for it."""

from __future__ import annotations

import sys

_CODE = """
import sys
import bot
from modules.app import bootstrap
bootstrap.prepare = lambda root, requirements, folder: None
bootstrap.running_in = lambda root: True
{before}
sys.exit(bot.main(["demo", *sys.argv[1:]]))
"""
_AUDIOOP = "ignore:'audioop' is deprecated:DeprecationWarning"


def demo_command(*flags: str, before: str = "") -> list[str]:
    """To be run in the repository's root; ``before`` is code that runs first. Warnings are errors."""
    return [sys.executable, "-W", "error", "-W", _AUDIOOP, "-c", _CODE.format(before=before), *flags]
