"""How many examples Hypothesis tries: enough for a run of the tests, or as many as a long search wants."""

from __future__ import annotations

import os

THOROUGH = float(os.environ.get("THOROUGH") or 1)
"""How many times as many examples as usual to try, such as 20 for a night."""


def examples(count: int) -> int:
    """``count``, or as many times more as the environment variable ``THOROUGH`` says."""
    return max(int(count * THOROUGH), 1)
