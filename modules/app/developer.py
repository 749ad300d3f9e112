"""The Python that a command runs in, and the commands for developers: tests, checks, benchmarks, pictures.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from modules.app import bootstrap

RUNNING = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"

UNAVAILABLE = 69
"""The exit code when an environment cannot be made, as in sysexits.h."""

CHECKS = {
    "format": ["-m", "ruff", "format", "--check", "."],
    "lint": ["-m", "ruff", "check", "."],
    "types": ["-m", "mypy"],
    "imports": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    "audit": ["-m", "tests.audit"],
}


def test(root: Path, arguments: Sequence[str]) -> int:
    """Run the tests."""
    workers = min((os.cpu_count() or 1) * 2, 8)  # many tests wait for a clock or a socket most of the time
    return run_module("pytest", root, ["-n", str(workers), "--dist", "worksteal", *arguments])


def run_module(name: str, root: Path, arguments: Sequence[str]) -> int:
    """Run ``python -m name`` in the developers' environment."""
    return bootstrap.hand_over(_environment(root, DEVELOPMENT), ["-m", name, *arguments], root)


def test_nodes(root: Path, arguments: Sequence[str]) -> int:
    """Run the tests of the node pack, with a few on a real ComfyUI if REAL_COMFY_PATH names one."""
    python = _environment(root, "requirements-nodes.txt", ".venv-nodes")
    real = ["tests/real_comfy/test_small.py"] if os.environ.get("REAL_COMFY_PATH") else []
    return bootstrap.hand_over(python, ["-m", "pytest", "tests/nodes", *real, *arguments], root)


def lint(root: Path, arguments: Sequence[str]) -> int:
    """Check the code, and its dependencies for known vulnerabilities."""
    parser = ArgumentParser(
        prog="bot.py lint", description="Check the code, and its dependencies for known vulnerabilities."
    )
    parser.add_argument(
        "names", nargs="*", metavar="CHECK", help=f"one or more of {', '.join(CHECKS)}; all if you name none"
    )
    chosen = parser.parse_args(arguments).names or list(CHECKS)
    unknown = [name for name in chosen if name not in CHECKS]
    if unknown:
        parser.error(f"there is no check {unknown[0]!r}")
    python = str(_environment(root, DEVELOPMENT))
    failed = []
    for name in chosen:
        print(f"── {name}", flush=True)
        if subprocess.call([python, *CHECKS[name]], cwd=str(root)):
            failed.append(name)
    print(f"Failed: {', '.join(failed)}" if failed else "All checks passed")
    return 1 if failed else 0


def rerun_in_environment(root: Path, arguments: Sequence[str]) -> int | None:
    """Run a command in ``.venv``, making that first; the exit code, or None if this Python is that one."""
    python = _environment(root, RUNNING)
    return None if bootstrap.running_in(root) else _rerun(python, root, arguments)


def rerun_if_packages_are_missing(root: Path, arguments: Sequence[str]) -> int | None:
    """As above, but None also when this Python has all packages, and where nothing can be written: containers
    and services have a Python of their own."""
    if bootstrap.met(root / RUNNING):
        return None
    python = bootstrap.python_of(root)
    if not bootstrap.running_in(root) and bootstrap.starts(python):  # in that Python, this runs once more
        return _rerun(python, root, arguments)
    environment = root / bootstrap.ENVIRONMENT
    writable = os.access(environment if environment.exists() else root, os.W_OK)
    return rerun_in_environment(root, arguments) if writable else None


def _rerun(python: Path, root: Path, arguments: Sequence[str]) -> int:
    # in the current folder, not in root, because files in the arguments are relative to it
    return bootstrap.hand_over(python, [str(root / "bot.py"), *arguments], Path.cwd())


def _environment(root: Path, requirements: str, folder: str = ".venv") -> Path:
    """The Python of the environment that a command needs. If it cannot be made, the process ends."""
    try:
        return bootstrap.prepare(root, requirements, folder=folder)
    except bootstrap.BootstrapError as error:
        print(error, file=sys.stderr)
        sys.exit(UNAVAILABLE)
