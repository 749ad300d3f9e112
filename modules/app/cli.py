"""The command line: finds the command and reads its options.

A command imports packages only when it needs them, so that a missing one is reported in one line.
"""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from modules import VERSION
from modules.app import developer

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in shells."""

UNREAD = 141
"""The exit code for output that nobody reads any more, as in shells."""

Command = Callable[[Path, Sequence[str]], int]
"""Takes the folder of bot.py and the arguments; returns the exit code."""


def main(arguments: Sequence[str], *, root: Path, help_text: str) -> int:
    """Do what the command line says; returns the exit code. ``root`` is the folder of bot.py."""
    try:
        try:
            return _main(arguments, root, help_text)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        try:
            print(flush=True)
        except BrokenPipeError:
            # The reader, such as head, has seen enough. Python would report it as an error when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        raise


def _main(arguments: Sequence[str], root: Path, help_text: str) -> int:
    for stream in (sys.stdout, sys.stderr):  # "?" in place of what a console cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(help_text)
        return 0
    if arguments[:1] == ["--version"]:
        print(f"FuLLet {VERSION}")
        return 0
    named = bool(arguments) and not arguments[0].startswith("-")
    command, rest = (arguments[0], arguments[1:]) if named else ("run", arguments)
    if command not in COMMANDS:
        sys.exit(f"There is no command {command!r}; the commands are: {', '.join(COMMANDS)}")
    try:
        if command in OPERATING and not {"-h", "--help"} & set(rest):
            outcome = developer.rerun_if_packages_are_missing(root, arguments)
            if outcome is not None:
                return outcome
        return COMMANDS[command](root, rest)
    except KeyboardInterrupt:  # before the bot itself listens for it, such as while pip installs
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "modules").partition(".")[0] == "modules":
            raise
        install = f"{sys.executable} -m pip install -r {developer.RUNNING}"
        move = "" if os.access(root, os.W_OK) else "put FuLLet into a folder that you can write to, or "
        sys.exit(
            f"The package {error.name} is missing from this Python; {move}install everything with: {install}"
        )


def _run(root: Path, arguments: Sequence[str]) -> int:
    options = _settings_options(root, "run", "Run the bot.").parse_args(arguments)
    from modules.app.serve import live, until_signalled

    return until_signalled(live(env_file=options.env_file, models=root / "flujos"))


def _setup(root: Path, arguments: Sequence[str]) -> int:
    about = (
        "Ask for what the bot needs, try each answer, write .env and check it. Options answer "
        "its questions in advance."
    )
    parser = _settings_options(root, "setup", about)
    parser.add_argument(
        "--token-file", metavar="FILE", help="a file with the bot's token; - is standard input"
    )
    parser.add_argument("--guild", metavar="ID", help="the server (guild) where the bot works")
    parser.add_argument("--comfy-urls", metavar="URLS", help="your ComfyUI servers, separated by commas")
    parser.add_argument(
        "--comfy-key-file", metavar="FILE", help="a file with the key of your ComfyUI servers"
    )
    parser.add_argument("--comfyui-folder", metavar="DIR", help="copy the node pack into this ComfyUI")
    options = vars(parser.parse_args(arguments))
    from modules.app.setup import Given, set_up
    from modules.queue_manager.errors import BadSettings

    env_file = options.pop("env_file")
    try:
        return set_up(root, env_file, Given(**options))
    except BadSettings as error:
        sys.exit(str(error))


def _check(root: Path, arguments: Sequence[str]) -> int:
    parser = _settings_options(root, "check", "Check the whole set-up and say how to fix what is wrong.")
    parser.add_argument("--all", action="store_true", help="also list everything that is fine")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument(
        "--fusion",
        nargs="*",
        metavar="URL|MODEL",
        help="instead, make the same pictures together and one by one on your servers (or on the one at URL) "
        "with each model in flujos/ (or with MODEL), compare the results and measure the speed gained; if "
        "the results differ, that server makes that model's pictures one by one from then on",
    )
    parser.add_argument(
        "--discord",
        action="store_true",
        help="instead, send every kind of message in a temporary channel; the bot may be running",
    )
    parser.add_argument("--guild", type=int, metavar="ID", help="with --discord: try it in this server")
    options = parser.parse_args(arguments)
    if options.guild is not None and not options.discord:
        parser.error("--guild needs --discord")
    if options.fusion is not None and options.discord:
        parser.error("--fusion and --discord are separate checks: run one after the other")
    if options.fusion is not None:
        from modules.app import fusion_check
        from modules.app.serve import until_signalled

        sheets = root / "database" / "fusion-checks"
        return until_signalled(
            fusion_check.report(
                options.env_file, root / "flujos", options.fusion, sheets=sheets, as_json=options.json
            )
        )
    from modules.app import check

    if options.discord:
        from modules.app.serve import until_signalled

        trial = check.try_discord(options.env_file, guild_id=options.guild, as_json=options.json)
        return until_signalled(trial)
    return check.report(options.env_file, root / "flujos", as_json=options.json, everything=options.all)


def _models(root: Path, arguments: Sequence[str]) -> int:
    parser = _settings_options(root, "models", "List the models, add one or remove one.")
    actions = ("list", "add", "remove")
    parser.add_argument("action", nargs="?", choices=actions, default="list", help="default: list")
    parser.add_argument("model", nargs="?", help="a name in the library or in flujos/, or a workflow file")
    options = parser.parse_args(arguments)
    if (options.action == "list") != (options.model is None):
        parser.error("add and remove need a model; list takes none")
    from modules.app import models

    folder = root / "flujos"
    if options.action == "add":
        return models.added(options.env_file, folder, options.model)
    if options.action == "remove":
        return models.removed(options.env_file, folder, options.model)
    return models.listed(options.env_file, folder)


def _database(root: Path, arguments: Sequence[str]) -> int:
    about = (
        "Copy everything from one database into an empty one, such as from SQLite into PostgreSQL. "
        "Stop the bot first. Write both addresses as in DATABASE_URL; the default SQLite "
        "file is sqlite:///database/bot_data.db."
    )
    parser = ArgumentParser(prog="bot.py database", description=about)
    parser.add_argument("action", choices=["copy"])
    parser.add_argument("source", metavar="FROM", help="the database to copy; it is not changed")
    parser.add_argument(
        "target", metavar="TO", help="an empty database, or a SQLite file that does not exist yet"
    )
    options = parser.parse_args(arguments)
    from modules.app.database import copied
    from modules.app.serve import until_signalled
    from modules.utils.monitoring import log

    log.configure(level="CRITICAL", stream=sys.stderr)
    return until_signalled(copied(options.source, options.target))


def _demo(root: Path, arguments: Sequence[str]) -> int:
    outcome = developer.rerun_in_environment(root, ["demo", *arguments])
    if outcome is not None:
        return outcome
    from modules.app.demonstration import demonstrate
    from modules.app.serve import until_signalled
    from modules.demo.stage import read_options

    return until_signalled(demonstrate(read_options(arguments), root))


def _settings_options(root: Path, command: str, about: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"bot.py {command}", description=about)
    parser.add_argument(
        "--env-file",
        type=Path,
        default=root / ".env",
        help="the file with the settings (default: .env beside bot.py)",
    )
    return parser


COMMANDS: Mapping[str, Command] = {
    "run": _run,
    "setup": _setup,
    "check": _check,
    "models": _models,
    "database": _database,
    "demo": _demo,
    "test": developer.test,
    "lint": developer.lint,
    "bench": partial(developer.run_module, "tests.benchmarks"),
    "pictures": partial(developer.run_module, "tests.pictures"),
    "test-nodes": developer.test_nodes,
}
OPERATING = ("run", "setup", "check", "models", "database")
"""The commands that run with the calling Python where it has all packages."""
