"""A bot of its own whose models' cards say nothing of memory, as those of people's own workflows do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent


def bot_without_memory(folder: Path) -> Path:
    """Make ``folder``, with a ``bot.py`` in it that reads the shipped models without their ``[memory]``."""
    folder.mkdir()
    shutil.copy(ROOT / "bot.py", folder)
    (folder / "modules").symlink_to(ROOT / "modules")
    shutil.copytree(ROOT / "flujos", folder / "flujos")
    for model in (folder / "flujos").glob("*.json"):
        card = model.with_suffix(".toml")
        text = card.read_text(encoding="utf-8")
        bare = re.sub(r"^\[memory\]\n(?:[^\[\n].*\n?)*", "", text, flags=re.MULTILINE)
        assert bare != text, card.name
        card.write_text(bare, encoding="utf-8")
    return folder
