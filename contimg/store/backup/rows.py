"""Copy every row of the store from one database to another, in the order that foreign keys require."""

from sqlalchemy import Connection, func, insert, select, text

from contimg.store.tables import Base

_ROWS_PER_INSERT = 1000


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows of each table."""
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def copy_rows(source: Connection, target: Connection) -> None:
    """Replace every row of the target by the source's; both have this version's tables."""
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
