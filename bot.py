"""The bot's command line, and the one place that knows every room: it builds the parts and closes them.

    python bot.py            run the bot, in this environment, with the settings in .env
    python3 bot.py demo      see it work, without a token or a GPU (makes .venv first)
    python3 bot.py test      run the tests (makes .venv first)
    python3 bot.py lint      format, lint, types and import direction (makes .venv first)

The syntax of this file stays old enough for an old Python to read as far as the sentence that it is too old.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modules.utils.settings import Settings

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent
DEVELOPMENT = "requirements-dev.txt"


def main(arguments: "Sequence[str]") -> int:
    """Do what the command line says; the exit code."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit("FuLLet needs Python 3.10 or newer, and this is " + version + ": call it by a newer one")
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(__doc__)
        return 0
    named = bool(arguments) and not arguments[0].startswith("-")
    command, rest = (arguments[0], arguments[1:]) if named else ("run", arguments)
    if command not in COMMANDS:
        sys.exit(f"There is no command {command!r}; there are {', '.join(COMMANDS)}")
    try:
        return COMMANDS[command](rest)
    except ModuleNotFoundError as error:
        if (error.name or "modules").partition(".")[0] == "modules":
            raise
        install = f"{sys.executable} -m pip install -r requirements.txt"
        sys.exit(
            f"The package {error.name} is missing from this Python; install what the bot needs by: {install}"
        )


# ── the bot itself ──────────────────────────────────────────────────────────────────────────────


def _run(arguments: "Sequence[str]") -> int:
    import argparse
    import asyncio

    parser = argparse.ArgumentParser(prog="bot.py run", description="Run the bot.")
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="where the settings are")
    options = parser.parse_args(arguments)
    from modules.queue_manager.errors import StartupError
    from modules.utils import log, settings

    try:
        given = settings.load(options.env_file, os.environ)
        log.configure(level=given.log_level, style=given.log_format, secrets=given.secrets())
        asyncio.run(_serve(given, options.env_file))
    except StartupError as error:
        sys.exit(str(error))
    return 0


async def _serve(settings: "Settings", env_file: "Path") -> None:
    """Open every part, work until told to stop, close in the reverse order."""
    raise NotImplementedError


# ── commands that make their own environment ────────────────────────────────────────────────────


def _test(arguments: "Sequence[str]") -> int:
    return _go_on(_environment(DEVELOPMENT), ["-m", "pytest", "-n", "2", *arguments])


def _lint(arguments: "Sequence[str]") -> int:
    python = str(_environment(DEVELOPMENT))
    checks = {
        "format": ["-m", "ruff", "format", "--check", "."],
        "lint": ["-m", "ruff", "check", "."],
        "types": ["-m", "mypy"],
        "imports": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    }
    if "--audit" in arguments:  # asks a service on the internet, so only on request
        checks["audit"] = ["-m", "pip_audit", "-r", "requirements.txt"]
    failed = []
    for name, command in checks.items():
        print(f"── {name}", flush=True)
        if subprocess.call([python, *command], cwd=str(ROOT)):
            failed.append(name)
    print(f"Not in order: {', '.join(failed)}" if failed else "All in order")
    return 1 if failed else 0


def _environment(requirements: str) -> "Path":
    """The Python of the environment that a command needs, or the end of the process with one line."""
    from modules.utils import bootstrap

    try:
        return bootstrap.prepare(ROOT, requirements)
    except bootstrap.BootstrapError as error:
        sys.exit(str(error))


def _go_on(python: "Path", arguments: "Sequence[str]") -> int:
    from modules.utils import bootstrap

    return bootstrap.hand_over(python, arguments, ROOT)


COMMANDS: "dict[str, Callable[[Sequence[str]], int]]" = {
    "run": _run,
    "test": _test,
    "lint": _lint,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
