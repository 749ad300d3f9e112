"""A real ComfyUI with the node pack, named by REAL_COMFY_URL; without it these tests are skipped.

REAL_COMFY_PATH names the folder of one that is installed here, for test_networks.py (which needs no server).
REAL_COMFY_REPORT names the file (docs/fidelity.md) that the measurements go to.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.real_comfy.comfy import Comfy
from tests.real_comfy.report import Measured, table, write_part

URL = os.environ.get("REAL_COMFY_URL", "")
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))
            if not URL and "comfy" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="REAL_COMFY_URL names no ComfyUI"))


@pytest_asyncio.fixture
async def comfy() -> AsyncIterator[Comfy]:
    async with Comfy(URL) as client:
        yield client


class Record:
    """What this run measured."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.fidelity: list[Measured] = []
        self.lines: list[str] = []
        self.loras: list[str] = []
        self.version = ""


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    kept = Record()
    yield kept
    target = os.environ.get("REAL_COMFY_REPORT")
    if not target:
        return
    for name, text in kept.parts.items():
        write_part(Path(target), name, text)
    if kept.version:
        if kept.fidelity:
            write_part(
                Path(target), f"fidelity on {kept.version}", f"### {kept.version}\n\n{table(kept.fidelity)}"
            )
        if kept.loras:
            head = "| model | the LoRA changes | fused from alone | from strength 0.5 | from no LoRA |\n"
            lines = "\n".join(kept.loras)
            write_part(Path(target), f"LoRAs on {kept.version}", f"{head}|---|---|--:|--:|--:|\n{lines}")
        if kept.lines:
            write_part(
                Path(target), f"speed on {kept.version}", "\n".join(f"- {line}" for line in kept.lines)
            )
