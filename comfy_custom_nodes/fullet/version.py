# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of the pack, and the version of ComfyUI that it needs (standard library only)."""

from __future__ import annotations

import re

VERSION = "2.0.0"
OLDEST_COMFYUI = (0, 18)


def installed_comfyui() -> str:
    """The version of the ComfyUI that loads the pack; early ones have no version number."""
    try:
        from comfyui_version import __version__ as version  # noqa: PLC0415 - it may be missing
    except ImportError:
        return "0.0 (without a version)"
    return str(version)


def too_old(comfyui: str) -> str | None:
    """A sentence if this version of ComfyUI is too old for the pack, else None."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", comfyui)[:2])
    if numbers >= OLDEST_COMFYUI:
        return None
    return (
        f"FuLLet {VERSION} needs ComfyUI 0.18 or newer; this is {comfyui}. Update ComfyUI and start it again."
    )
