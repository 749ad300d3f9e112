"""What is said of a job that ended in a former process."""

from __future__ import annotations

import pytest

from modules.discord.delivery.job_records import error_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import GenerationError, ModelGone
from modules.queue_manager.jobs import JobId
from modules.utils.database.rows import JobRecord
from tests.fakes import request


def record_of(error: GenerationError) -> JobRecord:
    return JobRecord(
        job_id=JobId("0" * 32),
        number=1,
        request=request(1),
        state="failed",
        queued_at=0.0,
        error_key=error.message_key,
        error_reason=error.reason,
    )


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("en-US", "No GPU has flux any more. Please choose another model."),
        ("es-ES", "Ya no hay ninguna GPU que tenga flux. Elige otro modelo."),
    ],
)
def test_a_model_that_is_gone_is_named_after_a_restart_too(locale: str, said: str) -> None:
    error = ModelGone("no server can run Flux any more", model="Flux")
    assert Translations.load().error(locale, error_of(record_of(error))) == said
