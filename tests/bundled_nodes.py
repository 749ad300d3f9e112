"""`python -m tests.bundled_nodes OBJECT_INFO.json[.gz]` writes modules/ai/workflows/node_table.json.gz.

OBJECT_INFO is what ``GET /object_info`` of a ComfyUI without custom nodes gives. Only facts are kept: names,
types, defaults, limits, choices and outputs. Texts for people and the names of that server's files stay out.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from modules.ai.workflows import node_table
from modules.ai.workflows.reduced_table import reduced

if __name__ == "__main__":
    source = Path(sys.argv[1]).read_bytes()
    found = reduced(json.loads(gzip.decompress(source) if sys.argv[1].endswith(".gz") else source))
    text = json.dumps(found, separators=(",", ":")).encode()
    Path(node_table.__file__).with_name("node_table.json.gz").write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(found)} classes")
