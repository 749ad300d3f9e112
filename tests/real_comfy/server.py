"""Starts a ComfyUI for these tests: ``python -m tests.real_comfy.server``; Ctrl-C ends it.

REAL_COMFY_PATH names ComfyUI's folder, REAL_COMFY_PYTHON the Python that it runs with (default: this one). It
runs on the CPU, with the node pack and with tiny random models in a folder of its own; a folder of yours with
other custom nodes is not touched.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LINKED = {
    "fullet": HERE.parents[1] / "comfy_custom_nodes" / "fullet",
    "tiny_models": HERE / "tiny_models",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real_comfy.server", description=__doc__)
    parser.add_argument("--port", default="8189", help="where it listens (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir(), "fullet-real-comfy"),
        help="where its models, pictures and custom nodes go (default: %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args()
    comfyui = os.environ.get("REAL_COMFY_PATH", "")
    if not comfyui:
        parser.error("REAL_COMFY_PATH names no ComfyUI")
    folder = arguments.folder.resolve()
    for name in ("custom_nodes", "no_frontend"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, target in LINKED.items():
        link = folder / "custom_nodes" / name
        if link.is_symlink():  # this repository may have moved
            link.unlink()
        link.symlink_to(target, target_is_directory=True)
    python = os.environ.get("REAL_COMFY_PYTHON", sys.executable)
    command = [
        python, "main.py", "--cpu", "--base-directory", str(folder), "--port", arguments.port,
        "--front-end-root", str(folder / "no_frontend"), "--disable-api-nodes",
    ]  # fmt: skip
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as docs/fidelity.md was measured
    try:
        return subprocess.call(command, cwd=comfyui, env=one_thread)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
