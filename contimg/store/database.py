"""One database behind every room of the store: how transactions begin, on SQLite and on PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from contimg.errors import Misconfigured
from contimg.settings import QueueRules

BUSY_TIMEOUT_S = 30.0
# Any constant does, as long as every process of a cluster takes the same for the same purpose.
_ARRIVALS_LOCK = 0x636F6E74


def url_of(place: str | Path) -> URL:
    """A database URL from a URL or from the path of a SQLite file; raises Misconfigured for another kind."""
    try:
        url = make_url(str(place)) if "://" in str(place) else URL.create("sqlite", database=str(place))
    except ArgumentError:
        raise Misconfigured(f"queue_db={place}: neither a path nor a database URL") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Misconfigured(
            f"queue_db={url.render_as_string()}: give the path of a SQLite file, or postgresql+psycopg://user@host/name"
        )
    return url


def make_engine(url: URL) -> Engine:
    """An engine whose transactions begin as asked: on SQLite IMMEDIATE for writers, DEFERRED for readers.

    SQLite's driver would begin a transaction at the first write only, and two processes that had both read would
    lose one of the two updates without a word.
    """
    try:
        if url.get_backend_name() == "postgresql":
            # Names and reasons are UTF-8 whatever the database was made for.
            return create_engine(url, pool_pre_ping=True, connect_args={"client_encoding": "utf8"})
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise Misconfigured(f"queue_db={url.render_as_string()}: {error}; pip install 'contimg[postgres]'") from None
    except OSError as error:
        raise Misconfigured(f"queue_db={url.database}: {error.strerror}") from None
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing; _begin_sqlite does
    for pragma in (
        f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",  # a committed product survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


@dataclass(frozen=True)
class Database:
    """What the rooms of the store share: the engine, the rules of the queue, and the clock.

    Attributes
    ----------
    clock : now, UTC, epoch seconds; tests inject theirs.
    """

    engine: Engine
    rules: QueueRules
    clock: Callable[[], float] = time.time

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction, committed at the end of the block, rolled back on any exception."""
        engine = self.engine.execution_options(begin="IMMEDIATE")
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def write_arrivals(self) -> Iterator[Session]:
        """A writing transaction in which no other process sorts files into groups."""
        with self.write() as session:
            if self.engine.dialect.name == "postgresql":
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ARRIVALS_LOCK})
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One reading transaction: a consistent view, no lock on writers."""
        engine = self.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
