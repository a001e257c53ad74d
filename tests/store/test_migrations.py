"""Revision 0001 with rows in every table, written by its own SQL, migrated to the latest and back: both databases."""

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

import contimg.store
from contimg.store import FileState, QueueRules, Stage, State, Store
from contimg.store.database import upgrade
from contimg.store.engine import make_engine, url_of
from contimg.store.tables import Base

DONE, RUNNING, BROKEN, NEW = (f"2026-02-22T23:{minute}:51" for minute in ("17", "23", "28", "33"))
GROUPS = [
    # id, reference_s, state, stage, partial, attempts, fence, owner, token, expires, error, completed_at
    (DONE, 100.0, "completed", "image", False, 0, 3, None, None, None, None, 190.0),
    (RUNNING, 400.0, "in_progress", "calibrate", True, 1, 2, "host:9:1:1", "t" * 32, 9e9, None, None),
    (BROKEN, 700.0, "failed", "convert", False, 3, 3, None, None, None, "disk full", None),
    (NEW, 1000.0, "collecting", "convert", False, 0, 0, None, None, None, None, None),
]
INSERTS = {
    "groups": (
        "id, reference_s, echo, state, stage, partial, attempts, fence, lease_owner, lease_token, lease_expires_at,"
        " error, completed_at, not_before, enqueued_at, collecting_since, created_at, updated_at",
        [
            (key, at, False, *rest, None, at + 10 if key != NEW else None, at + 1, at + 2, at + 3)
            for key, at, *rest in GROUPS
        ],
    ),
    "subband_files": (
        "id, path, group_id, subband, time_s, size, mtime, arrived_at, state, reason",
        [
            (1, "/in/a_sb00.hdf5", DONE, 0, 100.0, 5, 1.0, 101.0, "present", None),
            (2, "/in/bad_sb01.hdf5", DONE, 1, 100.0, 5, 1.0, 102.0, "set_aside", "truncated"),
            (3, "/in/b_sb00.hdf5", RUNNING, 0, 400.0, 5, 1.0, 401.0, "present", None),
            (4, "/in/foreign.txt", None, None, None, 5, 1.0, 401.0, "set_aside", "foreign"),
            (5, "/in/late_sb01.hdf5", DONE, 1, 100.0, 5, 1.0, 500.0, "late", None),
        ],
    ),
    "stage_runs": (
        "id, group_id, stage, attempt, fence, owner, started_at, ended_at, outcome, seconds",
        [
            (1, DONE, "convert", 1, 1, "a", 110.0, 120.0, "superseded", 10.0),
            (2, DONE, "convert", 1, 2, "a", 120.0, 130.0, "committed", 10.0),
            (3, RUNNING, "convert", 1, 1, "a", 410.0, 420.0, "committed", 10.0),
            (4, RUNNING, "calibrate", 1, 2, "host:9:1:1", 430.0, None, None, None),
        ],
    ),
    "ms_index": (
        "id, group_id, path, mjd_start, mjd_end, ra_deg, dec_deg, integrations, channels, antennas, missing_subbands,"
        " flagged_fraction, bytes, calibration_set, calibrated_at, created_at",
        [
            (7, DONE, "/out/done.ms", 1.0, 1.1, 2.0, 33.0, 24, 768, 96, "[]", 0.1, 5, "set", 140.0, 130.0),
            (8, RUNNING, "/out/running.ms", 2.0, 2.1, 2.0, 33.0, 24, 768, 96, "[3]", 0.1, 5, None, None, 420.0),
        ],
    ),
    "images": (
        "id, group_id, fits_path, rms_jy, peak_jy, dynamic_range, beam_major_arcsec, beam_minor_arcsec,"
        " beam_angle_deg, ra_deg, dec_deg, mjd, freq_hz, pixels, cell_arcsec, sources, verdict, verdict_reasons,"
        " calibration_set, created_at",
        [
            (
                5, DONE, "/out/done.fits", 0.1, 1.0, 10.0, 20.0, 10.0, 0.0, 2.0, 33.0, 1.05, 1.4e9, 256, 6.0,
                json.dumps([{"flux_jy": 1.0}]), "good", "[]", "set", 190.0,
            ),
        ],
    ),
    "calibrations": (
        "id, path, set_name, group_id, kind, calibrator, mjd, valid_from_mjd, valid_to_mjd, quality, grade, reasons,"
        " created_at",
        [
            (1, "/cal/set/a.bcal", "set", DONE, "bandpass", "3C48", 1.0, 0.5, 2.5, "{}", "good", "[]", 140.0),
            (2, "/cal/hand/a.gcal", "hand", None, "gain", "3C48", 1.0, 0.5, 2.5, "{}", "good", "[]", 1.0),
        ],
    ),
    "events": ("id, at, level, group_id, text", [(1, 1.0, "info", DONE, "complete")]),
    "alerts": ("id, rule, level, text, began_at", [(1, "disk", "error", "full", 1.0)]),
    "metrics": ("id, at, name, value, group_id", [(1, 1.0, "image.rms_jy", 0.1, DONE)]),
    "control": ("key, value, changed_at, changed_by", [("paused", "0", 1.0, "ops")]),
}  # fmt: skip


def migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(contimg.store.__file__).parent / "migrations"))
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


