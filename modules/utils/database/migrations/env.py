"""Runs the migrations on the connection that `bring_up_to_date` opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from modules.utils.database.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
