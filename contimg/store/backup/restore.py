"""A backup put back: the store as it was then, what was there before kept beside it, the next start goes on from it."""

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
    """Put a backup back into the configured store and state directory. The stream must not run.

    A SQLite store that is there is kept beside it as `…before-<time>`; a PostgreSQL database that holds groups is
    replaced only with `force`. Groups that came after the backup are found again by the next scan.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=settings.state_dir, prefix=".restore.") as room:
            backup = unpack(archive, Path(room))
            if backup.revision > database.HEAD:
                raise Misconfigured(
                    f"{archive}: of a newer contimg (revision {backup.revision}, this one knows {database.HEAD}); "
                    f"restore it with contimg {backup.version}"
                )
            store = Path(room) / STORE
            _bring_up_to_date(archive, store, backup)
            for path in (Path(room) / STATE).glob("*"):
                path.replace(settings.state_dir / path.name)
            _put_back(settings, store, force)
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
        found = count_rows(connection)
    engine.dispose()
    if backup.revision == database.HEAD and found != dict(backup.rows):
        raise BadInput(f"{archive}: its store has other rows than its manifest says")


def _put_back(settings: Settings, store: Path, force: bool) -> None:
    engine = make_engine(url_of(load(settings).queue_db))
    try:
        if engine.dialect.name == "sqlite":
            _replace_file(Path(str(engine.url.database)), store)
        else:
            _replace_rows(engine, store, force)
    finally:
        engine.dispose()


def _replace_file(place: Path, store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    if place.exists():
        _take_alone(place)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        place.rename(place.with_name(f"{place.name}.before-{moment}"))
    if place.parent.exists():
        owner = place.parent.stat()
        shutil.chown(store, owner.st_uid, owner.st_gid)
    shutil.move(store, place)


def _take_alone(place: Path) -> None:
    """Bring the store's log into its one file, which SQLite does only where nobody else has it open."""
    with closing(sqlite3.connect(place, timeout=1.0)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            mode = str(error)
        except sqlite3.DatabaseError:  # damaged: that may be why somebody restores
            return
    if mode != "delete":
        raise Misconfigured(
            f"{place}: is open in another process; stop workers, panel and Flower as well, then restore"
        )


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
