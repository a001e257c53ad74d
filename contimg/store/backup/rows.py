"""Every row of the store from one database to another, in the order that foreign keys ask for."""

from sqlalchemy import Connection, func, insert, select, text

from contimg.store.tables import Base

_AT_A_TIME = 1000


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
        rows = source.execution_options(yield_per=_AT_A_TIME).execute(select(table)).mappings()
        for some in rows.partitions(_AT_A_TIME):
            target.execute(insert(table), [dict(row) for row in some])
        if target.dialect.name == "postgresql":
            _go_on_counting(target, table.name)


def _go_on_counting(connection: Connection, table: str) -> None:
    """PostgreSQL numbers rows from a sequence that knows nothing of rows inserted with their numbers."""
    sequence = None
    if "id" in Base.metadata.tables[table].columns:
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": table})
    if sequence:
        newest = connection.scalar(select(func.max(Base.metadata.tables[table].c.id))) or 0
        connection.execute(
            text("SELECT setval(:sequence, :next, false)"), {"sequence": sequence, "next": int(newest) + 1}
        )
