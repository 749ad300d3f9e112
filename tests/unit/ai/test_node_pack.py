"""The node pack in the repository: what it imports, its licence, and what the bot knows of it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from modules.ai import node_pack as pack

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "comfy_custom_nodes" / "fullet"
FILES = sorted(FOLDER.glob("*.py"))
STANDARD = frozenset(sys.stdlib_module_names)
COMFYUI_ITSELF = {"comfy", "comfyui_version", "folder_paths", "nodes", "server"}
COMFYUI_BRINGS = {"aiohttp", "numpy", "PIL", "torch"}
PLAIN = {
    "inputs",
    "known",
    "layouts",
    "lengths",
    "prompt_graph",
    "store",
    "version",
}  # the standard library alone
ARITHMETIC = {"conditioning", "hiding", "latents", "noise", "zimage"}  # torch besides


def imported(file: Path) -> tuple[set[str], set[str]]:
    """The top names of what a file imports from elsewhere, and the neighbours it imports."""
    elsewhere, neighbours = set(), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            elsewhere |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            neighbours |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            elsewhere.add(str(node.module).partition(".")[0])
    return elsewhere - STANDARD, neighbours


def assigned(name: str) -> dict[str, str]:
    """The plain texts that one of the pack's files assigns to names, without running it."""
    found: dict[str, str] = {}
    for node in ast.parse((FOLDER / name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found |= dict.fromkeys(names, str(node.value.value))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_pack_needs_nothing_that_comfyui_does_not_bring(file: Path) -> None:
    elsewhere, _ = imported(file)
    assert elsewhere <= COMFYUI_ITSELF | COMFYUI_BRINGS


@pytest.mark.parametrize("name", sorted(PLAIN | ARITHMETIC))
def test_arithmetic_stands_where_torch_alone_is_imported(name: str) -> None:
    """Its neighbours too, or it could not be tested without ComfyUI."""
    elsewhere, neighbours = imported(FOLDER / f"{name}.py")
    if name in PLAIN:
        allowed, beside = {"comfyui_version"} if name == "version" else set(), PLAIN
    else:
        allowed, beside = {"torch"}, PLAIN | ARITHMETIC
    assert elsewhere <= allowed
    assert neighbours <= beside


def test_the_pack_has_a_licence_of_its_own_and_the_rest_never_imports_it() -> None:
    assert "GNU GENERAL PUBLIC LICENSE\n" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    for file in FILES:
        assert file.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n")
    for file in [ROOT / "bot.py", *(ROOT / "modules").rglob("*.py")]:
        elsewhere, _ = imported(file)
        assert not elsewhere & {"comfy_custom_nodes", *COMFYUI_ITSELF}, file


def test_the_bot_and_the_pack_agree_on_version_nodes_and_routes() -> None:
    assert assigned("version.py")["VERSION"] == pack.PACK_VERSION
    source = (FOLDER / "__init__.py").read_text(encoding="utf-8")
    (shown,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NODE_DISPLAY_NAME_MAPPINGS"
    )
    assert set(shown) == set(pack.CLASSES)
    saving = (FOLDER / "saving.py").read_text(encoding="utf-8")
    routes = set(re.findall(r'@routes\.\w+\("([^"]+)"\)', saving))
    assert routes == {pack.VERSION_ROUTE, pack.PICTURE_ROUTE + "{key}"}
    assert f'"{pack.PREVIEW_EVENT}"' in (FOLDER / "previews.py").read_text(encoding="utf-8")


def test_the_packs_page_lists_its_nodes_and_the_versions_that_were_run() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \(", page, re.MULTILINE)) == set(pack.CLASSES)
    measured = re.findall(r"part: fidelity on ComfyUI (\S+)", (ROOT / "docs" / "fidelity.md").read_text())
    assert len(measured) == 2
    for version in measured:
        assert version in page
