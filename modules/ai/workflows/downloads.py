"""Where to download model files, according to a workflow or its card, and the command for it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

_PART = re.compile(r"[\w(\[][\w .,+=()\[\]-]*")
_ADDRESS = re.compile(r"https?://[!#-&(-;=?-\[\]_a-z~]+", re.IGNORECASE)  # no quotes, spaces or <>^`{|}\


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDownload:
    """A model file that the workflow needs. ``folder`` is a folder in ComfyUI's ``models/``.

    Do not trust the texts: see `fetch_line`.
    """

    name: str
    url: str
    folder: str

    @property
    def fetch_line(self) -> str:
        """The command that downloads the file to where it belongs, run in the folder that contains ComfyUI.
        Empty if the address is not a web address, or name or folder would lead elsewhere."""
        path = f"{self.folder}/{self.name}"
        parts = path.split("/")
        safe = all(_PART.fullmatch(part) and part == part.strip(" .") for part in parts)
        if not safe or len(path) > 300 or len(self.url) > 1000 or not _is_address(self.url):
            return ""
        return f"curl -fgL --create-dirs -o {shlex.quote(f'ComfyUI/models/{path}')} '{self.url}'"


def _is_address(url: str) -> bool:
    try:
        return _ADDRESS.fullmatch(url) is not None and bool(urlsplit(url).hostname)
    except ValueError:
        return False
