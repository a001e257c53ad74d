"""Tables of any number of rows as files, written in batches: CSV, VOTable or Parquet. The memory holds one batch."""

import csv
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from contimg.common.errors import BadInput
from contimg.common.files.staging import disk_errors, staged
from contimg.formats.source_tables import TableColumn, table_format

Batch = Mapping[str, TableColumn]
_VOTABLE_TYPES = {"i": 'datatype="long"', "f": 'datatype="double"', "b": 'datatype="boolean"'}
_TEXT_TYPE = 'datatype="unicodeChar" arraysize="*"'


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
    file.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f"<RESOURCE><TABLE>\n<DESCRIPTION>{about}</DESCRIPTION>\n"
    )
    for name, column in first.items():
        unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
        kind = _VOTABLE_TYPES.get(column.values.dtype.kind, _TEXT_TYPE)
        text = escape(column.description)
        file.write(f"<FIELD name={quoteattr(name)} {kind}{unit}><DESCRIPTION>{text}</DESCRIPTION></FIELD>\n")
    file.write("<DATA><TABLEDATA>\n")
    stack.callback(file.write, "</TABLEDATA></DATA>\n</TABLE></RESOURCE>\n</VOTABLE>\n")

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
            metadata={"unit": column.unit, "description": column.description},
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
