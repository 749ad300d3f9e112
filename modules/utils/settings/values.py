"""Pure: reads each kind of setting from text; a function returns the value or raises ValueError. The error
says what is wrong and how to fix it, and never repeats a value that may hold a password; the caller puts the
setting's name in front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from modules.queue_manager.errors import BadSettings
from modules.utils.database.address import read_address
from modules.utils.settings.elastic import bare, is_elastic, read_elastic, read_start

Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleLimit:
    """What a role's members may have: jobs at once, pictures a day (None: as many as everybody else), and
    their tier."""

    jobs: int
    pictures_a_day: int | None = None
    tier: int = 0


def items(text: str) -> list[str]:
    """The parts of a comma-separated list, without spaces and quotes around them."""
    parts = (part.strip().strip("\"'").strip() for part in text.split(","))
    return [part for part in parts if part]


def token(text: str) -> str:
    """A Discord bot token: three parts joined by dots, as the developer portal shows it once."""
    if text.lower().startswith("bot "):
        raise ValueError('begins with "Bot "; write only the token')
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("contains characters that a token never has; copy it again from Bot → Reset Token")
    if text.count(".") != 2 or not all(text.split(".")):
        raise ValueError(
            "is not a bot token (three parts joined by dots; not the client secret or public key); "
            "copy it from the developer portal, Bot → Reset Token"
        )
    return text


def secret(text: str) -> str:
    """A key that travels in an HTTP header."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("contains characters that an HTTP header cannot carry; copy the key again")
    return text


def snowflake(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 15 <= len(text) <= 20):
        raise ValueError(
            f"{_shown(text)} is not a Discord ID (15 to 20 digits); "
            "switch on Developer Mode in Discord, right-click the server, channel or role, "
            "and choose Copy … ID"
        )
    return int(text)


def snowflakes(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(snowflake(item) for item in items(text)))


def whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise ValueError(f"{_shown(text)} is not a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A reader of durations, which may have a fraction."""

    def read(text: str) -> float:
        digits = text.replace(".", "", 1)
        if not (digits.isascii() and digits.isdigit() and len(text) < 12 and least <= float(text) <= most):
            raise ValueError(f"{_shown(text)} is not a number from {least:g} to {most:g}")
        return float(text)

    return read


def one_of(*choices: Choice) -> Callable[[str], Choice]:
    """A reader of one word out of ``choices``, in any case."""

    def read(text: str) -> Choice:
        for choice in choices:
            if choice.casefold() == text.casefold():
                return choice
        raise ValueError(f"{_shown(text)} is not one of {', '.join(choices)}")

    return read


def batch_sizes(text: str) -> tuple[int | None, ...]:
    """One size for every server or one for each, in the order of COMFY_URLS; None stands for ``auto``."""
    read = whole(1, 64)
    sizes = tuple(None if item.casefold() == "auto" else read(item) for item in items(text))
    if not sizes:
        raise ValueError("contains no size; write a number, or auto")
    return sizes


def role_limits(text: str) -> tuple[tuple[int, RoleLimit], ...]:
    """``ROLE=JOBS/PICTURES_A_DAY/PRIORITY``, comma-separated; the last two may be left out."""
    return tuple(_role_limit(item) for item in items(text))


def _role_limit(item: str) -> tuple[int, RoleLimit]:
    role, _, given = item.partition("=")
    parts = [part.strip() for part in given.split("/")]
    jobs, daily, tier = [*parts, "", ""][:3]
    if not jobs or len(parts) > 3:
        raise ValueError(
            f"{_shown(item)} is not ROLE=JOBS/PICTURES_A_DAY/PRIORITY, such as 123456789012345678=4/50/1"
        )
    return snowflake(role.strip()), RoleLimit(
        jobs=whole(1, 1000)(jobs),
        pictures_a_day=whole(1, 100_000)(daily) if daily else None,
        tier=whole(0, 9)(tier) if tier else 0,
    )


def server_urls(text: str) -> tuple[str, ...]:
    """Addresses of ComfyUI servers, comma-separated, each once; without trailing slashes, except those of
    Comfy API v2."""
    urls = tuple(dict.fromkeys(_server_url(item) for item in items(text)))
    if not urls:
        raise ValueError("contains no address; write your ComfyUI's, such as http://127.0.0.1:8188")
    elastic = [read_elastic(url).url for url in urls if is_elastic(url)]
    if len(set(elastic)) < len(elastic):
        raise ValueError("an address appears twice with different options; write it once")
    return urls


def _server_url(text: str) -> str:
    if ";" in text or any(character.isspace() for character in text):
        raise ValueError("addresses must be separated by commas; write http://one:8188,http://two:8188")
    if "://" not in text:
        fix = f"write {_shown('http://' + text)}"
        if "@" in text:
            fix = "write http://host:port, and put name:password in COMFY_API_KEY"
        raise ValueError(f"{_shown(text)} lacks http:// or https://; {fix}")
    parts = _split(text)
    if parts.scheme not in ("http", "https", "dns+http") and not is_elastic(parts.scheme):
        raise ValueError(
            f"{_shown(text)} does not begin with http://, https://, dns+http:// or comfy+https://"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "an address contains a user name or password; put them in COMFY_API_KEY as name:password"
        )
    if is_elastic(parts.scheme):
        read_elastic(parts.geturl())
        return parts.geturl()
    named = parts.scheme == "dns+http"
    if named:
        read_start(text)
    if parts.fragment or (parts.query and not named):
        raise ValueError(f"{_shown(text)} contains ? or #; write only the address")
    if named and parts.port is None:
        raise ValueError(f"{_shown(text)} has no port; write {parts.scheme}://{parts.hostname}:8188")
    return parts.geturl().rstrip("/")


def api_keys(text: str) -> tuple[tuple[str, str], ...]:
    """``ADDRESS=KEY``, comma-separated: each key with the one address of Comfy API v2 that gets it."""
    return tuple(dict(_api_key(item) for item in items(text)).items())


def _api_key(item: str) -> tuple[str, str]:
    address, equals, key = item.partition("=")
    if not equals or not key.strip() or "?" in address:
        raise ValueError("an entry is not ADDRESS=KEY, such as https://cloud.comfy.org=KEY")
    parts = _split(address.strip().removeprefix("comfy+"))
    if parts.scheme not in ("http", "https") or parts.username is not None:
        raise ValueError("an address does not begin with https:// or http://; write https://HOST=KEY")
    return bare(parts), secret(key.strip())


def database_url(text: str) -> str:
    """A database's address, checked by the reader that will use it."""
    try:
        read_address(text, root=Path())
    except BadSettings as error:
        raise ValueError(str(error).removeprefix("DATABASE_URL: ")) from None
    return text


def loopback_url(*schemes: str) -> Callable[[str], str]:
    """A reader of addresses on this machine: a token must never be sent elsewhere."""

    def read(text: str) -> str:
        parts = _split(text)
        if parts.scheme not in schemes:
            raise ValueError(f"{_shown(text)} does not begin with {' or '.join(f'{s}://' for s in schemes)}")
        if not is_loopback(parts.hostname or ""):
            raise ValueError(
                "names a host other than this machine, where a token must never go; "
                "write 127.0.0.1, or leave it empty for the real Discord"
            )
        return text.rstrip("/")

    return read


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError for one that is not a number from 0 to 65535
    except ValueError:
        raise ValueError("an address cannot be read; write it as http://host:port") from None
    if not parts.hostname or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("an address has no host; write it as http://host:port")
    return parts


def _shown(text: str, most: int = 60) -> str:
    """``text`` for a message: printable, short, and without what may be a password."""
    if "@" in text:
        return "a value with @"
    text = printable(text)
    return f'"{text if len(text) <= most else text[: most - 1] + "…"}"'


def printable(text: str) -> str:
    """``text`` with "�" for each character that cannot be printed."""
    return "".join(character if character.isprintable() else "�" for character in text)
