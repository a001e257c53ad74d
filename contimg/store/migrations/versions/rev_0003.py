"""What ended the cleaning of an image, and the dishes of its primary beam."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_IMAGE_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("clean_stopped_by", sa.String(length=32)),
    ("iterations", sa.BigInteger()),
    ("uncleaned_jy", sa.Double()),
    ("dish_diameter_m", sa.Double()),
)


def upgrade() -> None:
    """Add the columns; they are null for earlier images."""
    for name, column_type in _IMAGE_COLUMNS:
        op.add_column("images", sa.Column(name, column_type, nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("images") as batch:
        for name, _ in _IMAGE_COLUMNS:
            batch.drop_column(name)
