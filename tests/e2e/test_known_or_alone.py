"""What might mix people's pictures runs one by one, through the whole bot: `tests/real_comfy/test_product.py`
has the same before a real ComfyUI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from tests.e2e.known_or_alone import assert_known_or_alone, graphs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_models_with_caches_odd_guidance_and_odd_samplers_give_everybody_their_own(
    tmp_path: Path,
) -> None:
    async with ComfyServer(profile=ServerProfile(cache_lru=100), timing=Timing(step=0.002)) as server:
        result = await assert_known_or_alone(tmp_path, server.url, batches=len(graphs()) + 1)
    assert result.furthest == 0
