"""FuLLet, a Discord bot that makes pictures on your own ComfyUI servers.

    python3 bot.py           run the bot with the settings in .env
    python3 bot.py setup     ask for what the bot needs, try it, and write .env
    python3 bot.py check     check the whole set-up and say how to fix what is wrong; --fusion compares
                             pictures made together with those made alone, --discord sends test messages
    python3 bot.py models    list the models, what they need and where they run; add or remove one
    python3 bot.py database  copy FROM TO: move the bot to another database
    python3 bot.py demo      see it work, without a token or a GPU
    python3 bot.py test      run the tests
    python3 bot.py lint      check format, types, imports, known vulnerabilities
    python3 bot.py bench     run the benchmarks
    python3 bot.py pictures  retake the pictures in docs/pictures

If a command needs packages that are missing, it creates .venv and installs them there.
"python3 bot.py COMMAND --help" lists the options of run, setup, check, models, database, demo and lint;
"python3 bot.py --version" says which version this is.
"""
# A Python that is too old must be able to read this file and say so; modules/app/cli.py does the rest.

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
