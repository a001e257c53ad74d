"""Sources, their measurements and statistics, candidates of variable or new sources."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Columns of tables that exist: table, name, type. They are empty in rows of an earlier version.
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("images", "sun_distance_deg", sa.Double()),
    ("images", "sun_jy", sa.Double()),
)
_STATISTICS = (
    "mean_jy", "weighted_mean_jy", "weighted_mean_error_jy", "eta", "eta_without_extreme", "modulation_index", "vs",
    "m", "trend_jy_per_day", "trend_error_jy_per_day",
)  # fmt: skip
_EXTREMES = ("first_mjd", "last_mjd", "last_jy", "last_error_jy", "high_jy", "high_mjd", "low_jy", "low_mjd")


def upgrade() -> None:
    """Add the columns and create the tables."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    _create_sources()
    _create_measurements()
    _create_candidates()


def downgrade() -> None:
    """Drop the tables and the columns."""
    for table in (
        "candidate_notes", "candidates", "source_statistics", "measurements", "measured_epochs", "source_identifiers",
        "sources",
    ):  # fmt: skip
        op.drop_table(table)
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=False),
        sa.Column("dec_deg", sa.Double(), nullable=False),
        sa.Column("position_error_deg", sa.Double(), nullable=True),
        sa.Column("flux_jy", sa.Double(), nullable=True),
        sa.Column("healpix", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("ix_sources_healpix", "sources", ["healpix"])
    op.create_table(
        "source_identifiers",
        sa.Column("catalogue", sa.String(length=128), nullable=False),
        sa.Column("identifier", sa.String(length=64), nullable=False),
        sa.Column("source_id", _KEY, nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("catalogue", "identifier"),
    )
    op.create_index("ix_source_identifiers_source_id", "source_identifiers", ["source_id"])


def _create_measurements() -> None:
    op.create_table(
        "measured_epochs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("mosaic_id", _KEY, nullable=True),
        sa.Column("fits_path", sa.String(length=1024), nullable=False),
        sa.Column("mjd", sa.Double(), nullable=False),
        sa.Column("freq_hz", sa.Double(), nullable=True),
        sa.Column("beam_major_arcsec", sa.Double(), nullable=True),
        sa.Column("beam_minor_arcsec", sa.Double(), nullable=True),
        sa.Column("beam_angle_deg", sa.Double(), nullable=True),
        sa.Column("error_scale", sa.Double(), nullable=False),
        sa.Column("calibration_class", sa.String(length=16), nullable=True),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.Column("factor_error", sa.Double(), nullable=True),
        sa.Column("offset_jy", sa.Double(), nullable=False),
        sa.Column("scatter", sa.Double(), nullable=False),
        sa.Column("reference_sources", sa.BigInteger(), nullable=False),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("catalogue_normalisation", sa.JSON(), nullable=True),
        sa.Column("source_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["mosaic_id"], ["mosaics.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_measured_epochs_epoch", "measured_epochs", ["processing", "epoch"], unique=True)
    op.create_index("ix_measured_epochs_mosaic_id", "measured_epochs", ["mosaic_id"])
    op.create_index("ix_measured_epochs_mjd", "measured_epochs", ["mjd"])
    op.create_table(
        "measurements",
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("flux_jy", sa.Double(), nullable=True),
        sa.Column("flux_error_jy", sa.Double(), nullable=True),
        sa.Column("local_rms_jy", sa.Double(), nullable=True),
        sa.Column("pb_permille", sa.SmallInteger(), nullable=True),
        sa.Column("edge_distance_arcsec", sa.Integer(), nullable=False),
        sa.Column("centre_distance_arcsec", sa.Integer(), nullable=False),
        sa.Column("blend_group", sa.Integer(), nullable=True),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"]),
        sa.ForeignKeyConstraint(["epoch_id"], ["measured_epochs.id"]),
        sa.PrimaryKeyConstraint("source_id", "day", "epoch_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_measurements_epoch_id", "measurements", ["epoch_id"])
    op.create_table(
        "source_statistics",
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("source_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in _STATISTICS),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _EXTREMES),
        sa.Column("last_day", sa.BigInteger(), nullable=False),
        sa.Column("sums", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("processing", "source_id"),
    )
    op.create_index("ix_source_statistics_source_id", "source_statistics", ["source_id"])


def _create_candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("source_id", _KEY, nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=True),
        sa.Column("mjd", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    is_open = sa.text("state <> 'dismissed'")
    op.create_index(
        "uq_candidate_open", "candidates", ["source_id", "processing", "kind"], unique=True, sqlite_where=is_open,
        postgresql_where=is_open,
    )  # fmt: skip
    op.create_index("ix_candidates_source_id", "candidates", ["source_id"])
    op.create_index("ix_candidates_state_mjd", "candidates", ["state", "mjd"])
    op.create_table(
        "candidate_notes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("candidate_id", _KEY, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_candidate_notes_candidate_id", "candidate_notes", ["candidate_id"])
