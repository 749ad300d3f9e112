"""What ``check --fusion`` found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "fusion_checks",
        sa.Column("engine", sa.String(300), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("checked_at", sa.Double, nullable=False),
        sa.Column("gain", sa.Double, nullable=False),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("why_alone", sa.Text),
    )
