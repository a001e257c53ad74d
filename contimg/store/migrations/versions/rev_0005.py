"""Calibration class and age, validity of gains, antennas' history, comparison with the catalogue, mosaics."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Of the images and of the Measurement Sets.
_CALIBRATION: tuple[tuple[str, Any], ...] = (
    ("calibration_class", sa.String(length=16)),
    ("second_set", sa.String(length=128)),
    ("bandpass_age_h", sa.Double()),
    ("gain_age_h", sa.Double()),
    ("gain_snr", sa.Double()),
    ("phase_residual_deg", sa.Double()),
)
_COMPARISON = (
    "catalogue_offset_east_arcsec", "catalogue_offset_north_arcsec", "catalogue_offset_error_arcsec",
    "catalogue_distortion_arcsec", "catalogue_flux_error", "catalogue_outer_ratio", "catalogue_completeness",
    "shift_east_arcsec", "shift_north_arcsec",
)  # fmt: skip
_IMAGE_TABLES = (
    "catalogue_offset_field", "catalogue_flux_by_snr", "catalogue_flux_by_radius", "catalogue_completeness_by_flux",
    "subtracted_sources",
)  # fmt: skip
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    *((table, name, column_type) for table in ("images", "ms_index") for name, column_type in _CALIBRATION),
    ("images", "catalogue_name", sa.String(length=128)),
    ("images", "catalogue_kind", sa.String(length=16)),
    *(("images", name, sa.Double()) for name in _COMPARISON),
    ("images", "beam_pixels", sa.Double()),
    ("images", "subtracted_count", sa.BigInteger()),
    ("images", "subtracted_jy", sa.Double()),
    ("calibrations", "gains_valid_from_mjd", sa.Double()),
    ("calibrations", "gains_valid_to_mjd", sa.Double()),
)
_MOSAIC_INDEXES = {
    "ix_mosaics_epoch": ["epoch"],
    "ix_mosaics_reference_s": ["reference_s"],
    "ix_mosaics_created_at": ["created_at"],
    "ix_mosaics_strip_reference": ["strip", "reference_s"],
}
_INPUT_INDEXES = {"ix_mosaic_inputs_mosaic_id": ["mosaic_id"], "ix_mosaic_inputs_image_id": ["image_id"]}


def upgrade() -> None:
    """Add the columns; gains of earlier caltable sets are valid for an hour either side; create the tables."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    for name in _IMAGE_TABLES:
        op.add_column("images", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    op.execute("UPDATE calibrations SET gains_valid_from_mjd = mjd - 1.0 / 24, gains_valid_to_mjd = mjd + 1.0 / 24")
    _create_antennas()
    _create_mosaics()


def downgrade() -> None:
    """Drop the tables, the columns, and the jobs of epochs, which an earlier version does not have."""
    op.drop_table("mosaic_inputs")
    op.drop_table("mosaics")
    op.execute("DELETE FROM stage_runs WHERE job_id IN (SELECT id FROM jobs WHERE kind = 'epoch')")
    op.execute("DELETE FROM jobs WHERE kind = 'epoch'")
    op.drop_table("antenna_outages")
    op.drop_table("antenna_history")
    for name in reversed(_IMAGE_TABLES):
        op.drop_column("images", name)
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)


def _create_antennas() -> None:
    op.create_table(
        "antenna_history",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("set_name", sa.String(length=128), nullable=True),
        sa.Column("mjd", sa.Double(), nullable=False),
        sa.Column("antenna", sa.String(length=32), nullable=False),
        sa.Column("polarisation", sa.String(length=1), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("amplitude", sa.Double(), nullable=True),
        sa.Column("phase_deg", sa.Double(), nullable=True),
        sa.Column("snr", sa.Double(), nullable=True),
        sa.Column("flagged_fraction", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_antenna_history_job_id", "antenna_history", ["job_id"])
    op.create_index("ix_antenna_history_mjd", "antenna_history", ["mjd", "antenna"])
    op.create_index("ix_antenna_history_antenna", "antenna_history", ["antenna", "mjd"])
    notable = sa.text("(state <> 'good' OR flagged_fraction >= 0.2)")
    op.create_index(
        "ix_antenna_history_notable", "antenna_history", ["mjd"], sqlite_where=notable, postgresql_where=notable
    )
    op.create_table(
        "antenna_outages",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("antenna", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("began_mjd", sa.Double(), nullable=False),
        sa.Column("ended_mjd", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_antenna_outages_began", "antenna_outages", ["began_mjd"])
    op.create_index("ix_antenna_outages_ended_mjd", "antenna_outages", ["ended_mjd"])
    lasting = sa.text("ended_mjd IS NULL")
    op.create_index(
        "uq_antenna_outage_on", "antenna_outages", ["antenna"], unique=True, sqlite_where=lasting,
        postgresql_where=lasting,
    )  # fmt: skip


def _create_mosaics() -> None:
    op.create_table(
        "mosaics",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("strip", sa.BigInteger(), nullable=False),
        sa.Column("reference_s", sa.Double(), nullable=False),
        sa.Column("rms_jy", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
    )
    for name, columns in _MOSAIC_INDEXES.items():
        op.create_index(name, "mosaics", columns)
    op.create_table(
        "mosaic_inputs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("mosaic_id", _KEY, nullable=False),
        sa.Column("image_id", _KEY, nullable=True),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("image_created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["mosaic_id"], ["mosaics.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
    )
    for name, columns in _INPUT_INDEXES.items():
        op.create_index(name, "mosaic_inputs", columns)
