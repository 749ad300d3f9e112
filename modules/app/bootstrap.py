"""Makes the virtual environment that the bot, the demonstration and the tests run in.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ENVIRONMENT = ".venv"
WINDOWS = os.name == "nt"


class BootstrapError(Exception):
    """The environment cannot be made; the text is one line for the person at the keyboard."""


def prepare(root: Path, requirements: str, *, folder: str = ENVIRONMENT) -> Path:
    """The Python of the environment in ``root/folder``, with all that ``requirements`` names installed.

    The environment is made again if it is broken or of another Python version; packages are installed if it
    is new or if a requirements file has changed. Raises `BootstrapError`.
    """
    environment, python = root / folder, python_of(root, folder)
    stamp = environment / f"{Path(requirements).stem}.stamp"

    def made() -> bool:
        return running_in(root, folder) or _usable(python)

    def installed() -> bool:
        return stamp.exists() and stamp.read_text(encoding="utf-8") == _fingerprint(root, requirements)

    if made() and installed():  # then nothing has to be written
        return python
    with _alone(environment):
        if not made():
            print(f"Making {folder} …", flush=True)
            _make(environment)
        if not installed():
            print(f"Installing {requirements} into {folder} (once; a minute or two) …", flush=True)
            _install(python, root / requirements)
            importlib.invalidate_caches()
            stamp.write_text(_fingerprint(root, requirements), encoding="utf-8")
            print("Installed; the first start takes a little longer …", flush=True)
    return python


def python_of(root: Path, folder: str = ENVIRONMENT) -> Path:
    """Where the environment's Python is, or would be."""
    return root / folder / ("Scripts/python.exe" if WINDOWS else "bin/python")


def starts(python: Path) -> bool:
    """Whether ``python`` is there and works."""
    return _answer(python, "") is not None


def met(requirements: Path) -> bool:
    """Whether this Python has all that the file pins, in these versions. A container image, which is built
    with all of it, has no such file."""
    if not requirements.exists():
        return True
    for line in requirements.read_text(encoding="utf-8").splitlines():
        pin = _PIN.match(line)
        if pin is not None and _applies(pin["marker"]):
            try:
                if importlib.metadata.version(pin["name"]) != pin["version"]:
                    return False
            except importlib.metadata.PackageNotFoundError:
                return False
    return True


_PIN = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)\s*(?:;\s*(?P<marker>.+))?")
_MARKER = re.compile(r'python_version (?P<sign>>=|<) "(?P<version>[\d.]+)"')


def _applies(marker: str | None) -> bool:
    """Whether a line with this marker, the only kind that our files have, is for this Python."""
    told = _MARKER.match(marker or "")
    if told is None:
        return True
    least = tuple(int(part) for part in told["version"].split("."))
    return (sys.version_info[:2] >= least) == (told["sign"] == ">=")


def hand_over(python: Path, arguments: Sequence[str], folder: Path) -> int:
    """Become ``python arguments`` in ``folder``. Returns only on Windows, with the exit code."""
    command = [str(python), *arguments]
    os.chdir(folder)
    if not WINDOWS:  # on Windows, execv starts another process, and the console thinks that ours has ended
        sys.stdout.flush()
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the child gets it too, and ends by itself
            continue


def running_in(root: Path, folder: str = ENVIRONMENT) -> bool:
    """Whether this process runs in the environment."""
    return Path(sys.prefix).resolve() == (root / folder).resolve()


@contextmanager
def _alone(environment: Path) -> Iterator[None]:
    """Only one process at a time makes ``environment``: the demo and the tests may start together."""
    try:
        file = environment.with_name(f"{environment.name}.lock").open("a", encoding="utf-8")
    except OSError as error:
        raise _not_writable(environment, error) from None
    with file:  # the system frees the lock with the file, even if this process is killed
        if not _locked(file.fileno()):
            print(f"Waiting for another process that is making {environment.name} …", flush=True)
            while not _locked(file.fileno()):
                time.sleep(0.1)
        yield


def _locked(descriptor: int) -> bool:
    """Try to lock the open file; False if another process has the lock. Where files cannot be locked, as on
    some network drives, every process may go on."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def _not_writable(environment: Path, error: OSError) -> BootstrapError:
    return BootstrapError(
        f"{environment} could not be made ({error.strerror}); put FuLLet into a folder that you can write to"
    )


def _usable(python: Path) -> bool:
    """Whether ``python`` is there, starts, has pip and is of our version."""
    answer = _answer(python, "import pip, sys; print(*sys.version_info[:2])")
    return answer is not None and answer.split() == [str(part) for part in sys.version_info[:2]]


def _answer(python: Path, code: str) -> str | None:
    """What ``python`` prints when it runs the code; None if it fails."""
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _make(environment: Path) -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise BootstrapError(f"this Python cannot make virtual environments; {_how_to_get_venv()}")
    try:
        environment.mkdir(exist_ok=True)
    except OSError as error:
        raise _not_writable(environment, error) from None
    command = [sys.executable, "-m", "venv", "--clear", str(environment)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    except KeyboardInterrupt:  # a half-made environment may look complete the next time
        shutil.rmtree(environment, ignore_errors=True)
        raise
    if made.returncode:
        reason = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
        raise BootstrapError(f"{environment} could not be made ({reason[-1]}); {_how_to_get_venv()}")


def _how_to_get_venv() -> str:
    version = sysconfig.get_python_version()
    if Path("/etc/debian_version").exists():
        return f"install what is missing with: apt install python{version}-venv"
    if Path("/etc/alpine-release").exists():
        return "install what is missing with: apk add py3-pip"
    return f"install the venv and ensurepip modules of Python {version}, or Python from python.org"


def _install(python: Path, requirements: Path) -> None:
    """Shows only which packages pip installs, and the useful part of its errors."""
    options = ["--disable-pip-version-check", "--retries", "1", "-r", str(requirements)]
    command = [str(python), "-m", "pip", "install", *options]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        told: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": file, "text": True, "errors": "replace"}
        with subprocess.Popen(command, cwd=requirements.parent, **told) as pip:
            for line in pip.stdout or ():
                if not line.startswith(_OF_NO_USE):
                    print(line, end="", flush=True)
        file.seek(0)
        errors = file.read()
    if pip.returncode and _UNREACHABLE.search(errors):
        raise BootstrapError(
            "the packages cannot be downloaded, because pip cannot reach its package index; "
            "check the network (or PIP_INDEX_URL), then run the same command again"
        )
    if pip.returncode:
        sys.stderr.write(errors)
        raise BootstrapError(
            f"pip could not install {requirements.name} (see its output above); "
            "fix that, then run the same command again"
        )


_OF_NO_USE = ("Requirement already satisfied", "Ignoring ", "Looking in ")

_UNREACHABLE = re.compile(r"after connection broken by|Max retries exceeded|ReadTimeoutError")


def _fingerprint(root: Path, requirements: str) -> str:
    """A hash of the file, the files that it includes, and the Python version."""
    text = (root / requirements).read_text(encoding="utf-8")
    included = [line.split(maxsplit=1)[1].strip() for line in text.splitlines() if line.startswith("-r ")]
    parts = [sys.version, text, *(_fingerprint(root, name) for name in included)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
