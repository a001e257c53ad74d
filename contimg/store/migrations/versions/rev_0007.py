"""Nights, campaigns, copies of products in other places."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from contimg.sky.regions import footprint_cells

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Columns of tables that exist: table, name, type. They are empty in rows of an earlier version.
_COLUMNS: tuple[tuple[str, str, Any], ...] = (("events", "author", sa.Text()),)
# Tables in the order of their creation.
_TABLES: tuple[str, ...] = ("nights", "night_notes", "tile_interference", "metric_hours", "mosaic_cells")
_NIGHT_COLUMNS = ["processing", "group_id", "verdict", "rms_jy", "expected_rms_jy", "catalogue_flux_ratio",
                  "catalogue_offset_arcsec"]  # fmt: skip


def upgrade() -> None:
    """Add the columns and create the tables."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    _create_nights()
    _create_metric_hours()
    _create_mosaic_cells()


def downgrade() -> None:
    """Drop the tables and the columns."""
    op.drop_index("ix_images_night", "images")
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
