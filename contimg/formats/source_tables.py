"""Tables of sources or measurements as files: CSV, VOTable, FITS or Parquet, with units and descriptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.common.files.staging import disk_errors, staged

FORMATS: Mapping[str, str] = {
    ".csv": "csv", ".vot": "votable", ".votable": "votable", ".xml": "votable", ".fits": "fits", ".fit": "fits",
    ".parquet": "parquet",
}  # fmt: skip
"""Format of a table by the end of its file's name."""


@dataclass(frozen=True)
class TableColumn:
    """A column: its values, shape (rows,), unit, description and UCD (IVOA UCD1+); VOTable and Parquet keep the UCD."""

    values: NDArray[Any]
    unit: str = ""
    description: str = ""
    ucd: str = ""


def table_format(path: Path) -> str:
    """Return the format that the name of a table's file stands for: csv, votable, fits or parquet.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    BadInput : its suffix is none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"{path}: no table ends in {path.suffix or 'no suffix'}; give one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def write_table(path: Path, columns: Mapping[str, TableColumn], notes: Mapping[str, Any] | None = None) -> None:
    """Write a table under a temporary name and rename it; a file that exists is replaced.

    Parameters
    ----------
    path : of the file; its suffix gives the format.
    columns : by name, all of one length.
    notes : what the table is about, such as the image; kept by VOTable, FITS (8 characters of the name) and Parquet.

    Raises
    ------
    BadInput : the suffix is not known.
    Transient : the disk is full or cannot be written.
    """
    kind, notes = table_format(path), {name: value for name, value in (notes or {}).items() if value is not None}
    with staged(path) as temporary, disk_errors(path):
        if kind == "parquet":
            _write_parquet(temporary, columns, notes)
        else:
            _write_astropy(temporary, kind, columns, notes)


def _write_astropy(path: Path, kind: str, columns: Mapping[str, TableColumn], notes: Mapping[str, Any]) -> None:
    from astropy.io.votable import from_table, writeto  # heavy, and the store imports this module
    from astropy.table import Column, Table

    table = Table(
        {
            name: Column(column.values, unit=column.unit or None, description=column.description or None)
            for name, column in columns.items()
        }
    )
    if kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as text:
            table.write(text, format="ascii.csv")
    elif kind == "votable":
        table.meta = {"description": "; ".join(f"{name}: {value}" for name, value in notes.items())}
        with path.open("wb") as file:
            writeto(from_table(table), file)
    else:
        table.meta = {name[:8].upper(): value for name, value in notes.items()}
        with path.open("wb") as file:
            table.write(file, format="fits")


def _write_parquet(path: Path, columns: Mapping[str, TableColumn], notes: Mapping[str, Any]) -> None:
    import pyarrow as pa  # heavy, and only this format needs it
    from pyarrow import parquet

    fields, arrays = [], []
    for name, column in columns.items():
        values = (
            column.values.astype(object) if column.values.dtype.kind == "U" else np.ascontiguousarray(column.values)
        )
        array = pa.array(values, from_pandas=False)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"unit": column.unit, "description": column.description}))
    schema = pa.schema(fields, metadata={name: str(value) for name, value in notes.items()})
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")
