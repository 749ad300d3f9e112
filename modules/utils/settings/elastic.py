"""Addresses of Comfy API v2 in COMFY_URLS (``comfy+https://cloud.comfy.org?jobs=8&after=60``): platforms that
scale by themselves, or a ComfyUI behind comfy-api-proxy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from modules.queue_manager.jobs import Elastic

PREFIX = "comfy+"

MOST_JOBS = 64

USUAL_AFTER = 60.0
"""The default of ``after`` on addresses with https, where runs usually cost money."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ElasticAddress:
    """``url``: where the API is, without ``/api/v2``. At most ``jobs`` runs at once, for jobs that would wait
    longer than ``after`` seconds for the other servers; ``models``: the names of those that it offers (empty:
    all that need no custom nodes)."""

    url: str
    jobs: int = 1
    after: float = 0.0
    models: tuple[str, ...] = ()

    @property
    def terms(self) -> Elastic:
        """On which terms it is used."""
        return Elastic(slots=self.jobs, after=self.after)


def is_elastic(url: str) -> bool:
    return url.startswith(PREFIX)


def read_elastic(text: str) -> ElasticAddress:
    """The address in an item of COMFY_URLS that `is_elastic`. Raises ValueError, which repeats no value that
    may be a secret."""
    parts = urlsplit(text.removeprefix(PREFIX))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"an address begins with {PREFIX}, but not with {PREFIX}https:// or {PREFIX}http://")
    if parts.fragment:
        raise ValueError("an address contains #; write only the address and ?jobs=, after= and models=")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    wrong = next((name for name in options if name not in ("jobs", "after", "models")), None)
    if wrong is not None:
        raise ValueError(
            "an address has an option other than jobs=, after= and models=; a key goes into COMFY_API_KEYS"
        )
    jobs, after = options.get("jobs", "1"), options.get("after")
    if not _is_whole(jobs) or not 1 <= int(jobs) <= MOST_JOBS:
        raise ValueError(f"jobs= of an address is not a whole number from 1 to {MOST_JOBS}")
    if after is not None and (not _is_whole(after) or int(after) > 86_400):
        raise ValueError("after= of an address is not a whole number of seconds from 0 to 86400")
    usual = USUAL_AFTER if parts.scheme == "https" else 0.0
    return ElasticAddress(
        url=bare(parts),
        jobs=int(jobs),
        after=usual if after is None else float(after),
        models=tuple(dict.fromkeys(options.get("models", "").split())),  # a + in a query means a space
    )


def read_start(text: str) -> float | None:
    """``start=`` of a name that scales from zero (``dns+http://comfyui:8188?start=90``): after how many
    seconds the first server is there; None where it is not said. Raises ValueError."""
    options = dict(parse_qsl(urlsplit(text).query, keep_blank_values=True))
    start = options.pop("start", None)
    if options:
        raise ValueError(
            "a dns+http:// address has an option other than start=; write only the address and ?start="
        )
    if start is not None and not (_is_whole(start) and 1 <= int(start) <= 3600):
        raise ValueError("start= of a dns+http:// address is not a whole number of seconds from 1 to 3600")
    return None if start is None else float(start)


def shortest_start(urls: Iterable[str]) -> float | None:
    """The least ``start=`` of the names among these addresses; None where nothing scales from zero."""
    starts = (read_start(url) for url in urls if url.startswith("dns+"))
    return min((start for start in starts if start is not None), default=None)


def bare(parts: SplitResult) -> str:
    """Scheme, host, port and path of an address, in one spelling."""
    host = parts.hostname or ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    path = parts.path.rstrip("/").removesuffix("/api/v2")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{path}"


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 7
