"""What /system_stats answers: who the server is, how it was started, how much memory it has."""

from __future__ import annotations

from typing import Any

from modules.demo.comfy_server.profile import GIB, ServerProfile


def system_stats(profile: ServerProfile) -> dict[str, Any]:
    """The body, in the real server's shape."""
    vram = profile.vram_total
    packages = {"comfyui-frontend-package": "1.48.7", "comfyui-workflow-templates": "0.11.41"}
    return {
        "system": {
            "os": "linux",
            "ram_total": 64 * GIB,
            "ram_free": 48 * GIB,
            "comfyui_version": profile.version,
            "required_frontend_version": "1.48.7",
            "installed_templates_version": None,
            "required_templates_version": "0.11.41",
            "comfy_package_versions": [
                {"name": name, "installed": None, "required": version} for name, version in packages.items()
            ],
            "python_version": "3.11.7 (main, May  9 2026, 07:35:25) [GCC 12.2.0]",
            "pytorch_version": "2.13.0+cu130",
            "embedded_python": False,
            "deploy_environment": "local-git",
            "argv": profile.argv,
        },
        "devices": [
            {
                "name": profile.device,
                "type": "cuda",
                "index": 0,
                "vram_total": vram,
                "vram_free": vram * 9 // 10,
                "torch_vram_total": vram // 32,
                "torch_vram_free": vram // 64,
            }
        ],
    }
