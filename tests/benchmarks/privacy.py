"""Batches of strangers through the whole bot, with faults among them: what of one reaches another."""

from __future__ import annotations

import logging
import random
import tempfile
from pathlib import Path

from tests.benchmarks.subject import Figure, Measurement, Subject
from tests.strangers import crowded_room, run_batches

BATCHES = 1_000


async def measure(run: int) -> Measurement:
    logging.disable(logging.CRITICAL)  # the bot tells of every fault, as it should
    try:
        with tempfile.TemporaryDirectory(prefix="fullet-bench-") as folder:
            async with crowded_room(Path(folder)) as room:
                tally = await run_batches(room, random.Random(run), BATCHES)
                fused = sum(span.rows > 1 for span in room.comfy.sampler_log)
    finally:
        logging.disable(logging.NOTSET)
    return {
        "privacy_foreign_bytes": tally.foreign,
        "privacy_files": tally.files,
        "privacy_fused_runs": fused,
        "privacy_refused": tally.refused,
    }


SUBJECT = Subject(
    name="privacy",
    measure=measure,
    once=True,
    figures=(
        Figure(
            name="privacy_foreign_bytes",
            unit="B",
            about=f"{BATCHES:,} batches of 2 to 6 strangers, prompts and negatives of their own or edits of "
            "their own pictures, one batch in eight in trouble: bytes of somebody else's in delivered files "
            "and messages; a picture that is not what its request gives alone counts whole",
            target=0,
        ),
        Figure(name="privacy_files", unit="", about="delivered files that were looked at"),
        Figure(name="privacy_fused_runs", unit="", about="runs of two or more people's pictures among them"),
        Figure(
            name="privacy_refused", unit="", about="jobs that ended without a picture, because of the trouble"
        ),
    ),
)
