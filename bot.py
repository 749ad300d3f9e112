"""Start here. If this Python is new enough, the command line takes over (``modules/app/cli.py``).

    python bot.py            run the bot, in this environment, with the settings in .env
    python bot.py check      check everything that can be wrong before a user notices it
    python bot.py models     list the models, what they need and where they run; add or remove one
    python3 bot.py demo      see it work, without a token or a GPU (makes .venv first)
    python3 bot.py test      run the tests (makes .venv first)
    python3 bot.py lint      format, lint, types, import direction, known faults (makes .venv first)
    python3 bot.py bench     measure it (makes .venv first)
    python3 bot.py pictures  take the documentation's pictures again (makes .venv first)

An old Python must be able to read this file as far as the sentence that says that it is too old.
"""

import sys
from pathlib import Path

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent


def main(arguments: "list[str]") -> int:
    """Do what the command line says; returns the exit code."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit("FuLLet needs Python 3.10 or newer, and this is " + version + ": run it with a newer one")
    from modules.app import cli

    return cli.main(arguments, root=ROOT, help_text=__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
