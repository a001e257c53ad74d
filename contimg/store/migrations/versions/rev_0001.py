"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "alerts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_alerts_ended_at", "alerts", ["ended_at"])
    op.create_index(
        "uq_alert_on",
        "alerts",
        ["rule"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )

    op.create_table(
        "control",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "events",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_group_id", "events", ["group_id"])
    op.create_index("ix_events_level", "events", ["level", "id"])

    op.create_table(
        "groups",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("reference_s", sa.Double(), nullable=False),
        sa.Column("echo", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("enqueued_at", sa.Double(), nullable=True),
        sa.Column("collecting_since", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_groups_completed_at", "groups", ["completed_at"])
    op.create_index("ix_groups_created_at", "groups", ["created_at"])
    op.create_index("ix_groups_reference_s", "groups", ["reference_s"])
    op.create_index("ix_groups_state_reference", "groups", ["state", "reference_s"])
    op.create_index("ix_groups_state_enqueued", "groups", ["state", "enqueued_at", "reference_s"])
    op.create_index("ix_groups_state_not_before", "groups", ["state", "not_before"])
    op.create_index("ix_groups_updated_at", "groups", ["updated_at"])
    op.create_index("ix_groups_state_updated", "groups", ["state", "updated_at"])
    op.create_index("ix_groups_partial_reference", "groups", ["partial", "reference_s"])

    op.create_table(
        "metrics",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_metrics_name_at", "metrics", ["name", "at", "value"])

    op.create_table(
        "calibrations",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("set_name", sa.String(length=128), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("calibrator", sa.String(length=64), nullable=False),
        sa.Column("reference_antenna", sa.String(length=32), nullable=True),
        sa.Column("mjd", sa.Double(), nullable=False),
        sa.Column("valid_from_mjd", sa.Double(), nullable=False),
        sa.Column("valid_to_mjd", sa.Double(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("dec_deg", sa.Double(), nullable=True),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("superseded_by", sa.String(length=128), nullable=True),
        sa.Column("retired", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path"),
    )
    op.create_index("ix_calibrations_set_name", "calibrations", ["set_name"])
    op.create_index("ix_calibrations_mjd", "calibrations", ["mjd"])
    op.create_index("ix_calibrations_validity", "calibrations", ["valid_from_mjd", "valid_to_mjd"])

    op.create_table(
        "images",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("fits_path", sa.String(length=1024), nullable=False),
        sa.Column("beam_fits_path", sa.String(length=1024), nullable=True),
        sa.Column("png_path", sa.String(length=1024), nullable=True),
        sa.Column("thumbnail_path", sa.String(length=1024), nullable=True),
        sa.Column("rms_jy", sa.Double(), nullable=False),
        sa.Column("peak_jy", sa.Double(), nullable=False),
        sa.Column("dynamic_range", sa.Double(), nullable=False),
        sa.Column("beam_major_arcsec", sa.Double(), nullable=False),
        sa.Column("beam_minor_arcsec", sa.Double(), nullable=False),
        sa.Column("beam_angle_deg", sa.Double(), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=False),
        sa.Column("dec_deg", sa.Double(), nullable=False),
        sa.Column("mjd", sa.Double(), nullable=False),
        sa.Column("freq_hz", sa.Double(), nullable=False),
        sa.Column("pixels", sa.BigInteger(), nullable=False),
        sa.Column("cell_arcsec", sa.Double(), nullable=False),
        sa.Column("calibration_set", sa.String(length=128), nullable=True),
        sa.Column("calibration_note", sa.Text(), nullable=True),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("verdict_reasons", sa.JSON(), nullable=False),
        sa.Column("expected_rms_jy", sa.Double(), nullable=True),
        sa.Column("minimum_jy", sa.Double(), nullable=True),
        sa.Column("bowl_jy", sa.Double(), nullable=True),
        sa.Column("unflagged_fraction", sa.Double(), nullable=True),
        sa.Column("catalogue_matches", sa.BigInteger(), nullable=True),
        sa.Column("catalogue_offset_arcsec", sa.Double(), nullable=True),
        sa.Column("catalogue_flux_ratio", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fits_path"),
        sa.UniqueConstraint("group_id"),
    )
    op.create_index("ix_images_created_at", "images", ["created_at"])
    op.create_index("ix_images_mjd", "images", ["mjd"])
    op.create_index("ix_images_verdict_mjd", "images", ["verdict", "mjd"])

    op.create_table(
        "ms_index",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("mjd_start", sa.Double(), nullable=False),
        sa.Column("mjd_end", sa.Double(), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=False),
        sa.Column("dec_deg", sa.Double(), nullable=False),
        sa.Column("integrations", sa.BigInteger(), nullable=False),
        sa.Column("channels", sa.BigInteger(), nullable=False),
        sa.Column("antennas", sa.BigInteger(), nullable=False),
        sa.Column("missing_subbands", sa.JSON(), nullable=False),
        sa.Column("flagged_fraction", sa.Double(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("calibrated_at", sa.Double(), nullable=True),
        sa.Column("calibration_set", sa.String(length=128), nullable=True),
        sa.Column("calibration_note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("group_id"),
        sa.UniqueConstraint("path"),
    )
    op.create_index("ix_ms_index_mjd_start", "ms_index", ["mjd_start"])

    op.create_table(
        "stage_runs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_class", sa.String(length=64), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("peak_rss_bytes", sa.BigInteger(), nullable=True),
        sa.Column("bytes_read", sa.BigInteger(), nullable=True),
        sa.Column("bytes_written", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_stage_runs_ended_at", "stage_runs", ["ended_at"])
    op.create_index("ix_stage_runs_group_id", "stage_runs", ["group_id"])
    op.create_index(
        "uq_stage_committed",
        "stage_runs",
        ["group_id", "stage"],
        unique=True,
        sqlite_where=sa.text("outcome = 'committed'"),
        postgresql_where=sa.text("outcome = 'committed'"),
    )

    op.create_table(
        "subband_files",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=True),
        sa.Column("subband", sa.BigInteger(), nullable=True),
        sa.Column("time_s", sa.Double(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime", sa.Double(), nullable=False),
        sa.Column("arrived_at", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path"),
    )
    op.create_index("ix_subband_files_group_id", "subband_files", ["group_id"])
    op.create_index("ix_subband_files_state_arrived", "subband_files", ["state", "arrived_at"])
    op.create_index(
        "uq_subband_in_group",
        "subband_files",
        ["group_id", "subband"],
        unique=True,
        sqlite_where=sa.text("state <> 'set_aside'"),
        postgresql_where=sa.text("state <> 'set_aside'"),
    )


def downgrade() -> None:
    """Drop every table, those that refer to groups first."""
    for table in (
        "subband_files",
        "stage_runs",
        "ms_index",
        "images",
        "calibrations",
        "metrics",
        "groups",
        "events",
        "control",
        "alerts",
    ):
        op.drop_table(table)
