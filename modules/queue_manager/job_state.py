"""Where an active job stands. Its home is the job's entry in the fair queue; nobody infers it."""

from __future__ import annotations

from typing import Literal

JobState = Literal["waiting", "taken", "running", "arriving"]
"""``waiting`` in the queue; ``taken`` by a server that has not begun it; ``running``: being made now;
``arriving``: made, and on its way to its owner. Then the job has ended, and has no entry any more."""
