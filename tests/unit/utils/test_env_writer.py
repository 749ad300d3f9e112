"""``.env`` is changed where it must be, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.queue_manager.errors import BadSettings
from modules.utils.settings.env_writer import FIRST_LINE, write_file
from modules.utils.settings.settings import read_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_a_new_file_has_the_values_and_where_they_are_explained(path: Path) -> None:
    assert write_file(path, {"COMFY_URLS": "http://a:1,http://b:2"})
    assert path.read_text(encoding="utf-8") == f"{FIRST_LINE}COMFY_URLS=http://a:1,http://b:2\n"
    assert [file.name for file in path.parent.iterdir()] == [".env"]


def test_what_a_person_wrote_remains(path: Path) -> None:
    before = "# mine\r\n\r\nexport COMFY_URLS='http://old:1' # attic\r\n\r\nLOG_LEVEL=DEBUG # loud\r\nX='1'"
    path.write_bytes(b"\xef\xbb\xbf" + before.encode())
    assert write_file(path, {"COMFY_URLS": "http://new:1", "DISCORD_TOKEN": "a.b.c", "X": "1"})
    assert path.read_text(encoding="utf-8") == (
        "# mine\n\nCOMFY_URLS=http://new:1\n\nLOG_LEVEL=DEBUG # loud\nX='1'\nDISCORD_TOKEN=a.b.c\n"
    )
    assert path.with_name(".env.bak").read_bytes() == b"\xef\xbb\xbf" + before.encode()


@pytest.mark.parametrize(
    "value", ["it's", "a b # c", "$HOME ${X}", '"', "back\\slash\\'", "user:pa=ss", "", "ñ"]
)
def test_each_value_is_read_again_as_it_was_given(path: Path, value: str) -> None:
    path.write_text("A=1\n", encoding="utf-8")
    write_file(path, {"COMFY_API_KEY": value, "B": "2"})
    assert read_file(path) == {"A": "1", "COMFY_API_KEY": value, "B": "2"}


def test_nothing_is_written_where_nothing_changes(path: Path) -> None:
    path.write_text("A='1'\n", encoding="utf-8")
    assert not write_file(path, {"A": "1"})
    assert path.read_text(encoding="utf-8") == "A='1'\n"
    assert not path.with_name(".env.bak").exists()


@pytest.mark.skipif(os.name == "nt", reason="rights and links are POSIX's")
def test_only_its_owner_may_read_it_and_a_link_remains_one(path: Path) -> None:
    real = path.with_name("real")
    real.write_text("A=1\n", encoding="utf-8")
    real.chmod(0o644)
    path.symlink_to(real)
    write_file(path, {"A": "2"})
    assert path.is_symlink()
    assert real.read_text(encoding="utf-8") == "A=2\n"
    assert {file.stat().st_mode & 0o777 for file in (real, path.with_name(".env.bak"))} == {0o600}


def test_a_place_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(BadSettings, match=r"\.env: cannot be written \(No such file or directory\)"):
        write_file(path.parent / "missing" / ".env", {"A": "1"})
