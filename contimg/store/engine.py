"""The engine of the store's database: SQLite or PostgreSQL, how transactions begin, and what makes it unavailable."""

import math
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.filesystems import write_fault
from contimg.common.files.locks import describe_holders
from contimg.common.files.writing import create_empty

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5  # of PostgreSQL, unless the URL has one; the system's limit is minutes
_ENCODE = "write special characters of a password by their codes: # %23, / %2F, : %3A, @ %40, % %25"
_SQLITE_UNAVAILABLE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM,
})  # fmt: skip


class StoreUnavailable(Transient, SQLAlchemyError):
    """The database cannot be used for now: its disk is full or read-only, it is locked, or its server is away."""


def url_of(location: str | Path) -> URL:
    """Make a database URL from a URL or from the path of a SQLite file.

    Parameters
    ----------
    location : the URL or the path; for PostgreSQL the driver psycopg is filled in.

    Raises
    ------
    Misconfigured : it is neither, or the URL is of another kind of database.
    """
    try:
        url = make_url(str(location)) if "://" in str(location) else URL.create("sqlite", database=str(location))
    except (ArgumentError, ValueError):
        raise Misconfigured(f"queue_db={location}: neither a path nor a database URL; {_ENCODE}") from None
    if "@" in f"{url.host or ''}{url.query.get('host', '')}":
        raise Misconfigured(f"queue_db={location}: has two @; {_ENCODE}")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Misconfigured(f"queue_db={url}: give the path of a SQLite file, or postgresql+psycopg://user@host/name")
    return url


def check_rights(location: str) -> None:
    """Check that this user may write to the database, if it is a SQLite file.

    Parameters
    ----------
    location : the URL or the path.

    Raises
    ------
    Misconfigured : the user may not.
    """
    fault = None if "://" in location else write_fault(Path(location))
    if isinstance(fault, Misconfigured):
        raise fault


def is_missing(location: str) -> bool:
    """Return whether a SQLite file does not exist; whatever opens the store creates it.

    Parameters
    ----------
    location : the URL or the path; a database with a URL counts as existing.
    """
    return "://" not in location and not os.path.exists(location)  # noqa: PTH110 (no error without rights)


def make_engine(url: URL) -> sa.Engine:
    """Make an engine whose transactions begin as asked: on SQLite IMMEDIATE for writers, DEFERRED for readers.

    SQLite's driver would begin a transaction at the first write only, and two processes that had both read would
    lose one of the two updates silently.

    Parameters
    ----------
    url : from `url_of`. The directory of a SQLite file is created.

    Raises
    ------
    Misconfigured : the driver is not installed, or the directory cannot be created.
    """
    try:
        if url.get_backend_name() == "postgresql":
            # Names and reasons are UTF-8 whatever the database was made for. A pooler such as PgBouncer may give each
            # transaction another connection of the server, which knows no statement that was prepared before.
            arguments: dict[str, Any] = {"client_encoding": "utf8", "prepare_threshold": None}
            if "connect_timeout" not in url.query:
                arguments["connect_timeout"] = CONNECT_TIMEOUT_S
            engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
            sa.event.listen(engine, "begin", partial(_limit_lock_waits, url))
            sa.event.listen(engine, "handle_error", partial(_make_unavailable, url))
            return engine
        if url.database and url.database != ":memory:":
            path = Path(url.database)
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                create_empty(path, mode=0o644)  # for the directory's owner, who may be another user
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise Misconfigured(f"queue_db={url}: {error}; pip install 'contimg[postgres]'") from None
    except OSError as error:
        raise Misconfigured(f"queue_db={url.database}: {error.strerror}") from None
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    sa.event.listen(engine, "handle_error", partial(_make_unavailable, url))
    if url.database and url.database != ":memory:":
        _SQLiteFile(Path(url.database)).guard(engine)
    return engine


def _limit_lock_waits(url: URL, connection: sa.Connection) -> None:
    """Limit the waiting for locks of a session that holds them for long, such as psql in an open transaction."""
    try:
        cursor = connection.connection.cursor()  # the driver's, because SQLAlchemy's may be of the server
        cursor.execute(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S:g}s'")
        cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy replaces no error of this event
        connection.invalidate(error)
        line = str(error).strip().partition("\n")[0]
        raise StoreUnavailable(f"queue_db={url}: {line}") from None


def _make_unavailable(url: URL, context: ExceptionContext) -> StoreUnavailable | None:
    """Return the error that replaces one of the driver's; None where the statement itself is wrong."""
    error = context.original_exception
    line = str(error).strip().partition("\n")[0]
    if isinstance(error, sqlite3.Error):
        if sqlite_code(error) not in _SQLITE_UNAVAILABLE:
            return None
        if sqlite_code(error) == sqlite3.SQLITE_BUSY:
            line = f"{line} for {BUSY_TIMEOUT_S:g} s by {describe_holders(Path(f'{url.database}-shm'))}"
        fault = write_fault(Path(url.database)) if url.database else None
        detail = f" ({str(fault).removeprefix(f'{url.database}: ')})" if fault else ""
        return StoreUnavailable(f"queue_db={url.database}: {line}{detail}")
    is_read_only = getattr(error, "sqlstate", None) == "25006"  # read_only_sql_transaction
    if is_read_only or isinstance(context.sqlalchemy_exception, OperationalError):
        return StoreUnavailable(f"queue_db={url}: {line}")
    return None


def sqlite_code(error: BaseException | None) -> int:
    """Return the primary result code of an error of SQLite; 0 for any other error.

    Parameters
    ----------
    error : of the driver.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class _SQLiteFile:
    """The file that an engine has opened: one that is moved away is waited for, and no other takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None  # device and inode

    def guard(self, engine: sa.Engine) -> None:
        """Check the file before each use of a connection of the engine."""
        sa.event.listen(engine, "do_connect", self._check)
        sa.event.listen(engine, "checkout", self._check)
        sa.event.listen(engine, "connect", self._remember)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check(self, *_: Any) -> None:
        if self._opened is not None and self._identity() != self._opened:
            raise StoreUnavailable(
                f"queue_db={self._path}: moved away or replaced while it is in use; put it back, or restart the "
                "service and the panel"
            )

    def _remember(self, *_: Any) -> None:
        self._opened = self._opened or self._identity()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing; _begin_sqlite does
    for pragma in (
        f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",  # a committed product survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    for function in (math.sin, math.cos, math.radians, math.floor):  # PostgreSQL has them; not every build of SQLite
        connection.create_function(function.__name__, 1, function, deterministic=True)


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")