@pytest.fixture
def filled(untouched) -> Engine:
    """A database of revision 0001 with rows in every table."""
    engine = make_engine(url_of(untouched))
    migrate(engine, "0001")
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        for table, (columns, rows) in INSERTS.items():
            names = columns.replace(" ", "").split(",")
            statement = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{name}' for name in names)})"
            connection.execute(text(statement), [dict(zip(names, row, strict=True)) for row in rows])
        if connection.dialect.name == "postgresql":  # as if the rows had got their ids from it
            for table in INSERTS.keys() - {"groups", "control"}:
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)"))
    yield engine
    engine.dispose()


def everything(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but Alembic's own."""
    with engine.connect() as connection:
        return {
            table: sorted(
                (dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()), key=str
            )
            for table in inspect(connection).get_table_names()
            if table != "alembic_version"
        }  # fmt: skip


def form(engine: Engine) -> dict[str, object]:
    """Columns, unique constraints, indexes and foreign keys of every table."""
    schema = inspect(engine)
    return {
        table: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in schema.get_columns(table)),
            sorted(tuple(unique["column_names"]) for unique in schema.get_unique_constraints(table)),
            sorted((index["name"], tuple(index["column_names"]), bool(index["unique"]))
                   for index in schema.get_indexes(table) if not index.get("duplicates_constraint")),
            sorted((tuple(fk["constrained_columns"]), fk["referred_table"]) for fk in schema.get_foreign_keys(table)),
        )
        for table in schema.get_table_names()
    }  # fmt: skip


def test_every_table_of_revision_0001_is_filled(filled):
    assert all(everything(filled).values())
    assert everything(filled).keys() == INSERTS.keys()


def test_upgrade_moves_every_row(filled, untouched):
    before = everything(filled)
    upgrade(filled)
    with filled.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    after = everything(filled)
    with filled.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    for table in ("metrics", "control"):
        assert after[table] == before[table]
    jobs = {job["key"]: job for job in after["jobs"]}
    assert {(job["kind"], job["processing"], job["priority"]) for job in after["jobs"]} == {("tile", "live", 6)}
    moved = after["jobs"][0].keys() & before["groups"][0].keys() - {"id"}
    assert len(moved) == 14
    for group in before["groups"]:
        assert {name: jobs[group["id"]][name] for name in moved} == {name: group[name] for name in moved}
    for table in ("stage_runs", "ms_index", "images", "calibrations"):
        kept = after[table][0].keys() & before[table][0].keys()
        assert len(after[table]) == len(before[table])
        for old in before[table]:
            (new,) = (row for row in after[table] if row["id"] == old["id"])
            assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
            assert (new["job_id"], new["processing"]) == (jobs.get(old["group_id"], {}).get("id"), "live")
    for table, added in (
        ("events", {"rule", "author"}),
        ("alerts", {"acknowledged_at", "acknowledged_by", "acknowledged_note"}),
    ):
        ((new, old),) = zip(after[table], before[table], strict=True)
        assert new == old | dict.fromkeys(added)
    assert after["silences"] == after["antenna_history"] == after["antenna_outages"] == []
    assert [image["ms_id"] for image in after["images"]] == [7]
    assert {table["path"]: table["ms_id"] for table in after["calibrations"]} == {
        "/cal/set/a.bcal": 7, "/cal/hand/a.gcal": None,
    }  # fmt: skip


def test_migrated_store_continues(filled, untouched):
    upgrade(filled)
    store = Store.open(untouched, QueueRules(max_attempts=3))
    assert [group.state for group in store.files.groups()] == [
        State.COLLECTING, State.FAILED, State.IN_PROGRESS, State.COMPLETED,
    ]  # fmt: skip
    assert {file.reason for file in store.files.latest(FileState.QUARANTINED)} == {"truncated", "foreign"}
    (lease,) = store.leases.active()
    assert (lease.key, lease.stage, lease.fence, lease.owner) == (RUNNING, Stage.CALIBRATE, 2, "host:9:1:1")
    assert store.leases.commit(lease) is Stage.IMAGE
    assert store.jobs.retry(DONE, force=True).stage is Stage.CONVERT
    store.close()


def test_downgrade_restores_rows(filled):
    before, old_form = everything(filled), form(filled)
    upgrade(filled)
    with filled.execution_options(begin="IMMEDIATE").begin() as connection:  # what revision 0001 has no place for
        connection.execute(text(
            "INSERT INTO jobs (kind, key, processing, priority, reference_s, state, stage, attempts, fence, created_at,"
            f" updated_at) VALUES ('tile', '{DONE}', 'deep', 9, 100.0, 'pending', 'convert', 0, 0, 1.0, 1.0)"
        ))  # fmt: skip
        connection.execute(text(
            "INSERT INTO ms_index (job_id, processing, group_id, path, mjd_start, mjd_end, ra_deg, dec_deg,"
            " integrations, channels, antennas, missing_subbands, flagged_fraction, bytes, created_at)"
            f" SELECT id, 'deep', '{DONE}', '/out/deep.ms', 1, 1, 1, 1, 1, 1, 1, '[]', 0, 0, 1.0 FROM jobs"
            " WHERE processing = 'deep'"
        ))  # fmt: skip
    migrate(filled, "0001", down=True)
    assert everything(filled) == before
    assert form(filled) == old_form
    upgrade(filled)
    with filled.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
