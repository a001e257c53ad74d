"""Nights, campaigns, copies of products in other places."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Columns of tables that exist: table, name, type. They are empty in rows of an earlier version.
_COLUMNS: tuple[tuple[str, str, Any], ...] = ()
# Tables in the order of their creation.
_TABLES: tuple[str, ...] = ()


def upgrade() -> None:
    """Add the columns and create the tables."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))


def downgrade() -> None:
    """Drop the tables and the columns."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
