"""The size of the file that was delivered, which may differ from what was asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two more columns; of what was delivered before, the size is not known."""
    op.add_column("jobs", sa.Column("width", sa.BigInteger))
    op.add_column("jobs", sa.Column("height", sa.BigInteger))
