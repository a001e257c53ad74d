"""Class and age of a calibration, validity of gains."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Of the images and of the Measurement Sets.
_CALIBRATION: tuple[tuple[str, Any], ...] = (
    ("calibration_class", sa.String(length=16)),
    ("second_set", sa.String(length=128)),
    ("bandpass_age_h", sa.Double()),
    ("gain_age_h", sa.Double()),
    ("gain_snr", sa.Double()),
    ("phase_residual_deg", sa.Double()),
)
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    *((table, name, column_type) for table in ("images", "ms_index") for name, column_type in _CALIBRATION),
    ("calibrations", "gains_valid_from_mjd", sa.Double()),
    ("calibrations", "gains_valid_to_mjd", sa.Double()),
)


def upgrade() -> None:
    """Add the columns; gains of earlier caltable sets are valid for an hour either side."""
    for table, name, column_type in _COLUMNS:
        op.add_column(table, sa.Column(name, column_type, nullable=True))
    op.execute("UPDATE calibrations SET gains_valid_from_mjd = mjd - 1.0 / 24, gains_valid_to_mjd = mjd + 1.0 / 24")


def downgrade() -> None:
    """Drop the columns."""
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
