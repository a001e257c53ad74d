"""The database of the store: its transactions, its clock, and which revision its tables have."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.filesystems import write_fault
from contimg.settings import QueueRules
from contimg.store.engine import StoreUnavailable, sqlite_code
from contimg.store.tables import record_of
from contimg.store.tables.columns import Record

HEAD = "0007"
# Any constants do, as long as every process of a cluster takes the same for the same purpose.
_ARRIVALS_LOCK, _MIGRATION_LOCK, _EVENTS_LOCK = 0x636F6E74, 0x636F6E75, 0x636F6E76
MEASUREMENTS_LOCK = 0x636F6E77
_EVENTS = "events"  # key in a session's info
CLOCK_AGE_S = 30.0


class ServerClock:
    """The clock of a PostgreSQL server, which all hosts share; this host's own may be wrong by minutes.

    It is read before a transaction if the last reading is older than `CLOCK_AGE_S`, and continued in between by this
    host's clock of the time since boot. It is never read within a transaction, which would then wait for a second
    connection while it holds one.

    Attributes
    ----------
    ahead_s : by how much this host's clock was ahead of the server's at the last reading, s.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = (-float("inf"), 0.0)  # time since boot and the server's time, s
        self.ahead_s = 0.0

    def __call__(self) -> float:
        """Return the present time, UTC, epoch seconds."""
        since_boot_s, server_s = self._reading
        return server_s + _since_boot_s() - since_boot_s

    def refresh(self) -> None:
        """Read the server's clock if the last reading is old; the last one is kept while the server does not answer.

        Raises
        ------
        SQLAlchemyError : the server does not answer, and has never been read.
        """
        if _since_boot_s() - self._reading[0] <= CLOCK_AGE_S:
            return
        try:
            with self._engine.connect() as connection:
                began_s = _since_boot_s()
                server_s = float(connection.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
        except SQLAlchemyError:
            if self._reading[1] == 0.0:
                raise
            return
        self._reading = (0.5 * (began_s + _since_boot_s()), server_s)
        self.ahead_s = time.time() - self()


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Database:
    """The engine, the rules of the queue, and the clock.

    Attributes
    ----------
    clock : gives the present time, UTC, epoch seconds: `time.time`, the server's clock, or a test's own.
    """

    engine: sa.Engine
    rules: QueueRules
    clock: Callable[[], float]

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction, committed at the end of the block, rolled back on any exception.

        Its events are written last, one transaction at a time, so that their ids are in the order of the commits:
        PostgreSQL numbers rows before it commits them, and who reads "after the last id" would miss a late one.
        """
        self.refresh_clock()
        engine = self.engine.execution_options(begin="IMMEDIATE")
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
            if events := session.info.get(_EVENTS):
                session.flush()
                lock_until_commit(session, _EVENTS_LOCK)
                session.add_all(events)

    def refresh_clock(self) -> None:
        """Read the clock of a PostgreSQL server again if the last reading is old."""
        if isinstance(self.clock, ServerClock):
            self.clock.refresh()

    @contextmanager
    def write_arrivals(self) -> Iterator[Session]:
        """A writing transaction in which no other process sorts files into groups."""
        with self.write() as session:
            lock_until_commit(session, _ARRIVALS_LOCK)
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One reading transaction: a consistent view, no lock on writers."""
        self.refresh_clock()
        engine = self.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session


class Repository:
    """Reads and writes of one subject of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _fetch(self, cls: type[Record], query: Any) -> tuple[Record, ...]:
        """The records of all rows of a query."""
        with self._database.read() as session:
            return tuple(record_of(cls, row) for row in session.scalars(query))

    def _find(self, cls: type[Record], query: Any) -> Record | None:
        """The record of the first row of a query, or None."""
        return next(iter(self._fetch(cls, query)), None)


class History(Repository):
    """Rows that are kept for a time; `contimg.store.activity.pruning` deletes the older ones."""

    _table: Any

    def count(self, **values: str | None) -> int:
        """Count the rows.

        Parameters
        ----------
        values : only rows that have these values, by column; a None value is left out.
        """
        conditions = [getattr(self._table, name) == value for name, value in values.items() if value is not None]
        with self._database.read() as session:
            return count(session, self._table, *conditions)


def lock_until_commit(session: Session, key: int) -> None:
    """Keep a lock of the PostgreSQL server until the end of the transaction; SQLite has one writer anyway.

    Parameters
    ----------
    session : of the transaction.
    key : constant of the purpose.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def add_at_commit(session: Session, event: Any) -> None:
    """Add the row of an event at the end of a transaction that `Database.write` began.

    Parameters
    ----------
    session : of the transaction.
    event : row of the table of events.
    """
    session.info.setdefault(_EVENTS, []).append(event)


def order_by_key(query: Any, column: Any, identity: Any, ascending: bool, key: tuple[Any, ...] | None) -> Any:
    """Order a query by a column and an id, from after a key on if one is given.

    A page requested by the key of the last row of the page before is found by an index, however many rows precede it.

    Parameters
    ----------
    query : a select.
    column, identity : the column to order by, and the one that orders equal values of it.
    ascending : direction of both.
    key : values of both in the last row of the page before; None for the first page.

    Returns
    -------
    the query with its order and condition.
    """
    both = sa.tuple_(column, identity)
    if key is not None:
        query = query.where(both > sa.tuple_(*key) if ascending else both < sa.tuple_(*key))
    return query.order_by(*(part.asc() if ascending else part.desc() for part in (column, identity)))


def count(session: Session, table: Any, *conditions: sa.ColumnElement[bool]) -> int:
    """Count the rows of a table that meet the conditions.

    Parameters
    ----------
    session : of the caller's transaction.
    table : class of the table.
    conditions : all must hold; none to count every row.
    """
    return session.scalars(sa.select(sa.func.count()).select_from(table).where(*conditions)).one()


def current_revision(engine: sa.Engine) -> str | None:
    """Return the revision that a database stands at; None when it is empty.

    Parameters
    ----------
    engine : of the database.

    Raises
    ------
    Misconfigured : the SQLite file cannot be read.
    Transient : PostgreSQL cannot be reached.
    """
    try:
        with engine.connect() as connection:
            return _revision(connection)
    except (DBAPIError, StoreUnavailable) as error:
        raise _unreachable(engine, error) from None


def upgrade(engine: sa.Engine) -> str:
    """Migrate a database to this version's tables, one process at a time.

    Parameters
    ----------
    engine : of the database, which may be empty.

    Returns
    -------
    the revision that the database has then.

    Raises
    ------
    Misconfigured : the database was made by a newer version, or the SQLite file cannot be used.
    Transient : PostgreSQL cannot be reached.
    """
    try:
        with engine.execution_options(begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            revision = _revision(connection)
            refuse_newer(engine, revision)
            if revision != HEAD:
                _run_migrations(connection)
    except (DBAPIError, StoreUnavailable) as error:
        raise _unreachable(engine, error) from None
    return HEAD


def prepare(engine: sa.Engine) -> None:
    """Create the tables of an empty database, and migrate an older SQLite file.

    An older PostgreSQL database is not changed: other hosts may still run the version that it belongs to.

    Parameters
    ----------
    engine : of the database.

    Raises
    ------
    Misconfigured : the database was made by a newer version, or is an older PostgreSQL one, or the SQLite file cannot
        be used.
    Transient : PostgreSQL cannot be reached.
    """
    revision = current_revision(engine)
    if revision == HEAD:
        return
    refuse_newer(engine, revision)
    if revision is not None and engine.dialect.name == "postgresql":
        url = str(engine.url)
        raise Misconfigured(f"{url}: revision {revision}, {HEAD} is needed; run `contimg db upgrade`")
    upgrade(engine)


def refuse_newer(engine: sa.Engine, revision: str | None) -> None:
    """Refuse a database that was made by a newer version than this one.

    Parameters
    ----------
    engine : of the database, for the message.
    revision : from `current_revision`; None, of an empty database, is accepted.

    Raises
    ------
    Misconfigured : the revision is newer.
    """
    if revision is not None and revision > HEAD:
        raise Misconfigured(
            f"{engine.url}: made by a newer contimg (revision {revision}; this one has {HEAD}); "
            "install that version again, or restore a backup from before it"
        )


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)


def _run_migrations(connection: sa.Connection) -> None:
    # Alembic takes a fifth of a second to import, and nearly every opening finds the database up to date.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _unreachable(engine: sa.Engine, error: DBAPIError | StoreUnavailable) -> Misconfigured | Transient:
    """Return the error of a database that cannot be opened; a SQLite file is wrong unless its disk or a lock is."""
    if isinstance(error, StoreUnavailable):
        is_file_wrong = sqlite_code(error.__cause__) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        is_disk_wrong = isinstance(write_fault(Path(str(engine.url.database))), Transient)
        return Misconfigured(str(error)) if is_file_wrong and not is_disk_wrong else error
    first_line = str(error.orig).strip().splitlines()[0]
    if engine.dialect.name == "sqlite":
        return Misconfigured(f"queue_db={engine.url.database}: {first_line}")
    return Transient(f"queue_db={engine.url}: {first_line}")
