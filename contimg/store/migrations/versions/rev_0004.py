"""Acknowledged alerts, discarded files, silences, maintenance windows, the rule of an event, and numbers of images."""

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
    ("subband_files", "discarded_at", sa.Double()),
    ("images", "history_rms_jy", sa.Double()),
    ("images", "edge_noise_ratio", sa.Double()),
    ("images", "hands", sa.String(length=16)),
    ("images", "hand_ratio", sa.Double()),
    ("images", "hand_ratio_error", sa.Double()),
    ("images", "gain_hand_ratio", sa.Double()),
    ("images", "catalogue_faint_ratio", sa.Double()),
    ("images", "sources_found", sa.BigInteger()),
    ("images", "calibration_grade", sa.String(length=16)),
)
_FILL_MISSING_SUBBANDS = (
    "UPDATE images SET missing_subbands = "
    "COALESCE((SELECT ms_index.missing_subbands FROM ms_index WHERE ms_index.id = images.ms_id), '[]')"
)


def upgrade() -> None:
    """Add the columns and the table of silences; earlier images get the missing subbands of their Measurement Sets."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    op.add_column("images", sa.Column("missing_subbands", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("ms_index", sa.Column("bad_antennas", sa.JSON(), nullable=False, server_default="{}"))
    op.execute(_FILL_MISSING_SUBBANDS)
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
    op.drop_column("ms_index", "bad_antennas")
    op.drop_column("images", "missing_subbands")
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
