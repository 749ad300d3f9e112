"""What runs have taught about servers outlives the process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "learned",
        sa.Column("engine", sa.String(300), primary_key=True),
        sa.Column("model", sa.String(100), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("row_limit", sa.BigInteger),
        sa.Column("proven", sa.BigInteger, nullable=False),
        sa.Column("patience", sa.BigInteger, nullable=False),
        sa.Column("why_alone", sa.Text),
    )
