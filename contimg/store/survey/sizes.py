"""Sizes of the store: rows and bytes of each table and index, growth per day, free space."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from sqlalchemy import Connection, func, select, text

from contimg.common.errors import Misconfigured
from contimg.formats.records import about
from contimg.instrument.time import DAY_S
from contimg.store import tables
from contimg.store.database import Repository

_RECORDED = "store.sizes"  # key in the table of switches
_KEPT = 8  # recorded sizes, one a day
_MIN_SPAN_S = 3600.0  # between two sizes that give a growth

_SQLITE_BYTES = "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"
_POSTGRES_BYTES = """
SELECT c.relname, pg_table_size(c.oid) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'
"""
_INDEXES = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT indexname, tablename FROM pg_indexes WHERE schemaname = 'public'",
}


@dataclass(frozen=True)
class IndexSize:
    """An index and its size."""

    name: Annotated[str, about("Name of the index", example="ix_subband_files_group_id")]
    bytes: Annotated[int, about("Its size", "byte", 38_000_000)]


@dataclass(frozen=True)
class TableSize:
    """A table, its size and its growth."""

    name: Annotated[str, about("Name of the table", example="subband_files")]
    rows: Annotated[int, about("Number of rows", "rows", 1_632_928)]
    bytes: Annotated[
        int | None, about("Size without the indexes; null where SQLite was built without dbstat", "byte", 350_000_000)
    ]
    indexes: Annotated[tuple[IndexSize, ...], about("Its indexes, the largest first")]
    rows_per_day: Annotated[
        float | None, about("Growth since the recorded sizes; null without any", "rows/d", 4474.0)
    ] = None
    bytes_per_day: Annotated[
        float | None, about("Growth of table and indexes; null without recorded sizes", "byte/d", 1_900_000.0)
    ] = None

    @property
    def total_bytes(self) -> Annotated[int | None, about("Size with the indexes", "byte", 510_000_000)]:
        """Size with the indexes, or None."""
        return None if self.bytes is None else self.bytes + sum(index.bytes for index in self.indexes)


@dataclass(frozen=True)
class StoreSizes:
    """Sizes of the store."""

    at: Annotated[float, about("When they were determined")]
    bytes: Annotated[int, about("Size of the database", "byte", 1_020_000_000)]
    free_bytes: Annotated[int | None, about("Free within the file of SQLite, for new rows; null", "byte", 8_192)]
    disk_free_bytes: Annotated[
        int | None, about("Free on the disk of the file of SQLite; null for PostgreSQL", "byte", 41_000_000_000)
    ]
    bytes_per_day: Annotated[float | None, about("Growth; null without recorded sizes", "byte/d", 2_800_000.0)]
    tables: Annotated[tuple[TableSize, ...], about("The tables, the largest first")]

    @property
    def days_until_full(
        self,
    ) -> Annotated[float | None, about("Days until the disk is full at this growth; null where unknown", "d", 14000.0)]:
        """Days until the disk is full by the growth of the store alone, or None."""
        if not self.bytes_per_day or self.bytes_per_day < 0 or self.disk_free_bytes is None:
            return None
        return (self.disk_free_bytes + (self.free_bytes or 0)) / self.bytes_per_day


class Sizes(Repository):
    """Sizes of the tables of the store, and their record of one a day."""

    def read(self) -> StoreSizes:
        """Determine the sizes now: every row is counted and, on SQLite, every page read."""
        sizes = self._measure()
        recorded = [past for past in self._recorded() if sizes.at - past["at"] >= _MIN_SPAN_S]
        return _add_growth(sizes, recorded[0]) if recorded else sizes

    def record(self) -> StoreSizes:
        """Determine the sizes and record them, for the growth and for `last`."""
        sizes = self.read()
        own = {
            "at": sizes.at, "bytes": sizes.bytes, "free_bytes": sizes.free_bytes or 0,
            "tables": {table.name: (table.rows, table.total_bytes) for table in sizes.tables},
            "indexes": {table.name: {index.name: index.bytes for index in table.indexes} for table in sizes.tables},
        }  # fmt: skip
        recorded = [past for past in self._recorded() if sizes.at - past["at"] >= 0.8 * DAY_S][1 - _KEPT :]
        for past in recorded:
            past.pop("indexes", None)
        with self._database.write() as session:
            value = json.dumps([*recorded, own])
            session.merge(tables.Control(key=_RECORDED, value=value, changed_at=self._database.clock()))
        return sizes

    def last(self) -> StoreSizes | None:
        """Return the sizes that were recorded last, with their growth; None before the first record."""
        recorded = self._recorded()
        if not recorded:
            return None
        newest = recorded[-1]
        indexes = newest.get("indexes", {})
        tables_of_record = []
        for name, (rows, total) in newest["tables"].items():
            own = _sort_indexes(indexes.get(name, {}))
            table_bytes = None if total is None else total - sum(index.bytes for index in own)
            tables_of_record.append(TableSize(name, rows, table_bytes, own))
        sizes = StoreSizes(
            newest["at"], newest["bytes"], newest["free_bytes"], _disk_free(self._path()), None, tuple(tables_of_record)
        )
        earlier = [past for past in recorded if newest["at"] - past["at"] >= _MIN_SPAN_S]
        return _add_growth(sizes, earlier[0]) if earlier else sizes

    def total_bytes(self) -> int:
        """Return the size of the database, which costs nothing."""
        with self._database.read() as session:
            return _total_bytes(session.connection())

    def vacuum(self) -> None:
        """Return free space to the disk: SQLite writes its file again, and nobody may use it meanwhile.

        Raises
        ------
        Misconfigured : the disk has no space for the new file of SQLite.
        """
        path = self._path()
        if path is not None:
            needed, free = self.total_bytes(), _disk_free(path) or 0
            if free < 2 * needed:
                raise Misconfigured(
                    f"{path}: a vacuum needs {2 * needed / 1e9:.1f} GB of free space, the disk has {free / 1e9:.1f} GB"
                )
        connection = self._database.engine.raw_connection()
        try:
            driver: Any = connection.driver_connection
            if path is None:
                driver.autocommit = True
            driver.execute("VACUUM" if path is not None else "VACUUM ANALYZE")
        finally:
            connection.invalidate()  # its mode differs from that of the others
            connection.close()

    def _path(self) -> Path | None:
        url = self._database.engine.url
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None

    def _measure(self) -> StoreSizes:
        now = self._database.clock()
        with self._database.read() as session:
            connection = session.connection()
            rows = {
                table.name: connection.scalar(select(func.count()).select_from(table)) or 0
                for table in tables.Base.metadata.sorted_tables
            }
            bytes_of = _bytes_of(connection)
            indexes = connection.execute(text(_INDEXES[connection.dialect.name]))
            table_of: dict[str, str] = {index: table for index, table in indexes}
            free = None
            if connection.dialect.name == "sqlite":
                free = _pragma(connection, "freelist_count") * _pragma(connection, "page_size")
            total = _total_bytes(connection)
        sizes = []
        for name, number in rows.items():
            own = {index: bytes_of.get(index, 0) for index, table in table_of.items() if table == name}
            sizes.append(TableSize(name, number, bytes_of.get(name), _sort_indexes(own) if bytes_of else ()))
        sizes.sort(key=lambda size: (-(size.total_bytes or 0), -size.rows, size.name))
        return StoreSizes(now, total, free, _disk_free(self._path()), None, tuple(sizes))

    def _recorded(self) -> list[dict[str, Any]]:
        """The recorded sizes, the oldest first."""
        with self._database.read() as session:
            row = session.get(tables.Control, _RECORDED)
            return list(json.loads(row.value)) if row else []


def _sort_indexes(bytes_of: Mapping[str, int]) -> tuple[IndexSize, ...]:
    return tuple(IndexSize(name, size) for name, size in sorted(bytes_of.items(), key=lambda item: (-item[1], item[0])))


def _bytes_of(connection: Connection) -> dict[str, int]:
    """Bytes by name of table and index; empty where SQLite was built without dbstat."""
    if connection.dialect.name == "postgresql":
        return {name: int(size) for name, size in connection.execute(text(_POSTGRES_BYTES))}
    if not connection.scalar(text("SELECT sqlite_compileoption_used('ENABLE_DBSTAT_VTAB')")):
        return {}
    return {name: int(size) for name, size in connection.execute(text(_SQLITE_BYTES))}


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.scalar(text(f"PRAGMA {name}")) or 0)


def _total_bytes(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    return _pragma(connection, "page_count") * _pragma(connection, "page_size")


def _disk_free(path: Path | None) -> int | None:
    return None if path is None else shutil.disk_usage(path.parent).free


def _add_growth(sizes: StoreSizes, past: Mapping[str, Any]) -> StoreSizes:
    """Add the growth since recorded sizes."""
    days = (sizes.at - past["at"]) / DAY_S
    before: Mapping[str, Sequence[Any]] = past["tables"]
    grown = []
    for table in sizes.tables:
        rows, total = before.get(table.name, (0, 0))
        per_day = None if total is None or table.total_bytes is None else (table.total_bytes - total) / days
        grown.append(replace(table, rows_per_day=(table.rows - rows) / days, bytes_per_day=per_day))
    used = (sizes.bytes - (sizes.free_bytes or 0)) - (past["bytes"] - past["free_bytes"])
    return replace(sizes, bytes_per_day=used / days, tables=tuple(grown))
