"""The tables as migrated, and opening what is not this version's: on both databases."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import contimg.store
from contimg.common.errors import Misconfigured, Transient
from contimg.store import QueueRules, Store, database
from contimg.store.engine import make_engine, url_of
from contimg.store.tables import Base


def test_head_is_last_migration():
    scripts = ScriptDirectory(str(Path(contimg.store.__file__).parent / "migrations"))
    assert scripts.get_heads() == [database.HEAD]


def test_migrations_match_models(untouched, open_store):
    store = open_store(untouched)
    with store.database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_downgrade_and_upgrade(untouched):
    from alembic import command
    from alembic.config import Config

    engine = make_engine(url_of(untouched))
    database.upgrade(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(contimg.store.__file__).parent / "migrations"))
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert database.current_revision(engine) is None
    assert database.upgrade(engine) == database.HEAD == database.current_revision(engine)
    engine.dispose()


def test_concurrent_first_opening(untouched, open_store):
    with ThreadPoolExecutor(8) as pool:
        groups = list(pool.map(lambda _: open_store(untouched).files.groups(), range(8)))
    assert groups == [()] * 8


def test_newer_database_is_refused(untouched, open_store):
    store = open_store(untouched)
    with store.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="9999"):
        Store.open(untouched)


def test_older_postgresql_is_refused(postgres, open_store):
    url = postgres.new_database()
    with open_store(url).database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(Misconfigured, match="contimg db upgrade"):
        Store.open(url)


def test_sqlite_pragmas(tmp_path, open_store):
    store = open_store(str(tmp_path / "store.sqlite3"))
    with sqlite3.connect(tmp_path / "store.sqlite3", timeout=0, isolation_level=None) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with store.database.read():
            connection.execute("BEGIN IMMEDIATE")  # readers are in nobody's way
            connection.execute("ROLLBACK")
        with store.database.write() as session:
            session.scalar(text("SELECT count(*) FROM groups"))  # nothing has been written yet
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize(
    ("location", "message", "kind"),
    [
        ("mysql://user:secret@host/name", "SQLite", Misconfigured),
        ("postgresql://user:secret@127.0.0.1:1/name", "Connection refused", Transient),
        ("{tmp}/junk", "not a database", Misconfigured),
        ("{tmp}/junk/below/a/file", "Not a directory|File exists", Misconfigured),
    ],
)
def test_wrong_url_is_one_line_without_password(location, message, kind, tmp_path):
    (tmp_path / "junk").write_text("this is no database, and long enough for SQLite to notice it" * 20)
    with pytest.raises(kind, match=message) as caught:
        Store.open(location.format(tmp=tmp_path))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_database_constraints(store, telescope):
    """Even a bug above cannot put a subband twice into a group, or commit a stage twice."""
    from sqlalchemy.exc import IntegrityError

    from contimg.store import tables

    group = telescope.whole_group()
    same = {"group_id": group, "subband": 0, "size": 1, "mtime": 1.0, "arrived_at": 1.0, "state": "present"}
    with pytest.raises(IntegrityError), store.database.write() as session:
        session.add(tables.SubbandFileRow(path="/elsewhere", **same))
    job = {"job_id": store.jobs.job(group).id, "processing": "live"}
    run = {**job, "stage": "convert", "attempt": 1, "fence": 1, "owner": "a", "started_at": 1.0}
    with pytest.raises(IntegrityError), store.database.write() as session:
        session.add_all([tables.StageRun(outcome="committed", **run), tables.StageRun(outcome="committed", **run)])


def test_rules_that_would_mix_groups_are_refused():
    with pytest.raises(Misconfigured, match=r"\b120\b.*\b240\b"):
        QueueRules(cadence_s=240, group_tolerance_s=120)


def test_sql_ascii_database_keeps_unicode(postgres, open_store):
    """SQL_ASCII, which a server started in the C locale makes, would hand out bytes in place of text."""
    url = postgres.new_database(encoding="SQL_ASCII")
    store = open_store(url)
    store.events.add("Größe der Datei: 0 — nicht ganz")
    assert store.events.last(1)[0].text == "Größe der Datei: 0 — nicht ganz"
