"""The tables. Times are Unix seconds. Bytes have separate tables, so that listing jobs does not read them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Whole numbers are 64 bits wide (Discord's ids need 63), moments are doubles."""

    type_annotation_map = {int: BigInteger, float: Double, str: Text, bytes: LargeBinary}  # noqa: RUF012 (SQLAlchemy's own name)


class JobRow(Base):
    """One accepted job. ``request`` and ``key`` are JSON in ASCII, so that any text fits either database;
    ``width`` and ``height`` are those of the delivered file."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    user_id: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    request: Mapped[str]
    key: Mapped[str]
    attempts: Mapped[int]
    queued_at: Mapped[float]
    engine: Mapped[str | None]
    batch_id: Mapped[str | None] = mapped_column(String(36))
    slot: Mapped[int | None]
    handed_over: Mapped[int | None]
    batch_size: Mapped[int | None]
    run_started_at: Mapped[float | None]
    run_ended_at: Mapped[float | None]
    posted_in: Mapped[int | None]
    message_id: Mapped[int | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    ended_at: Mapped[float | None]
    error_key: Mapped[str | None]
    error_reason: Mapped[str | None]

    __table_args__ = (
        Index("jobs_of_user", "user_id", "number"),
        Index("jobs_by_message", "message_id"),
        Index("jobs_by_end", "ended_at"),
    )


class SourceRow(Base):
    """The bytes of a picture that a request starts from, or of a mask; ``key`` is their SHA-256."""

    __tablename__ = "sources"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    stored_at: Mapped[float]
    data: Mapped[bytes]


class JobSourceRow(Base):
    """Which job needs which source."""

    __tablename__ = "job_sources"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class PictureRow(Base):
    """The bytes of a person's last picture, or (``kept``) of one that could not be posted anywhere."""

    __tablename__ = "pictures"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(index=True)
    kept: Mapped[bool]
    media_type: Mapped[str] = mapped_column(String(40))
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    stored_at: Mapped[float]
    data: Mapped[bytes]


class SessionRow(Base):
    """A person's private channel in one guild."""

    __tablename__ = "sessions"

    guild_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    channel_id: Mapped[int] = mapped_column(index=True)
    last_used_at: Mapped[float]
    warned: Mapped[bool]


class PreferencesRow(Base):
    """What a person chose for themselves."""

    __tablename__ = "preferences"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model: Mapped[str | None]
    aspect: Mapped[str | None]
    style: Mapped[str | None]
    start_strength: Mapped[float | None]
    lora: Mapped[str | None]
    locale: Mapped[str | None]
    previews: Mapped[bool]
    notify: Mapped[bool]
    direct_message: Mapped[bool]


class BlockRow(Base):
    """A person who may not use the bot."""

    __tablename__ = "blocks"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    blocked_at: Mapped[float]
    blocked_by: Mapped[int | None]
    reason: Mapped[str]


class QuotaRow(Base):
    """Pictures that a person has asked for on one day (``day`` as 2026-01-31)."""

    __tablename__ = "quotas"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    used: Mapped[int]


class KeyValueRow(Base):
    """A short text under a name, such as a hash of the commands and their ids."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str]


class LearnedRow(Base):
    """What the runs of one model on one server have taught (see `jobs.Learned`)."""

    __tablename__ = "learned"

    engine: Mapped[str] = mapped_column(String(300), primary_key=True)
    model: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    row_limit: Mapped[int | None]
    proven: Mapped[int]
    patience: Mapped[int]
    why_alone: Mapped[str | None]
    durations: Mapped[str] = mapped_column(Text, server_default="")


class FusionCheckRow(Base):
    """What ``check --fusion`` last found about one model on one server (see `jobs.FusionCheck`)."""

    __tablename__ = "fusion_checks"

    engine: Mapped[str] = mapped_column(String(300), primary_key=True)
    model: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    checked_at: Mapped[float]
    gain: Mapped[float]
    row_count: Mapped[int]
    why_alone: Mapped[str | None]


class StatusMessageRow(Base):
    """The message that shows a job's progress, to be brought up to date after a crash."""

    __tablename__ = "status_messages"

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel_id: Mapped[int]
    message_id: Mapped[int]


class CounterRow(Base):
    """The last number given (or reserved) of a series."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int]


class LeaseRow(Base):
    """Which process works on this database. One row; ``epoch`` grows with each holder; ``expires_at`` is a
    moment of the database's clock."""

    __tablename__ = "lease"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str]
    epoch: Mapped[int]
    expires_at: Mapped[float]
