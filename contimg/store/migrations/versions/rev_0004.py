"""Acknowledged alerts, silences and maintenance windows, and the rule that an event belongs to."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("alerts", "acknowledged_at", sa.Double()),
    ("alerts", "acknowledged_by", sa.String(length=255)),
    ("alerts", "acknowledged_note", sa.Text()),
    ("events", "rule", sa.String(length=32)),
)


def upgrade() -> None:
    """Add the columns, null for earlier rows, and the table of silences."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    op.create_table(
        "silences",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=True),
        sa.Column("begins_at", sa.Double(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"])


def downgrade() -> None:
    """Drop the columns and the table."""
    op.drop_table("silences")
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
