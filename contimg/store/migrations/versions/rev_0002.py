"""Jobs: the columns of the queue move from groups to a table of their own, and products name their job and inputs."""

# ruff: noqa: S608 (all names are constants of this file)

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key", "fk": "%(table_name)s_%(column_0_name)s_fkey"}
_PRODUCTS = ("ms_index", "images")
_MOVED = (
    "state", "stage", "attempts", "fence", "lease_owner", "lease_token", "lease_expires_at", "not_before",
    "enqueued_at", "error", "updated_at", "completed_at",
)  # fmt: skip
_GROUP_INDEXES = {
    "ix_groups_completed_at": ["completed_at"],
    "ix_groups_state_reference": ["state", "reference_s"],
    "ix_groups_state_enqueued": ["state", "enqueued_at", "reference_s"],
    "ix_groups_state_not_before": ["state", "not_before"],
    "ix_groups_updated_at": ["updated_at"],
    "ix_groups_state_updated": ["state", "updated_at"],
}
_JOB_INDEXES = {
    "ix_jobs_reference_s": ["reference_s", "key"],
    "ix_jobs_state_reference": ["state", "reference_s", "key"],
    "ix_jobs_state_enqueued": ["state", "enqueued_at", "priority", "reference_s"],
    "ix_jobs_state_not_before": ["state", "not_before"],
    "ix_jobs_completed_at": ["completed_at"],
    "ix_jobs_updated_at": ["updated_at", "key"],
    "ix_jobs_state_updated": ["state", "updated_at"],
}
_LIVE_TILE = "jobs.kind = 'tile' AND jobs.processing = 'live'"


