"""docs/workflows.md tells of each node class of the shared workflows what becomes of it in a batch.

``python -m tests.unit.repository.test_workflows_page`` writes its table again.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from modules.ai.fusion.row_safety import KNOWN, MIXING
from modules.ai.fusion.samplers import SAMPLERS
from modules.ai.workflows.constants import FOLDED
from modules.ai.workflows.folding import SWITCH
from modules.ai.workflows.graph import read_graph, upstream
from modules.ai.workflows.node_table import bundled_table
from tests.real_comfy.test_whole_graphs import CASES

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "workflows.md"
EXPORTS = ROOT / "tests" / "data" / "frontend_exports.json.gz"
TABLE, END = "<!-- table -->\n", "<!-- end -->"
OUTPUTS = ("SaveImage", "SaveImageAdvanced", "SaveImageWebsocket", "PreviewImage")
STEERING = {"MODEL", "GUIDER", "SAMPLER"}
NOT_KNOWN = "it is not known to keep the pictures of a batch apart"


def classes() -> list[str]:
    """Those that a picture of a shared workflow depends on."""
    found: set[str] = set()
    for export in json.loads(gzip.decompress(EXPORTS.read_bytes())).values():
        graph = read_graph(export)
        ends = [node_id for node_id, node in graph.items() if node.class_type in OUTPUTS]
        found |= {graph[node_id].class_type for node_id in upstream(graph, ends)}
    return sorted(found)


def what_becomes_of(class_type: str) -> str:
    """As the code has it."""
    outputs = (bundled_table().get(class_type) or {}).get("output", ())
    if class_type in MIXING:
        return f"one by one: {MIXING[class_type]}"
    if class_type in SAMPLERS:
        return "joined"
    if class_type in KNOWN:
        return "shared"
    if class_type in FOLDED | {SWITCH}:
        return "folded"
    return f"one by one: {NOT_KNOWN}" if STEERING & set(outputs) else "each person's"


def table() -> Iterator[str]:
    """Its lines."""
    tried = {node["class_type"] for drawing in CASES.values() for node in drawing.nodes.values()}
    yield from ("| node class | what becomes of it | |", "|---|---|---|")
    for class_type in classes():
        yield f"| `{class_type}` | {what_becomes_of(class_type)} | {'✓' if class_type in tried else ''} |"


def test_the_page_tells_what_the_code_does() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(TABLE)[2].partition(END)[0]
    assert written.splitlines() == list(table())


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(TABLE)
    lines = "".join(f"{line}\n" for line in table())
    PAGE.write_text(f"{before}{TABLE}{lines}{END}{rest.partition(END)[2]}", encoding="utf-8")
