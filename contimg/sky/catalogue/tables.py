"""Reading source tables in batches: FITS, VOTable, CSV and TSV with a header, text in columns of bytes or words.

A column is named by its name in the table, or in text without a header by its bytes (`41-51`) or words (`w1-w3`), as
the documentation of a table counts them: from 1, the last one included.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.io.votable.exceptions import VOTableSpecError
from numpy.typing import NDArray

from contimg.common.errors import BadInput

BATCH_ROWS = 50_000
Column = NDArray[Any]
Batch = Mapping[str, Column]
_FITS_SUFFIXES, _VOTABLE_SUFFIXES = (".fits", ".fit"), (".vot", ".xml", ".votable")
_COMMENTS = ("#", ";", "!")
_UNREADABLE = (
    UnicodeDecodeError, csv.Error, ElementTree.ParseError, gzip.BadGzipFile, EOFError, zlib.error, IndexError, KeyError,
    TypeError, VOTableSpecError,
)  # fmt: skip
_POSITION = re.compile(r"(w?)(\d+)(?:-w?(\d+))?")


@dataclass(frozen=True)
class Table:
    """A source table, opened.

    Attributes
    ----------
    path : of the file.
    names : of its columns; empty where the table has no header.
    units : of the columns whose unit the table states, by name.
    """

    path: Path
    names: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return the name of a column as the table spells it, capitals aside; None where it has none such.

        Parameters
        ----------
        name : of the column, or its bytes or words in text.
        """
        if not self.names:
            return name if _POSITION.fullmatch(name) else None
        return next((column for column in self.names if column.lower() == name.lower()), None)

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield some of the columns in batches of `BATCH_ROWS`.

        Parameters
        ----------
        columns : names as `find` returns them.

        Returns
        -------
        For each batch the columns by name, numbers or text without blanks around it, shape (rows,).
        """
        raise NotImplementedError


class FitsTable(Table):
    """The first table of a FITS file."""

    @classmethod
    def open(cls, path: Path) -> "FitsTable":
        """Read the names and units of the columns.

        Parameters
        ----------
        path : of the file, which may be compressed.
        """
        with fits.open(path) as file:
            columns = _first_table(file, path).columns
            return cls(path, tuple(columns.names), {column.name: column.unit for column in columns if column.unit})

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield columns, read from the disk as they are needed."""
        with fits.open(self.path, memmap=True) as file:
            table = _first_table(file, self.path)
            for first in range(0, len(table.data), BATCH_ROWS):
                rows = table.data[first : first + BATCH_ROWS]
                yield {name: _clean(np.asarray(rows[name])) for name in columns}


class VOTable(Table):
    """The first table of a VOTable; rows in TABLEDATA are streamed, others are read whole by Astropy."""

    @classmethod
    def open(cls, path: Path) -> "VOTable":
        """Read the names and units of the fields.

        Parameters
        ----------
        path : of the file, which may be compressed.
        """
        names, units = [], {}
        with _open_binary(path) as file:
            for tag, element in _elements(file):
                if tag == "FIELD":
                    names.append(element.get("name") or element.get("ID") or "")
                    if unit := element.get("unit"):
                        units[names[-1]] = unit
                elif tag in ("DATA", "TABLEDATA", "TR"):
                    break
        return cls(path, tuple(names), units)

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield columns; a cell without a value is empty text or NaN."""
        with _open_binary(self.path) as file:
            is_streamed = next((tag for tag, _ in _elements(file) if tag in ("TR", "STREAM")), "STREAM") == "TR"
        if not is_streamed:
            table = parse_single_table(self.path).to_table()
            yield {
                name: _clean(np.ma.filled(table[name].astype(table[name].dtype), _blank(table[name])))
                for name in columns
            }
            return
        indices = [self.names.index(name) for name in columns]
        with _open_binary(self.path) as file:
            rows = (
                [(element[index].text or "").strip() for index in indices]
                for tag, element in _elements(file)
                if tag == "TR"
            )
            yield from _batches(rows, columns)


class DelimitedTable(Table):
    """Text with a line of names: CSV, or VizieR's TSV with lines of units and dashes below it."""

    @classmethod
    def open(cls, path: Path) -> "DelimitedTable":
        """Read the names, and the units where a line of them follows.

        Parameters
        ----------
        path : of the file, which may be compressed.
        """
        with _open_text(path) as file:
            rows = list(islice(_rows(file), 3))
        names, units = rows[0], rows[1] if len(rows) == 3 and _is_rule(rows[2]) else []
        stated = zip(names, units, strict=False)
        return cls(path, tuple(names), {name: unit for name, unit in stated if unit})

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield columns of text."""
        indices = [self.names.index(name) for name in columns]
        with _open_text(self.path) as file:
            rows = islice(_rows(file), 1, None)
            first = list(islice(rows, 2))
            if len(first) == 2 and _is_rule(first[1]):
                first = []
            cells = (self._cells_of(row, indices) for row in chain(first, rows))
            yield from _batches(cells, columns)

    def _cells_of(self, row: Sequence[str], indices: Sequence[int]) -> list[str]:
        if len(row) <= max(indices):
            raise BadInput(f"{self.path}: a row has {len(row)} of {len(self.names)} columns: {','.join(row)[:60]}")
        return [row[index] for index in indices]


class TextTable(Table):
    """Text without a header, in columns of bytes or words."""

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield columns of text."""
        with _open_text(self.path) as file:
            lines = (line for line in file if line.strip() and not line.startswith(_COMMENTS))
            while batch := list(islice(lines, BATCH_ROWS)):
                yield {name: np.array(_cells(batch, name), dtype=np.str_) for name in columns}


