"""What the database remembers about sessions, jobs and people, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modules.queue_manager.jobs import GenerationRequest, JobId, Size
from modules.queue_manager.ports import RunReport

JobRecordState = Literal[
    "queued", "dispatched", "finished", "delivered", "kept", "deleted", "failed", "cancelled"
]
"""``finished``: the picture was made, its delivery is not confirmed; ``kept``: it could not be posted, its
bytes wait in the database; ``deleted``: delivered, then deleted by its owner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord:
    """A private channel and its owner. ``last_used_at`` in Unix seconds; ``warned``: the channel already says
    that it will be closed."""

    guild_id: int
    user_id: int
    channel_id: int
    last_used_at: float
    warned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """What is known of a job, ended or not.

    ``channel_id`` and ``message_id`` say where the result was posted; times are Unix seconds;
    ``report`` is there once a run made the picture; ``error_key`` is the failed job's message key
    and ``error_reason`` its reason, cut; ``size`` is that of the delivered file, if that is known.
    """

    job_id: JobId
    number: int
    request: GenerationRequest
    state: JobRecordState
    queued_at: float
    channel_id: int | None = None
    message_id: int | None = None
    ended_at: float | None = None
    report: RunReport | None = None
    error_key: str | None = None
    error_reason: str | None = None
    size: Size | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserPreferences:
    """What a person chose in ``/settings``; None: the default of the bot or of their client."""

    model: str | None = None
    aspect: str | None = None
    locale: str | None = None
    style: str | None = None
    start_strength: float | None = None
    lora: str | None = None
    previews: bool = True
    notify: bool = True
    direct_message: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusMessageRecord:
    """The message that shows a job's progress."""

    job_id: JobId
    channel_id: int
    message_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long things are kept. ``image_disk_mb`` bounds stored pictures and inputs together (10^6 bytes)."""

    history_days: float = 90.0
    image_days: float = 7.0
    image_disk_mb: float = 2048.0
