"""The whole bot before a real ComfyUI: what might mix people's pictures runs one by one.

``REAL_COMFY_BATCHES`` says how many times four people ask at once (20, once for each model, if it is not
given; the model with a control net needs one for FLUX.1 on the server), and ``REAL_COMFY_SEED`` which seeds
and so which prompts (a server that remembers a run does not run it again).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.known_or_alone import assert_known_or_alone
from tests.real_comfy.comfy import Comfy
from tests.real_comfy.conftest import URL

SEED = int(os.environ.get("REAL_COMFY_SEED", "1000"))
BATCHES = int(os.environ.get("REAL_COMFY_BATCHES", "20"))


@pytest.mark.timeout(max(900, 60 * BATCHES))
async def test_everybody_gets_their_own_picture_whatever_the_graphs_hold(
    comfy: Comfy, tmp_path: Path
) -> None:
    result = await assert_known_or_alone(tmp_path, URL, BATCHES, SEED)
    print(f"{BATCHES} batches, {result.delivered} pictures, furthest {result.furthest}/255, 0 foreign")
