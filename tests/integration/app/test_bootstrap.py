"""The command line before anything is installed: it makes its environment, or says in one line why not."""

from __future__ import annotations

import ast
import contextlib
import errno
import importlib
import importlib.metadata
import io
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot import main
from modules.app import bootstrap, cli, developer
from tests.interrupts import HEARING_INTERRUPTS

ROOT = Path(__file__).parents[3]


def bot(
    *arguments: str,
    python: str = sys.executable,
    flags: tuple[str, ...] = (),
    root: Path = ROOT,
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *flags, str(root / "bot.py"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **environ},
    )


def test_old_pythons_can_read_as_far_as_the_sentence_for_them() -> None:
    ast.parse((ROOT / "bot.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_an_old_python_is_told_in_one_line() -> None:
    found = {version: python for version in ("3.6", "3.7", "3.8", "3.9") if (python := _python(version))}
    if not found:
        pytest.skip("there is no Python older than 3.10 on this machine")
    for version, python in found.items():
        answer = bot("demo", python=python)
        assert answer.returncode == 1
        assert (
            answer.stderr
            == f"FuLLet needs Python 3.10 or newer, and this is {version}: run it with a newer one\n"
        )


def _python(version: str) -> str | None:
    installed = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    named = shutil.which(f"python{version}")
    for python in (*map(str, installed), *([named] if named else [])):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_help_names_the_commands_and_an_unknown_one_is_told() -> None:
    assert "bot.py demo" in bot("--help").stdout
    answer = bot("dmeo")
    assert answer.returncode == 1
    assert answer.stderr.startswith("There is no command 'dmeo'; the commands are: run, ")


@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is told otherwise there")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"]])
def test_it_ends_quietly_when_nobody_reads_on(arguments: list[str], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        answer = subprocess.run(
            [sys.executable, str(ROOT / "bot.py"), *arguments],
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": unbuffered},
        )
    assert answer.stderr == b""
    assert answer.returncode in (0, 141)  # argparse takes no notice


def test_a_missing_package_is_one_line_that_says_how_to_install_it(tmp_path: Path) -> None:
    checkout(tmp_path)  # without requirements.txt, as in the image
    answer = bot(root=tmp_path, flags=("-S", "-E"))
    assert answer.returncode == 1
    assert "-m pip install -r requirements.txt" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def checkout(folder: Path, requirements: str | None = None) -> None:
    shutil.copy(ROOT / "bot.py", folder)
    (folder / "modules").symlink_to(ROOT / "modules")
    shutil.copytree(ROOT / "flujos", folder / "flujos")
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="the environment's Python is a shell script here")
def test_a_python_without_packages_uses_the_environment_that_the_demonstration_made(tmp_path: Path) -> None:
    checkout(tmp_path, (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    answer = bot("models", root=tmp_path, flags=("-S", "-E"))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("Offered, in flujos/\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a real environment in which nothing is installed, made by two who come at once, and what
    they said."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    (folder / "requirements-dev.txt").write_text("-r requirements.txt\n", encoding="utf-8")
    # a lock on a file holds between threads as it does between processes
    with contextlib.redirect_stdout(io.StringIO()) as said, ThreadPoolExecutor() as two:
        for first in [two.submit(bootstrap.prepare, folder, "requirements-dev.txt") for _ in range(2)]:
            first.result()
    return folder, said.getvalue()


@pytest.mark.long
def test_without_a_network_each_command_says_so_in_one_line(made: tuple[Path, str]) -> None:
    folder, _ = made
    checkout(folder, "no-such-package==1\n")
    alone = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    for command in ([], ["setup"], ["check"], ["models"]):
        answer = bot(*command, root=folder, **alone)
        assert answer.returncode == developer.UNAVAILABLE
        assert answer.stderr == (
            "the packages cannot be downloaded, because pip cannot reach its package index; "
            "check the network (or PIP_INDEX_URL), then run the same command again\n"
        )


def test_where_nothing_can_be_written_the_calling_python_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("no-such-package==1\n", encoding="utf-8")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert developer.rerun_if_packages_are_missing(tmp_path, ["check"]) is None
    monkeypatch.setitem(cli.COMMANDS, "check", lambda *_: importlib.import_module("no_such_package"))
    with pytest.raises(
        SystemExit, match="; put FuLLet into a folder that you can write to, or install every"
    ):
        cli.main(["check"], root=tmp_path, help_text="")
    assert not (tmp_path / ".venv").exists()


def test_packages_are_missing_when_they_are_not_there_or_of_another_version(tmp_path: Path) -> None:
    def met(text: str) -> bool:
        (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
        return bootstrap.met(tmp_path / "requirements.txt")

    version = importlib.metadata.version("discord.py")
    assert met(f"# all\ndiscord.py[voice]=={version}\n")
    assert not met("discord.py==0.1\n")
    assert not met(f"discord.py=={version}\nno-such-package==1\n")
    assert met('no-such-package==1; python_version < "3.10"\n')
    assert not met('no-such-package==1; python_version >= "3.10"\n')


def test_missing_settings_are_one_line_each_and_never_a_traceback(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMFY_URLS=127.0.0.1:8188\n", encoding="utf-8")
    answer = bot("--env-file", str(tmp_path / ".env"))
    assert answer.returncode == 1
    assert [line.partition(":")[0] for line in answer.stderr.splitlines()] == ["DISCORD_TOKEN", "COMFY_URLS"]


@pytest.mark.timeout(300)  # a real environment, made and installed into three times
@pytest.mark.long
def test_the_environment_is_made_once_and_installed_into_when_requirements_change(
    made: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, said = made

    def prepared(requirements: str) -> str:
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
        python = bootstrap.prepare(folder, "requirements-dev.txt")
        assert python.is_relative_to(folder / ".venv")
        assert python.exists()
        return capsys.readouterr().out

    assert sorted(line.split(" …")[0] for line in said.splitlines()) == [
        "Installed; the first start takes a little longer",
        "Installing requirements-dev.txt into .venv (once; a minute or two)",
        "Making .venv",
        "Waiting for another process that is making .venv",
    ]
    assert prepared("# nothing\n") == ""
    again = prepared("# something\n")
    assert "Making" not in again
    assert "Installing" in again
    assert prepared('pip\nno-such-package; python_version < "3"\n') == (
        "Installing requirements-dev.txt into .venv (once; a minute or two) …\n"
        "Installed; the first start takes a little longer …\n"
    ), "pip is there"
    with pytest.raises(bootstrap.BootstrapError, match=r"pip could not install requirements-dev\.txt"):
        prepared("./no-such-package\n")


def test_a_python_without_venv_is_told_which_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.prepare(tmp_path, "requirements.txt")
    assert "cannot make virtual environments; install" in str(caught.value)
    if Path("/etc/debian_version").exists():
        assert f"apt install python{sysconfig.get_python_version()}-venv" in str(caught.value)


def test_where_nothing_may_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / ".venv").touch()
    with pytest.raises(
        bootstrap.BootstrapError, match=r"\.venv could not be made \(File exists\); put FuLLet into a"
    ):
        bootstrap.prepare(tmp_path, "requirements.txt")


@pytest.mark.skipif(os.name == "nt", reason="locks files as POSIX does")
def test_where_files_cannot_be_locked_nobody_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    monkeypatch.setattr(bootstrap, "_make", lambda _: (tmp_path / ".venv").mkdir())
    monkeypatch.setattr(bootstrap, "_install", lambda *_: None)
    (tmp_path / "requirements.txt").touch()
    bootstrap.prepare(tmp_path, "requirements.txt")
    assert "Waiting" not in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal to a group of processes")
def test_ctrl_c_while_the_environment_is_made_ends_quietly_and_leaves_no_half_of_it(tmp_path: Path) -> None:
    app = [f"modules/app/{name}.py" for name in ("__init__", "cli", "developer", "bootstrap")]
    for name in ("bot.py", "modules/__init__.py", *app):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "bot.py"), "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=HEARING_INTERRUPTS,  # noqa: PLW1509 (takes no lock)
    )
    assert process.stdout is not None
    assert "Making .venv" in process.stdout.readline().decode()
    while not (tmp_path / ".venv" / "pyvenv.cfg").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == b""
    assert not (tmp_path / ".venv").exists()


def test_the_demonstration_runs_where_it_was_called_so_that_out_means_a_folder_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hand_over(python: Path, arguments: Sequence[str], folder: Path) -> int:
        assert arguments[1:] == ["demo", "--script", "--out", "pictures"]
        assert folder == tmp_path
        return 7

    monkeypatch.setattr(bootstrap, "prepare", lambda *_, **__: Path("python"))
    monkeypatch.setattr(bootstrap, "running_in", lambda *_: False)
    monkeypatch.setattr(bootstrap, "hand_over", hand_over)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--script", "--out", "pictures"]) == 7


@pytest.mark.parametrize(
    ("comfyui", "paths"),
    [("", ["tests/nodes"]), ("/srv/ComfyUI", ["tests/nodes", "tests/real_comfy/test_small.py"])],
)
def test_the_node_tests_run_on_a_real_comfyui_too_where_one_is_named(
    comfyui: str, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Sequence[str]] = []
    monkeypatch.setattr(bootstrap, "prepare", lambda *_, **__: Path("python"))
    monkeypatch.setattr(bootstrap, "hand_over", lambda _, arguments, __: ran.append(arguments) or 0)
    monkeypatch.setenv("REAL_COMFY_PATH", comfyui)
    assert main(["test-nodes", "-x"]) == 0
    assert ran == [["-m", "pytest", *paths, "-x"]]
    assert all((ROOT / path).exists() for path in paths)
