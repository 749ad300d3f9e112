"""People have a strength that they prefer for start pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """One more column; nobody has chosen yet."""
    op.add_column("preferences", sa.Column("start_strength", sa.Double))
