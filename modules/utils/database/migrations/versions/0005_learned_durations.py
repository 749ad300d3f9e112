"""How long runs took outlives the process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """One more column; what was learned before says nothing of durations."""
    op.add_column("learned", sa.Column("durations", sa.Text, nullable=False, server_default=""))
