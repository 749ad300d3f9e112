"""Start here: is this Python new enough? Then the command line takes over (``modules/app/cli.py``).

    python bot.py            run the bot, in this environment, with the settings in .env
    python bot.py check      go through what can be wrong before a user meets it
    python3 bot.py demo      see it work, without a token or a GPU (makes .venv first)
    python3 bot.py test      run the tests (makes .venv first)
    python3 bot.py lint      format, lint, types, import direction, known faults (makes .venv first)
    python3 bot.py bench     measure it (makes .venv first)
    python3 bot.py pictures  take the documentation's pictures anew (makes .venv first)

The syntax of this file stays old enough for an old Python to read as far as the sentence that it is too old.
"""

import sys
from pathlib import Path

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent


def main(arguments: "list[str]") -> int:
    """Do what the command line says; the exit code."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit("FuLLet needs Python 3.10 or newer, and this is " + version + ": call it by a newer one")
    from modules.app import cli

    return cli.main(arguments, root=ROOT, help_text=__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
