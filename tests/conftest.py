"""What holds for every test."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # the environment of the node tests has no Hypothesis
    from hypothesis import settings

    # a slow moment of a busy machine is no fault of the example that was tried in it
    settings.register_profile("fullet", deadline=None)
    settings.load_profile("fullet")
