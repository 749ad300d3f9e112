"""What the operator writes becomes settings, or one line for each fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.errors import BadSettings
from modules.utils.settings import settings
from modules.utils.settings.settings import Settings
from modules.utils.settings.values import RoleLimit

TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"
NEEDED = {"DISCORD_TOKEN": TOKEN, "COMFY_URLS": "http://127.0.0.1:8188"}


def faults(values: dict[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        settings.read({}, values)
    return str(caught.value).splitlines()


def from_file(tmp_path: Path, data: bytes) -> Settings:
    path = tmp_path / ".env"
    path.write_bytes(data)
    return settings.read({}, settings.read_file(path))


def test_the_needed_two_are_enough() -> None:
    given_settings = settings.read({}, NEEDED)
    assert given_settings.comfy_urls == ("http://127.0.0.1:8188",)
    assert given_settings.allowed_guild_id is None
    assert given_settings.max_jobs_per_user == 2
    assert given_settings.max_batch_size == (None,)


def test_all_faults_are_told_together_each_by_its_name() -> None:
    lines = faults({"ALLOWED_GUILD_ID": "my server", "MAX_BATCH_SIZE": "0", "LOG_LEVEL": "loud"})
    assert [line.partition(":")[0] for line in lines] == [
        "DISCORD_TOKEN", "ALLOWED_GUILD_ID", "COMFY_URLS", "MAX_BATCH_SIZE", "LOG_LEVEL",
    ]  # fmt: skip


def test_a_file_saved_on_windows_is_read(tmp_path: Path) -> None:
    addresses = "'http://a:8188/ , \"http://b:8188//\"'"
    text = f'DISCORD_TOKEN="{TOKEN}"\r\nCOMFY_URLS = {addresses} \r\nLOG_FORMAT=JSON # a word\r\n'
    for data in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        found = from_file(tmp_path, data)
        assert found.discord_token == TOKEN
        assert found.comfy_urls == ("http://a:8188", "http://b:8188")
        assert found.log_format == "json"


def test_dollars_and_hashes_in_a_password_stay(tmp_path: Path) -> None:
    data = (
        f"DISCORD_TOKEN={TOKEN}\nCOMFY_URL=http://a:1\nDATABASE_URL=postgres://u:p${{HOME}}#x@h/db\n".encode()
    )
    assert from_file(tmp_path, data).database_url == "postgres://u:p${HOME}#x@h/db"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"DISCORD_TOKEN=\xff\xfe\xfa", "is not UTF-8"),
        (b"\nDISCORD_TOKEN='half\n", "line 2"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(BadSettings, match=words) as caught:
        from_file(tmp_path, data)
    assert str(caught.value).startswith(".env: ")
    assert "\n" not in str(caught.value)


def test_the_real_environment_wins_and_an_empty_variable_counts_as_not_given() -> None:
    found = settings.read({"COMFY_URLS": "http://real:1", "LOG_LEVEL": ""}, {**NEEDED, "LOG_LEVEL": "debug"})
    assert found.comfy_urls == ("http://real:1",)
    assert found.log_level == "DEBUG"
    real = {"COMFY_URL": "http://real:1"}
    assert settings.given("COMFY_URLS", real, NEEDED) == ("COMFY_URL", "http://real:1")
    assert settings.given("COMFY_URLS", {"COMFY_URLS": ""}, {}) == ("COMFY_URLS", "")


def test_comfy_url_is_accepted_for_a_single_server() -> None:
    assert settings.read({}, {"DISCORD_TOKEN": TOKEN, "COMFY_URL": "https://x.ngrok.app/"}).comfy_urls == (
        "https://x.ngrok.app",
    )
    assert faults({"DISCORD_TOKEN": TOKEN, "COMFY_URL": "x:1"})[0].startswith("COMFY_URL: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1:8188", 'write "http://127.0.0.1:8188"'),
        ("ftp://a:1", "does not begin with"),
        ("http://", "has no host"),
        ("http://a:99999", "cannot be read"),
        ("http://a:1 http://b:2", "separated by commas"),
        ("http://a:1;http://b:2", "separated by commas"),
        ("http://a:1/?token=x", "contains ? or #"),
        ("dns+http://comfy", "has no port"),
        (" , ", "contains no address"),
    ],
)
def test_a_wrong_address_is_told_with_its_fix(text: str, words: str) -> None:
    (line,) = faults({**NEEDED, "COMFY_URLS": text})
    assert line.startswith("COMFY_URLS: ")
    assert words in line


@pytest.mark.parametrize("text", ["http://me:hunter2@a:1", "me:hunter2@a:1"])
def test_a_password_in_an_address_is_refused_without_being_repeated(text: str) -> None:
    (line,) = faults({**NEEDED, "COMFY_URLS": text})
    assert "hunter2" not in line
    assert "COMFY_API_KEY" in line


def test_batch_sizes_fit_the_addresses() -> None:
    two = {**NEEDED, "COMFY_URLS": "http://a:1,http://b:1"}
    assert settings.read({}, {**two, "MAX_BATCH_SIZE": "2, Auto"}).max_batch_size == (2, None)
    assert settings.read({}, {**two, "MAX_BATCH_SIZE": "3"}).max_batch_size == (3,)
    assert "3 sizes for 2 addresses" in faults({**two, "MAX_BATCH_SIZE": "1,2,3"})[0]
    assert "3 sizes for 1 address" in faults({**NEEDED, "MAX_BATCH_SIZE": "1,2,3"})[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"C:\bot\new\words.txt"', r"C:\bot\new\words.txt"),
        (r'"C:\\bot\\new\\words.txt" # escaped', r"C:\bot\new\words.txt"),
        (r'"\\server\table\words.txt"', r"\\server\table\words.txt"),
        (r"'C:\bot\new\words.txt'", r"C:\bot\new\words.txt"),
        (r"C:\bot\new\words.txt", r"C:\bot\new\words.txt"),
        (r'"say \"no\".txt"', 'say "no".txt'),
        ('"words.txt"', "words.txt"),
        ('""', ""),
    ],
)
def test_backslashes_in_a_path_stay(tmp_path: Path, written: str, meant: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"BANNED_WORDS_FILE={written}\n")
    assert settings.read_file(path) == {"BANNED_WORDS_FILE": meant}


def test_role_limits_are_read() -> None:
    text = "123456789012345678=4/100/1, 234567890123456789 = 6"
    assert settings.read({}, {**NEEDED, "ROLE_LIMITS": text}).role_limits == (
        (123456789012345678, RoleLimit(jobs=4, pictures_a_day=100, tier=1)),
        (234567890123456789, RoleLimit(jobs=6)),
    )
    assert faults({**NEEDED, "ROLE_LIMITS": "vip=4"})[0].startswith("ROLE_LIMITS: ")


@pytest.mark.parametrize("token", ["Bot a.b.c", "f" * 32, "a b.c.d", "a..b"])
def test_what_is_no_token_is_told_and_not_shown(token: str) -> None:
    (line,) = faults({**NEEDED, "DISCORD_TOKEN": token})
    assert line.startswith("DISCORD_TOKEN: ")
    assert token not in line


@pytest.mark.parametrize("host", ["discord.com", "192.168.1.4", "127.0.0.1.evil.example", "0.0.0.0"])
def test_a_simulated_discord_elsewhere_is_refused(host: str) -> None:
    given_values = {
        **NEEDED,
        "DISCORD_API_BASE": f"http://{host}:1/api/v10",
        "DISCORD_GATEWAY_URL": "ws://127.0.0.1:1/gw",
    }
    assert "other than this machine" in faults(given_values)[0]


def test_half_a_simulated_discord_is_refused() -> None:
    (line,) = faults({**NEEDED, "DISCORD_API_BASE": "http://localhost:1/api/v10"})
    assert "set both" in line


def test_neither_the_settings_shown_nor_faults_tell_a_secret() -> None:
    values = {**NEEDED, "COMFY_API_KEY": "me:hunter2", "DATABASE_URL": "postgres://u:p%40ss@h/db"}
    found = settings.read({}, values)
    for secret in (TOKEN, "hunter2", "p%40ss"):
        assert secret not in repr(found)
    assert {TOKEN, "me:hunter2", "hunter2", "p%40ss", "p@ss"} <= set(found.secrets())


def test_a_slip_of_the_pen_is_pointed_out() -> None:
    assert settings.unknown_names({"COMFY_ULRS": "x", "PATH": "y", "COMFY_URL": "z"}) == (
        "COMFY_ULRS in .env is not a setting; did you mean COMFY_URLS?",
    )


def test_the_example_explains_every_setting_and_shows_its_default() -> None:
    path = Path(__file__).parents[3] / ".env.example"
    names = re.findall(r"^([A-Z_]+)=", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(settings.NAMES)
    example = settings.read(NEEDED, settings.read_file(path))
    assert example == settings.read({}, NEEDED)


@given(st.dictionaries(st.sampled_from(settings.NAMES), st.text()))
def test_any_text_gives_settings_or_lines_that_name_settings(values: dict[str, str]) -> None:
    try:
        settings.read({}, values)
    except BadSettings as error:
        for line in str(error).split("\n"):
            assert line.partition(":")[0] in settings.NAMES
            assert line.isprintable()


hosts = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,5})?", fullmatch=True)
urls = st.builds(
    "{}://{}:{}".format, st.sampled_from(["http", "https", "dns+http"]), hosts, st.integers(1, 65535)
)
around = st.sampled_from(["", " ", "\t", "  "])
quotes = st.sampled_from(["", '"', "'"])


@given(st.lists(st.tuples(urls, around, quotes, st.sampled_from(["", "/", "//"])), min_size=1, max_size=5))
def test_addresses_survive_any_spaces_quotes_and_slashes(written: list[tuple[str, str, str, str]]) -> None:
    text = ",".join(f"{space}{quote}{url}{slash}{quote}{space}" for url, space, quote, slash in written)
    found = settings.read({}, {**NEEDED, "COMFY_URLS": text}).comfy_urls
    assert found == tuple(dict.fromkeys(url for url, *_ in written))
