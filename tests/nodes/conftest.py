"""The node pack's torch-only modules, loaded without ComfyUI; what needs torch is skipped without it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "comfy_custom_nodes" / "fullet"

# A package that stands for the pack without running its __init__, which needs a running ComfyUI.
_package = types.ModuleType("fullet_nodes")
_package.__path__ = [str(FOLDER)]
sys.modules["fullet_nodes"] = _package
