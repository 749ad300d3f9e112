"""Every setting of the bot: a field of `Settings`, whose variable is the field's name in capitals. An
environment variable overrides ``.env``; an empty one counts as not given. All faults are reported at once."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

from dotenv.parser import parse_stream

from modules.queue_manager.errors import BadSettings
from modules.utils.database.address import PostgresAddress, read_address
from modules.utils.settings import values
from modules.utils.settings.values import RoleLimit

Value = TypeVar("Value")

_IN_DOUBLE_QUOTES = re.compile(r"""[^=]*=[^\S\n]*"((?:\\"|[^"])*)\"""")


def _setting(read: Callable[[str], Value], default: Value, *, shown: bool = True) -> Value:
    return field(default=default, repr=shown, metadata={"read": read})


def _required(read: Callable[[str], Value], fix: str, *, shown: bool = True) -> Value:
    return field(repr=shown, metadata={"read": read, "fix": fix})  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator decides; ``.env.example`` explains each setting."""

    discord_token: str = _required(
        values.token, "paste the bot's token from the developer portal, Bot → Reset Token", shown=False
    )
    allowed_guild_id: int | None = _setting(values.snowflake, None)
    comfy_urls: tuple[str, ...] = _required(
        values.server_urls, "write your ComfyUI's address, such as http://127.0.0.1:8188"
    )
    comfy_api_key: str = _setting(values.secret, "", shown=False)
    comfy_api_keys: tuple[tuple[str, str], ...] = _setting(values.api_keys, (), shown=False)
    database_url: str = _setting(values.database_url, "", shown=False)

    max_batch_size: tuple[int | None, ...] = _setting(values.batch_sizes, (None,))
    max_key_wait: int = _setting(values.whole(0, 100), 2)
    batch_window_ms: int = _setting(values.whole(0, 10_000), 100)
    fairness: Literal["pictures", "gpu_seconds"] = _setting(
        values.one_of("pictures", "gpu_seconds"), "pictures"
    )
    max_attempts: int = _setting(values.whole(1, 20), 3)
    shutdown_grace_seconds: float = _setting(values.seconds(0, 3600), 60.0)

    max_jobs_per_user: int = _setting(values.whole(1, 1000), 2)
    max_pictures_per_day: int = _setting(values.whole(0, 100_000), 0)
    cooldown_seconds: float = _setting(values.seconds(0, 86_400), 0.0)
    role_limits: tuple[tuple[int, RoleLimit], ...] = _setting(values.role_limits, ())
    priority_roles: tuple[int, ...] = _setting(values.snowflakes, ())
    banned_words_file: str = _setting(str, "")

    session_idle_minutes: int = _setting(values.whole(1, 100_000), 30)
    gallery_channel_id: int | None = _setting(values.snowflake, None)
    output_format: Literal["png", "webp", "jpeg"] = _setting(values.one_of("png", "webp", "jpeg"), "png")
    metadata: Literal["own", "none"] = _setting(values.one_of("own", "none"), "own")

    history_days: int = _setting(values.whole(1, 36_500), 90)
    image_days: int = _setting(values.whole(0, 36_500), 7)
    image_disk_mb: int = _setting(values.whole(0, 10_000_000), 2048)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        values.one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"
    )
    log_format: Literal["text", "json"] = _setting(values.one_of("text", "json"), "text")
    metrics_port: int = _setting(values.whole(0, 65_535), 0)
    metrics_host: str = _setting(str, "127.0.0.1")

    discord_api_base: str = _setting(values.loopback_url("http"), "")
    discord_gateway_url: str = _setting(values.loopback_url("ws"), "")

    def secrets(self) -> tuple[str, ...]:
        """What must never be printed, in each form in which it may be there."""
        found = [self.discord_token, self.comfy_api_key, *self.comfy_api_key.split(":", 1)[1:]]
        found += [key for _, key in self.comfy_api_keys]
        address = read_address(self.database_url, root=Path())
        if isinstance(address, PostgresAddress):
            as_written = self.database_url.partition("?")[0].rpartition("@")[0].split(":", 2)[2:]
            found += [address.password or "", address.tls.get("sslpassword", ""), *as_written]
        return tuple(text for text in found if text)


NAMES = tuple(setting.name.upper() for setting in fields(Settings))
ALIAS = "COMFY_URL"
"""Accepted for COMFY_URLS, for a single server."""


def read(environ: Mapping[str, str], file_values: Mapping[str, str]) -> Settings:
    """The settings from both sources. Raises `BadSettings` with one line for each fault."""
    found, faults = gather(environ, file_values)
    if faults:
        raise BadSettings("\n".join(faults))
    return Settings(**found)  # type: ignore[arg-type]


def gather(environ: Mapping[str, str], file_values: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """The values that could be read, by field, and one line for each fault."""
    found: dict[str, object] = {}
    faults: list[str] = []
    for setting in fields(Settings):
        name, text = given(setting.name.upper(), environ, file_values)
        if text:
            try:
                found[setting.name] = setting.metadata["read"](text)
            except ValueError as error:
                faults.append(f"{name}: {values.printable(str(error))}")
        elif "fix" in setting.metadata:
            faults.append(f"{name}: missing; {setting.metadata['fix']}")
    return found, faults + _disagreements(found)


def unknown_names(file_values: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each name in ``.env`` that looks like a misspelt setting."""
    return tuple(
        f"{name} in .env is not a setting; did you mean {near[0]}?"
        for name in file_values
        if name not in (*NAMES, ALIAS) and (near := get_close_matches(name.upper(), NAMES, n=1, cutoff=0.8))
    )


