"""The first schema: jobs and their pictures, sessions, people, the lease."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything, and the two rows that always exist."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("queued_at", sa.Double, nullable=False),
        sa.Column("engine", sa.Text),
        sa.Column("batch_id", sa.String(36)),
        sa.Column("slot", sa.BigInteger),
        sa.Column("handed_over", sa.BigInteger),
        sa.Column("batch_size", sa.BigInteger),
        sa.Column("run_started_at", sa.Double),
        sa.Column("run_ended_at", sa.Double),
        sa.Column("posted_in", sa.BigInteger),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("ended_at", sa.Double),
        sa.Column("error_key", sa.Text),
        sa.Column("error_reason", sa.Text),
    )
    op.create_index("jobs_of_user", "jobs", ["user_id", "number"])
    op.create_index("jobs_by_message", "jobs", ["message_id"])
    op.create_index("jobs_by_end", "jobs", ["ended_at"])
    op.create_table(
        "sources",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "job_sources",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("ix_job_sources_job_id", "job_sources", ["job_id"])
    op.create_table(
        "pictures",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("media_type", sa.String(40), nullable=False),
        sa.Column("width", sa.BigInteger, nullable=False),
        sa.Column("height", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_pictures_user_id", "pictures", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.Double, nullable=False),
        sa.Column("warned", sa.Boolean, nullable=False),
    )
    op.create_index("ix_sessions_channel_id", "sessions", ["channel_id"])
    op.create_table(
        "preferences",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model", sa.Text),
        sa.Column("aspect", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("previews", sa.Boolean, nullable=False),
        sa.Column("notify", sa.Boolean, nullable=False),
        sa.Column("direct_message", sa.Boolean, nullable=False),
    )
    op.create_table(
        "blocks",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("blocked_at", sa.Double, nullable=False),
        sa.Column("blocked_by", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "quotas",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "status_messages",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
    )
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "jobs", "value": 0}])
    lease = op.create_table(
        "lease",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.bulk_insert(lease, [{"id": 1, "owner": "", "epoch": 0, "expires_at": 0.0}])