def open_table(path: Path) -> Table:
    """Open a source table; its format follows from the name of the file and its first line.

    Parameters
    ----------
    path : of the file; `.gz` may follow its suffix.

    Raises
    ------
    BadInput : the file is no table of these formats.
    """
    name = path.name.lower().removesuffix(".gz")
    with readable(path):
        if name.endswith(_FITS_SUFFIXES):
            return FitsTable.open(path)
        if name.endswith(_VOTABLE_SUFFIXES):
            return VOTable.open(path)
        with _open_text(path) as file:
            line = next((line for line in file if line.strip() and not line.startswith(_COMMENTS)), "")
        if not line:
            raise BadInput(f"{path}: is empty; give a table with sources")
        return DelimitedTable.open(path) if re.search(r"[,;|\t]", line) else TextTable(path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the readers of tables raise inside the block into one BadInput that names the table.

    Parameters
    ----------
    path : of the table.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise BadInput(f"{path}: cannot be read as a table ({error}); give FITS, VOTable, CSV, TSV or text") from error


def _first_table(file: fits.HDUList, path: Path) -> Any:
    table = next((hdu for hdu in file if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))), None)
    if table is None:
        raise BadInput(f"{path}: has no table extension; give the file of the sources, not of the images")
    return table


def _elements(file: IO[bytes]) -> Iterator[tuple[str, ElementTree.Element]]:
    """Elements of an XML file as they end, without the namespace; rows are dropped from memory after use."""
    for event, element in ElementTree.iterparse(file, ("start", "end")):  # noqa: S314 (a table of the site)
        tag = element.tag.rpartition("}")[2]
        if event == "end" or tag in ("DATA", "STREAM"):
            yield tag, element
        if event == "end" and tag in ("TR", "TABLEDATA"):
            element.clear()


def _rows(file: Iterable[str]) -> Iterator[list[str]]:
    lines = (line for line in file if line.strip() and not line.startswith("#"))
    first = next(lines, "")
    delimiter = max("\t,;|", key=first.count)
    return ([cell.strip() for cell in row] for row in csv.reader(chain([first], lines), delimiter=delimiter))


def _is_rule(row: Sequence[str]) -> bool:
    """Whether a row is the line of dashes below VizieR's names and units."""
    return all(cell and not cell.strip("-") for cell in row)


def _batches(rows: Iterator[Sequence[str]], columns: Sequence[str]) -> Iterator[Batch]:
    while batch := list(islice(rows, BATCH_ROWS)):
        cells = zip(*batch, strict=True)
        yield {name: np.array(column, dtype=np.str_) for name, column in zip(columns, cells, strict=True)}


def _cells(lines: Sequence[str], column: str) -> list[str]:
    match = _POSITION.fullmatch(column)
    if match is None:
        raise BadInput(f"column {column}: a table without a header has bytes such as 41-51 or words such as w1-w3")
    first, after = int(match[2]) - 1, int(match[3] or match[2])
    if match[1]:
        return [" ".join(line.split()[first:after]) for line in lines]
    return [line[first:after].strip() for line in lines]


def _clean(column: Column) -> Column:
    if column.dtype.kind in "SU":
        return np.char.strip(column.astype(np.str_))
    return np.array([str(cell).strip() for cell in column]) if column.dtype == object else column


def _blank(column: Any) -> Any:
    return "" if column.dtype.kind in "SUO" else 0 if column.dtype.kind in "iub" else np.nan


def _open_binary(path: Path) -> Any:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _open_text(path: Path) -> Any:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig", newline="")
