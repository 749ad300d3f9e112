"""Fixtures that several files share."""

from __future__ import annotations

from tests.postgres import migrated, postgres, postgres_url

__all__ = ["migrated", "postgres", "postgres_url"]
