"""What the READMEs promise is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modules.demo.discord_server.state.permissions import BOT_DEFAULT

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_the_invitation_grants_exactly_what_the_demonstration_and_the_tests_run_with(name: str) -> None:
    found = re.findall(r"permissions=(\d+)", (ROOT / name).read_text(encoding="utf-8"))
    assert found == [str(BOT_DEFAULT)]
