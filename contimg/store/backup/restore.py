"""Restore a backup: the store of the backup replaces the current one, which is kept beside it."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from contimg.errors import BadInput, Misconfigured, Transient
from contimg.settings import Settings, load
from contimg.store import database
from contimg.store.backup.archive import STATE, STORE, Backup, unpack
from contimg.store.backup.rows import copy_rows, count_rows
from contimg.store.database import make_engine, url_of


def restore(settings: Settings, archive: Path, *, force: bool = False) -> Backup:
    """Restore a backup into the configured store and state directory. The stream must not run.

    A SQLite store that is there is kept beside it as `…before-<time>`; a PostgreSQL database that holds groups is
    replaced only with `force`. Groups that came after the backup are registered again by the next scan.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=settings.state_dir, prefix=".restore.") as scratch:
            backup = unpack(archive, Path(scratch))
            if backup.revision > database.HEAD:
                raise Misconfigured(
                    f"{archive}: of a newer contimg (revision {backup.revision}, this one has {database.HEAD}); "
                    f"restore it with contimg {backup.version}"
                )
            store = Path(scratch) / STORE
            _bring_up_to_date(archive, store, backup)
            for path in (Path(scratch) / STATE).glob("*"):
                path.replace(settings.state_dir / path.name)
            _replace_store(settings, store, force)
    except OSError as error:
        raise Transient(f"{settings.state_dir}: {error.strerror or error}") from None
    return backup


def _bring_up_to_date(archive: Path, store: Path, backup: Backup) -> None:
    with closing(sqlite3.connect(store)) as connection:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise BadInput(f"{archive}: its store is damaged ({verdict})")
    engine = make_engine(url_of(store))
    database.upgrade(engine)
    with engine.connect() as connection:
        rows = count_rows(connection)
    engine.dispose()
    if backup.revision == database.HEAD and rows != dict(backup.rows):
        raise BadInput(f"{archive}: its store has other rows than its manifest says")


def _replace_store(settings: Settings, store: Path, force: bool) -> None:
    engine = make_engine(url_of(load(settings).queue_db))
    try:
        if engine.dialect.name == "sqlite":
            _replace_file(Path(str(engine.url.database)), store)
        else:
            _replace_rows(engine, store, force)
    finally:
        engine.dispose()


def _replace_file(path: Path, store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    if path.exists():
        _merge_log(path)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        path.rename(path.with_name(f"{path.name}.before-{moment}"))
    if path.parent.exists():
        owner = path.parent.stat()
        shutil.chown(store, owner.st_uid, owner.st_gid)
    shutil.move(store, path)


def _merge_log(path: Path) -> None:
    """Bring the store's log into its one file, which SQLite does only where nobody else has it open."""
    with closing(sqlite3.connect(path, timeout=1.0)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            mode = str(error)
        except sqlite3.DatabaseError:  # damaged: that may be why somebody restores
            return
    if mode != "delete":
        raise Misconfigured(f"{path}: is open in another process; stop workers, panel and Flower as well, then restore")


def _replace_rows(engine: Engine, store: Path, force: bool) -> None:
    database.upgrade(engine)
    source = make_engine(url_of(store))
    try:
        with source.connect() as reading, engine.begin() as writing:
            if count_rows(writing)["groups"] and not force:
                raise Misconfigured(f"{engine.url.render_as_string()}: holds groups already; --force replaces them")
            copy_rows(reading, writing)
    finally:
        source.dispose()