def read_file(path: Path) -> dict[str, str]:
    """The variables that the file at ``path`` sets; none if it is not there. Raises `BadSettings`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        misnamed = path.with_name(f"{path.name}.txt")  # by an editor, while Windows hides the ending
        if misnamed.exists():
            raise BadSettings(f"{path.name} is called {misnamed.name}; rename it to {path.name}") from None
        return {}
    except OSError as error:
        if path.is_dir():  # Docker makes a folder if the file that it is told to mount is not there
            raise BadSettings(f"{path.name} is a folder; remove it and write the file") from None
        raise BadSettings(f"{path.name} cannot be read ({error.strerror}); fix its permissions") from None
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(decoded(data, path.name))):
        if binding.error:
            text = binding.original.string
            line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
            raise BadSettings(f"{path.name}: line {line} cannot be read; write NAME=value, quotes in pairs")
        if binding.key is not None:
            found[binding.key] = _as_written(binding.original.string) or binding.value or ""
    return found


def _as_written(line: str) -> str | None:
    """What stands in double quotes, if anything does. A backslash escapes only a double quote or another
    backslash, and nothing at the very start: ``"C:\\new"`` is a folder, not a line break."""
    found = _IN_DOUBLE_QUOTES.match(line)
    return None if found is None else re.sub(r'(?<=.)\\([\\"])', r"\1", found[1])


def decoded(data: bytes, name: str) -> str:
    """The text of the file ``name``. Raises `BadSettings`."""
    # Windows' own editors and shells save UTF-8 with a mark, or UTF-16.
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise BadSettings(f"{name}: is not UTF-8 text; save it as UTF-8") from None


def given(name: str, environ: Mapping[str, str], file_values: Mapping[str, str]) -> tuple[str, str]:
    """The text of a setting and the name under which it was given, which may be the alias."""
    for source in (environ, file_values):
        for known in (name, ALIAS) if name == "COMFY_URLS" else (name,):
            text = source.get(known, "").strip()
            if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
                text = text[1:-1].strip()  # docker's --env-file keeps the quotes
            if text:
                return known, text
    return name, ""


def _disagreements(found: Mapping[str, object]) -> list[str]:
    """Faults between settings that are each right alone."""
    faults = []
    sizes, urls = found.get("max_batch_size"), found.get("comfy_urls")
    if isinstance(sizes, tuple) and isinstance(urls, tuple) and len(sizes) not in (1, len(urls)):
        faults.append(
            f"MAX_BATCH_SIZE: has {len(sizes)} sizes for {len(urls)} address{'es' * (len(urls) != 1)} "
            "in COMFY_URLS; write one for all, or one for each"
        )
    if bool(found.get("discord_api_base")) != bool(found.get("discord_gateway_url")):
        faults.append(
            "DISCORD_API_BASE: goes with DISCORD_GATEWAY_URL; set both, or neither for the real Discord"
        )
    return faults
