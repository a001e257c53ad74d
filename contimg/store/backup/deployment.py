"""Back up the state of a deployment while the stream runs, and restore it: the store and the state directory.

A backup holds one consistent view of the store. Restored, it replaces the current store, which is kept beside it.
"""

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, select, text

from contimg import __version__
from contimg.common.errors import BadInput, Misconfigured, Transient
from contimg.common.files.checksums import sha256_of
from contimg.common.files.writing import adopt_owner
from contimg.settings import Settings, load
from contimg.store import database
from contimg.store.backup.archive import STATE, STORE, Backup, unpack, write_archive
from contimg.store.engine import make_engine, url_of
from contimg.store.tables import Base

_ROWS_PER_INSERT = 1000
# Files that mean something only to processes now running on this machine.
_TRANSIENT_FILES = ("service.json", "service.lock", "deployment.process")


def back_up(settings: Settings, target: Path) -> Backup:
    """Write the backup of a deployment's state, whole or not at all; the stream may run on.

    Products are not in it: they are files of their own.

    Parameters
    ----------
    settings : of the deployment: its state directory and, through its configuration, its store.
    target : path of the backup; a file of that name is replaced.

    Returns
    -------
    the manifest of the backup.

    Raises
    ------
    Misconfigured : there is no store, or it is of another revision.
    Transient : the database does not answer, or the backup cannot be written.
    """
    engine = make_engine(url_of(load(settings).queue_db))
    revision = database.current_revision(engine)
    if revision is None:
        raise Misconfigured(f"{engine.url}: holds no store; nothing to back up")
    database.refuse_newer(engine, revision)
    if revision != database.HEAD:
        raise Misconfigured(f"{engine.url}: revision {revision}; run `contimg db upgrade` first")
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
        with closing(sqlite3.connect(str(engine.url.database))) as source:
            source.execute("VACUUM INTO ?", (str(store),))  # a reader's one view, while writers go on in the log
    else:
        _copy_database(engine, store)
    members = {STORE: store} | {f"{STATE}{path.name}": path for path in _state_files(settings.state_dir)}
    rows = _count_rows_of(make_engine(url_of(store)))
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


def restore(settings: Settings, archive: Path, *, force: bool = False) -> Backup:
    """Restore a backup into the configured store and state directory. The stream must not run.

    A SQLite store that is there is kept beside it as `…before-<time>`. Groups that came after the backup are
    registered again by the next scan.

    Parameters
    ----------
    settings : of the deployment to restore into.
    archive : path of the backup.
    force : replace a PostgreSQL database that holds groups.

    Returns
    -------
    the manifest of the backup.

    Raises
    ------
    BadInput : the backup is damaged, or no backup.
    Misconfigured : the backup is of a newer revision, the SQLite store is open in another process, or the PostgreSQL
        database holds groups and `force` is not given.
    Transient : the state directory cannot be written, or the database does not answer.
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
                adopt_owner(path, settings.state_dir / path.name)
                path.replace(settings.state_dir / path.name)
            _replace_store(settings, store, force)
    except OSError as error:
        raise Transient(f"{settings.state_dir}: {error.strerror or error}") from None
    return backup


def _bring_up_to_date(archive: Path, store: Path, backup: Backup) -> None:
    with closing(sqlite3.connect(store)) as connection:
        result = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if result != "ok":
        raise BadInput(f"{archive}: its store is damaged ({result})")
    engine = make_engine(url_of(store))
    database.upgrade(engine)
    rows = _count_rows_of(engine)
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
    _close_log(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    adopt_owner(store, path)
    if path.exists():
        _merge_log(path)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        path.rename(path.with_name(f"{path.name}.before-{moment}"))
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
                raise Misconfigured(f"{engine.url}: holds groups already; --force replaces them")
            copy_rows(reading, writing)
    finally:
        source.dispose()


def _count_rows_of(engine: Engine) -> dict[str, int]:
    """Rows of each table of a copied store, which is then closed."""
    with engine.connect() as connection:
        rows = count_rows(connection)
    engine.dispose()
    return rows


def count_rows(connection: Connection) -> dict[str, int]:
    """Count the rows of every table, by the table's name.

    Parameters
    ----------
    connection : to a database that has this version's tables.
    """
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def copy_rows(source: Connection, target: Connection) -> None:
    """Replace every row of a database by those of another; both have this version's tables.

    Parameters
    ----------
    source : is read.
    target : is emptied and filled, within the caller's transaction.
    """
    for table in reversed(Base.metadata.sorted_tables):
        target.execute(table.delete())
    for table in Base.metadata.sorted_tables:
        rows = source.execution_options(yield_per=_ROWS_PER_INSERT).execute(select(table)).mappings()
        for part in rows.partitions(_ROWS_PER_INSERT):
            target.execute(insert(table), [dict(row) for row in part])
        if target.dialect.name == "postgresql":
            _advance_sequence(target, table.name)


def _advance_sequence(connection: Connection, table: str) -> None:
    """Let PostgreSQL number new rows after those inserted with their ids."""
    sequence = None
    if "id" in Base.metadata.tables[table].columns:
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": table})
    if sequence:
        newest = connection.scalar(select(func.max(Base.metadata.tables[table].c.id))) or 0
        connection.execute(
            text("SELECT setval(:sequence, :next, false)"), {"sequence": sequence, "next": int(newest) + 1}
        )
