"""People have a style and a LoRA that they prefer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two more columns; nobody has chosen yet."""
    op.add_column("preferences", sa.Column("style", sa.Text))
    op.add_column("preferences", sa.Column("lora", sa.Text))
