"""Tables of any number of rows as files, written in batches: CSV, VOTable or Parquet. The memory holds one batch."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from contimg.common.errors import BadInput
from contimg.common.files.staging import disk_errors, staged
from contimg.formats.source_tables import TableColumn, table_format
from contimg.formats.votables import END, HEAD, VOField

Batch = Mapping[str, TableColumn]
_VOTABLE_TYPES = {"i": "long", "f": "double", "b": "boolean"}


def stream_table(path: Path, batches: Iterable[Batch], notes: Mapping[str, Any] | None = None) -> int:
    """Write a table in batches of rows under a temporary name and rename it; a file that exists is replaced.

    Parameters
    ----------
    path : of the file; `.csv`, `.vot`, `.votable`, `.xml` or `.parquet`.
    batches : columns by name, the same ones in every batch; at least one batch, which may have no row. Values are
        integers, floats (NaN where there is none), booleans or text.
    notes : what the table is about; kept by VOTable and Parquet.

    Returns
    -------
    number of rows.

    Raises
    ------
    BadInput : the suffix is not known, or stands for a format that cannot be written in batches.
    Transient : the disk is full or cannot be written.
    """
    kind = table_format(path)
    if kind not in _WRITERS:
        raise BadInput(f"{path}: {kind} is not written in batches; give .csv, .vot or .parquet")
    remaining = iter(batches)
    first = next(remaining)
    with staged(path) as temporary, disk_errors(path), ExitStack() as stack:
        write = _WRITERS[kind](temporary, first, notes or {}, stack)
        rows = 0
        for batch in chain((first,), remaining):
            write(batch)
            rows += len(next(iter(batch.values())).values)
        return rows


def _write_csv(path: Path, first: Batch, _notes: Mapping[str, Any], stack: ExitStack) -> Callable[[Batch], None]:
    writer = csv.writer(stack.enter_context(path.open("w", encoding="utf-8", newline="")), lineterminator="\n")
    writer.writerow(first)

    def write(batch: Batch) -> None:
        writer.writerows(zip(*(_cells(column, "True", "False") for column in batch.values()), strict=True))

    return write


def _write_votable(path: Path, first: Batch, notes: Mapping[str, Any], stack: ExitStack) -> Callable[[Batch], None]:
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    about = escape("; ".join(f"{name}: {value}" for name, value in notes.items()))
    file.write(f"{HEAD}<RESOURCE><TABLE>\n<DESCRIPTION>{about}</DESCRIPTION>\n")
    for name, column in first.items():
        kind = _VOTABLE_TYPES.get(column.values.dtype.kind, "text")
        file.write(VOField(name, kind, column.unit, column.ucd, column.description).element())
    file.write("<DATA><TABLEDATA>\n")
    stack.callback(file.write, f"</TABLEDATA></DATA>\n</TABLE></RESOURCE>\n{END}")

    def write(batch: Batch) -> None:
        columns = [_cells(column, "T", "F") for column in batch.values()]
        columns = [list(map(escape, cells)) if isinstance(next(iter(cells), 0), str) else cells for cells in columns]
        for cells in zip(*columns, strict=True):
            file.write(f"<TR><TD>{'</TD><TD>'.join(map(str, cells))}</TD></TR>\n")

    return write


def _write_parquet(path: Path, first: Batch, notes: Mapping[str, Any], stack: ExitStack) -> Callable[[Batch], None]:
    import pyarrow as pa  # heavy, and only this format needs it
    from pyarrow import parquet

    types = {"i": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
    fields = [
        pa.field(
            name, types.get(column.values.dtype.kind, pa.string()),
            metadata={"unit": column.unit, "ucd": column.ucd, "description": column.description},
        )
        for name, column in first.items()
    ]  # fmt: skip
    schema = pa.schema(fields, metadata={name: str(value) for name, value in notes.items()})
    writer = stack.enter_context(parquet.ParquetWriter(path, schema, compression="zstd"))

    def write(batch: Batch) -> None:
        arrays = [
            pa.array(column.values.tolist() if column.values.dtype.kind in "UO" else column.values, type=field.type,
                     from_pandas=column.values.dtype.kind == "f")
            for column, field in zip(batch.values(), schema, strict=True)
        ]  # fmt: skip
        if len(arrays[0]):
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))

    return write


def read_parquet(path: Path) -> Iterator[dict[str, TableColumn]]:
    """Yield the columns of a Parquet file that `stream_table` wrote, a batch for each of its row groups.

    Parameters
    ----------
    path : of the file; one without a row yields a batch without one.

    Raises
    ------
    BadInput : it cannot be read as Parquet.
    """
    import pyarrow as pa  # heavy, and only this format needs it
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            groups = range(file.num_row_groups)
            tables = (file.read_row_group(group) for group in groups) if groups else iter([schema.empty_table()])
            for table in tables:
                yield {field.name: _column_of(table[field.name], field) for field in schema}
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({error})") from None


def _column_of(values: Any, field: Any) -> TableColumn:
    kind = {"int64": np.int64, "double": np.float64, "bool": np.bool_}.get(str(field.type), np.str_)
    missing = np.nan if kind is np.float64 else ""
    cells = [missing if value is None else value for value in values.to_pylist()]
    words = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
    return TableColumn(
        np.array(cells, dtype=kind), **{name: words.get(name, "") for name in ("unit", "ucd", "description")}
    )


def _cells(column: TableColumn, true: str, false: str) -> list[Any]:
    """Values of a column as text or numbers; empty text for NaN."""
    values = column.values
    if values.dtype.kind == "b":
        return [true if value else false for value in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if value != value else value for value in values.astype(np.float64).tolist()]
    return list(values.tolist())


_WRITERS: Mapping[str, Callable[[Path, Batch, Mapping[str, Any], ExitStack], Callable[[Batch], None]]] = {
    "csv": _write_csv, "votable": _write_votable, "parquet": _write_parquet,
}  # fmt: skip