def upgrade() -> None:
    """Make a live tile job of each group."""
    op.create_table(
        "jobs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("processing", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("reference_s", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("enqueued_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_jobs_key", "jobs", ["kind", "key", "processing"], unique=True)
    for name, columns in _JOB_INDEXES.items():
        op.create_index(name, "jobs", columns)
    moved = ", ".join(_MOVED)
    op.execute(
        f"INSERT INTO jobs (kind, key, processing, priority, reference_s, created_at, {moved}) "
        f"SELECT 'tile', id, 'live', 6, reference_s, created_at, {moved} FROM groups ORDER BY reference_s, id"
    )
    _give_job_to_runs()
    for table in (*_PRODUCTS, "calibrations"):
        _give_job_to_products(table)
    for name in _GROUP_INDEXES:
        op.drop_index(name, "groups")
    for column in _MOVED:
        op.drop_column("groups", column)
    _rename_file_state("set_aside", "quarantined")


def downgrade() -> None:
    """Put the live tile jobs back on their groups; other jobs and their products cannot be kept."""
    _rename_file_state("quarantined", "set_aside")
    op.execute("DELETE FROM stage_runs WHERE job_id NOT IN (SELECT id FROM jobs WHERE " + _LIVE_TILE + ")")
    for table in ("images", "calibrations", "ms_index"):
        op.execute(f"DELETE FROM {table} WHERE processing <> 'live'")
    _take_job_from_runs()
    for table in ("images", "calibrations", "ms_index"):
        _take_job_from_products(table)
    types: dict[str, tuple[Any, str | None]] = {
        **dict.fromkeys(("state", "stage"), (sa.String(length=16), "")),
        **dict.fromkeys(("attempts", "fence"), (sa.BigInteger(), "0")),
        "updated_at": (sa.Double(), "0"),
        "lease_owner": (sa.String(length=255), None),
        "lease_token": (sa.String(length=32), None),
        "error": (sa.Text(), None),
    }
    for column in _MOVED:
        kind, default = types.get(column, (sa.Double(), None))
        op.add_column("groups", sa.Column(column, kind, nullable=default is None, server_default=default))
        op.execute(f"UPDATE groups SET {column} = (SELECT {column} FROM jobs WHERE key = groups.id AND {_LIVE_TILE})")
    for name, columns in _GROUP_INDEXES.items():
        op.create_index(name, "groups", columns)
    op.drop_table("jobs")


def _job_of(table: str) -> str:
    return f"(SELECT jobs.id FROM jobs WHERE jobs.key = {table}.group_id AND {_LIVE_TILE})"


def _give_job_to_runs() -> None:
    op.drop_index("uq_stage_committed", "stage_runs")
    op.drop_index("ix_stage_runs_group_id", "stage_runs")
    op.add_column("stage_runs", sa.Column("job_id", _KEY, nullable=True))
    op.add_column("stage_runs", sa.Column("processing", sa.String(length=64), nullable=True))
    op.execute(f"UPDATE stage_runs SET processing = 'live', job_id = {_job_of('stage_runs')}")
    with op.batch_alter_table("stage_runs", naming_convention=_NAMES) as batch:
        batch.alter_column("job_id", existing_type=_KEY, nullable=False)
        batch.alter_column("processing", existing_type=sa.String(length=64), nullable=False)
        batch.create_foreign_key("stage_runs_job_id_fkey", "jobs", ["job_id"], ["id"])
        batch.drop_column("group_id")
    op.create_index("ix_stage_runs_job_id", "stage_runs", ["job_id"])
    _index_committed("job_id")


def _take_job_from_runs() -> None:
    op.drop_index("uq_stage_committed", "stage_runs")
    op.drop_index("ix_stage_runs_job_id", "stage_runs")
    op.add_column("stage_runs", sa.Column("group_id", sa.String(length=32), nullable=True))
    op.execute("UPDATE stage_runs SET group_id = (SELECT key FROM jobs WHERE jobs.id = stage_runs.job_id)")
    with op.batch_alter_table("stage_runs", naming_convention=_NAMES) as batch:
        batch.alter_column("group_id", existing_type=sa.String(length=32), nullable=False)
        batch.create_foreign_key("stage_runs_group_id_fkey", "groups", ["group_id"], ["id"])
        batch.drop_column("job_id")
        batch.drop_column("processing")
    op.create_index("ix_stage_runs_group_id", "stage_runs", ["group_id"])
    _index_committed("group_id")


def _index_committed(column: str) -> None:
    committed = sa.text("outcome = 'committed'")
    op.create_index(
        "uq_stage_committed", "stage_runs", [column, "stage"], unique=True,
        sqlite_where=committed, postgresql_where=committed,
    )  # fmt: skip


def _give_job_to_products(table: str) -> None:
    has_ms = table != "ms_index"
    op.add_column(table, sa.Column("job_id", _KEY, nullable=True))
    op.add_column(table, sa.Column("processing", sa.String(length=64), nullable=True))
    op.execute(f"UPDATE {table} SET processing = 'live', job_id = {_job_of(table)}")
    if has_ms:
        op.add_column(table, sa.Column("ms_id", _KEY, nullable=True))
        op.execute(
            f"UPDATE {table} SET ms_id = (SELECT ms_index.id FROM ms_index WHERE ms_index.group_id = {table}.group_id)"
        )
    with op.batch_alter_table(table, naming_convention=_NAMES) as batch:
        batch.alter_column("processing", existing_type=sa.String(length=64), nullable=False)
        batch.create_foreign_key(f"{table}_job_id_fkey", "jobs", ["job_id"], ["id"])
        if table in _PRODUCTS:
            batch.alter_column("job_id", existing_type=_KEY, nullable=False)
            batch.drop_constraint(f"{table}_group_id_key", type_="unique")
            batch.create_unique_constraint(f"{table}_job_id_key", ["job_id"])
        if has_ms:
            batch.create_foreign_key(f"{table}_ms_id_fkey", "ms_index", ["ms_id"], ["id"], ondelete="SET NULL")
    if table in _PRODUCTS:
        op.create_index(f"ix_{table}_group_id", table, ["group_id"])
    if has_ms:
        op.create_index(f"ix_{table}_ms_id", table, ["ms_id"])


def _take_job_from_products(table: str) -> None:
    has_ms = table != "ms_index"
    if table in _PRODUCTS:
        op.drop_index(f"ix_{table}_group_id", table)
    if has_ms:
        op.drop_index(f"ix_{table}_ms_id", table)
    with op.batch_alter_table(table, naming_convention=_NAMES) as batch:
        if table in _PRODUCTS:
            batch.drop_constraint(f"{table}_job_id_key", type_="unique")
            batch.create_unique_constraint(f"{table}_group_id_key", ["group_id"])
        for column in ("job_id", "processing", *(("ms_id",) if has_ms else ())):
            batch.drop_column(column)


def _rename_file_state(old: str, new: str) -> None:
    op.drop_index("uq_subband_in_group", "subband_files")
    op.execute(f"UPDATE subband_files SET state = '{new}' WHERE state = '{old}'")
    usable = sa.text(f"state <> '{new}'")
    op.create_index(
        "uq_subband_in_group", "subband_files", ["group_id", "subband"], unique=True,
        sqlite_where=usable, postgresql_where=usable,
    )  # fmt: skip
