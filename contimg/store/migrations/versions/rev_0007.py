"""Nights, campaigns, copies of products in other places."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from contimg.sky.regions import footprint_cells

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Columns of tables that exist: table, name, type. They are empty in rows of an earlier version.
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("events", "author", sa.Text()), ("stage_runs", "core_s", sa.Double()),
)  # fmt: skip
# Tables in the order of their creation.
_TABLES: tuple[str, ...] = (
    "nights", "night_notes", "tile_interference", "metric_hours", "mosaic_cells",
    "product_files", "archive_copies", "archive_places", "campaigns",
)  # fmt: skip
_NIGHT_COLUMNS = ["group_id", "processing", "verdict", "rms_jy", "expected_rms_jy", "catalogue_flux_ratio",
                  "catalogue_offset_arcsec"]  # fmt: skip
_CHART_COLUMNS = ["mjd", "verdict", "rms_jy", "expected_rms_jy", "catalogue_flux_ratio", "unflagged_fraction",
                  "calibration_set"]  # fmt: skip


def upgrade() -> None:
    """Add the columns and create the tables."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    _create_nights()
    _create_metric_hours()
    _create_mosaic_cells()
    _create_archive()
    op.create_index("ix_images_charts", "images", _CHART_COLUMNS)
    _create_campaigns()


def downgrade() -> None:
    """Drop the tables and the columns."""
    op.drop_index("ix_images_charts", "images")
    op.drop_index("ix_images_night", "images")
    op.drop_index("ix_images_grades", "images")
    op.drop_index("ix_calibrations_processing", "calibrations")
    op.drop_index("ix_mosaics_processing", "mosaics")
    op.drop_index("ix_jobs_campaign", "jobs")
    for table in reversed(_TABLES):
        op.drop_table(table)
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)


def _create_nights() -> None:
    op.create_index("ix_images_night", "images", _NIGHT_COLUMNS)
    op.create_table(
        "nights",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "night_notes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_night_notes_day", "night_notes", ["day"])
    op.create_table(
        "tile_interference",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("reference_s", sa.Double(), nullable=False),
        sa.Column("first_freq_hz", sa.Double(), nullable=False),
        sa.Column("channel_width_hz", sa.Double(), nullable=False),
        sa.Column("fractions", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
    )
    op.create_index("ix_tile_interference_reference_s", "tile_interference", ["reference_s"])


def _create_metric_hours() -> None:
    op.create_table(
        "metric_hours",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("minimum", sa.Double(), nullable=False),
        sa.Column("maximum", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "at"),
        sqlite_with_rowid=False,
    )


def _create_mosaic_cells() -> None:
    """Create the table of the cells that mosaics cover, and fill it from the records of those that exist."""
    op.create_table(
        "mosaic_cells",
        sa.Column("cell", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mosaic_id", _KEY, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["mosaic_id"], ["mosaics.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cell", "mosaic_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_mosaic_cells_mosaic_id", "mosaic_cells", ["mosaic_id"])
    connection = op.get_bind()
    mosaics = sa.table("mosaics", sa.column("id", _KEY), sa.column("record", sa.JSON()))
    cells = sa.table("mosaic_cells", sa.column("cell", sa.Integer()), sa.column("mosaic_id", _KEY))
    last = 0
    while batch := connection.execute(
        sa.select(mosaics.c.id, mosaics.c.record).where(mosaics.c.id > last).order_by(mosaics.c.id).limit(500)
    ).all():
        last = batch[-1].id
        rows = [
            {"cell": cell, "mosaic_id": row.id}
            for row in batch
            for cell in footprint_cells(
                *(row.record[name] for name in ("ra_deg", "dec_deg", "width_pixels", "height_pixels", "cell_arcsec"))
            )
        ]
        connection.execute(sa.insert(cells), rows)


def _create_archive() -> None:
    op.create_table(
        "product_files",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("name", sa.String(length=1024), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", _KEY, nullable=True),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("night", sa.String(length=10), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path"),
    )
    op.create_index("ix_product_files_job_id", "product_files", ["job_id"])
    op.create_index("ix_product_files_created_at", "product_files", ["created_at"])
    op.create_index("ix_product_files_night", "product_files", ["night", "kind"])
    op.create_index("ix_product_files_state", "product_files", ["state", "checked_at"])
    op.create_table(
        "archive_copies",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("file_id", _KEY, nullable=False),
        sa.Column("place", sa.String(length=20), nullable=False),
        sa.Column("night", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("copied_at", sa.Double(), nullable=True),
        sa.Column("verified_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["product_files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_archive_copies_file", "archive_copies", ["file_id", "place"], unique=True)
    op.create_index("ix_archive_copies_night", "archive_copies", ["place", "night", "state"])
    op.create_index("ix_archive_copies_state", "archive_copies", ["place", "state", "verified_at"])
    op.create_table(
        "archive_places",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("preset_name", sa.String(length=64), nullable=False),
        sa.Column("preset", sa.JSON(), nullable=False),
        sa.Column("from_s", sa.Double(), nullable=False),
        sa.Column("to_s", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("ix_images_grades", "images", ["processing", "mjd", "verdict"])
    op.create_index("ix_mosaics_processing", "mosaics", ["processing"])
    op.create_index("ix_calibrations_processing", "calibrations", ["processing", "set_name"])
    of_campaigns = sa.text("processing <> 'live'")
    op.create_index(
        "ix_jobs_campaign", "jobs", ["processing", "kind", "state"], sqlite_where=of_campaigns,
        postgresql_where=of_campaigns,
    )  # fmt: skip
