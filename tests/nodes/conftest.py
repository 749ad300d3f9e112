"""The node pack, loaded without ComfyUI, of which stand_in.py has what the pack uses."""

from __future__ import annotations

import contextlib
import sys
import types
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "comfy_custom_nodes" / "fullet"

# A package that stands for the pack without running its __init__, which needs a running ComfyUI.
_package = types.ModuleType("fullet_nodes")
_package.__path__ = [str(FOLDER)]
sys.modules["fullet_nodes"] = _package

with contextlib.suppress(ImportError):  # without torch, what needs it is skipped
    from tests.nodes import stand_in

    stand_in.install()
