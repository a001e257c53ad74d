"""Create a backup: one consistent view of the store while others write to it, and the state directory's files."""

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from contimg import __version__
from contimg.errors import Misconfigured, Transient
from contimg.settings import Settings, load
from contimg.store import database
from contimg.store.backup.archive import STATE, STORE, Backup, sha256_of, write_archive
from contimg.store.backup.rows import copy_rows, count_rows
from contimg.store.database import make_engine, url_of

# Files that mean something only to processes now running on this machine.
_TRANSIENT_FILES = ("service.json", "service.lock", "deployment.process")


def back_up(settings: Settings, target: Path) -> Backup:
    """Write the backup of a deployment's state to `target`, whole or not at all; the stream may run on.

    Products are not in it: they are files of their own. Misconfigured when there is no store, Transient when the
    database does not answer or the disk is full.
    """
    engine = make_engine(url_of(load(settings).queue_db))
    revision = database.current_revision(engine)
    if revision is None:
        raise Misconfigured(f"{engine.url.render_as_string()}: holds no store; nothing to back up")
    database.refuse_newer(engine, revision)
    if revision != database.HEAD:
        raise Misconfigured(f"{engine.url.render_as_string()}: revision {revision}; run `contimg db upgrade` first")
    try:
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as scratch:
            return _write_backup(settings, engine, target, Path(scratch))
    except OSError as error:
        raise Transient(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        engine.dispose()


def _write_backup(settings: Settings, engine: Engine, target: Path, scratch: Path) -> Backup:
    store = scratch / STORE
    taken_at = time.time()
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database))) as source, closing(sqlite3.connect(store)) as copy:
            source.backup(copy)  # in one step: a reader's one view, while writers go on in the log
            copy.execute("PRAGMA journal_mode = DELETE")
    else:
        _copy_database(engine, store)
    members = {STORE: store} | {f"{STATE}{path.name}": path for path in _state_files(settings.state_dir)}
    copied = make_engine(url_of(store))
    with copied.connect() as connection:
        rows = count_rows(connection)
        connection.rollback()
    copied.dispose()
    _close_log(store)
    hashes = {name: sha256_of(path) for name, path in members.items()}
    backup = Backup(__version__, database.HEAD, taken_at, rows, hashes)
    archive = scratch / "archive"
    write_archive(archive, backup, members)
    archive.replace(target)
    return backup


def _copy_database(engine: Engine, store: Path) -> None:
    copied = make_engine(url_of(store))
    database.upgrade(copied)
    one_view = engine.execution_options(isolation_level="REPEATABLE READ")
    with one_view.connect() as source, copied.execution_options(begin="IMMEDIATE").begin() as target:
        copy_rows(source, target)
    copied.dispose()


def _close_log(store: Path) -> None:
    """Merge the write-ahead log into the database file."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


def _state_files(state_dir: Path) -> list[Path]:
    return [
        path
        for path in sorted(state_dir.iterdir())
        if path.is_file() and not path.name.startswith((".", "contimg.sqlite3")) and path.name not in _TRANSIENT_FILES
    ]
