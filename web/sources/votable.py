"""Sources as a VOTable, the answer of an IVOA Simple Cone Search (REC-ConeSearch 1.03)."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contimg.store.sky.records import SourceRecord

MIMETYPE = "application/x-votable+xml"
MAX_RECORDS = 10_000


@dataclass(frozen=True)
class Column:
    """A column: its name, the value of a source, type, unit, UCD and description."""

    name: str
    value: Callable[[SourceRecord], Any]
    kind: str
    unit: str
    ucd: str
    description: str


def _statistic(name: str) -> Callable[[SourceRecord], Any]:
    def read(source: SourceRecord) -> Any:
        return None if source.variability is None else getattr(source.variability, name)

    return read


# The standard takes UCD1 for the three columns that every service has.
COLUMNS = (
    Column("name", lambda source: source.name, "U64", "", "ID_MAIN", "Name of the source"),
    Column("ra", lambda source: source.ra_deg, "f8", "deg", "POS_EQ_RA_MAIN", "Right ascension, ICRS"),
    Column("dec", lambda source: source.dec_deg, "f8", "deg", "POS_EQ_DEC_MAIN", "Declination, ICRS"),
    Column("id", lambda source: source.id, "i8", "", "meta.id", "Number of the source in the store"),
    Column("separation", lambda source: source.separation_deg, "f8", "deg", "pos.angDistance", "Distance"),
    Column("flux", _statistic("weighted_mean_jy"), "f8", "Jy", "phot.flux.density;stat.mean", "Weighted mean flux"),
    Column("flux_error", _statistic("weighted_mean_error_jy"), "f8", "Jy", "stat.error;phot.flux.density", "Its error"),
    Column("n", _statistic("n"), "i4", "", "meta.number", "Counted measurements"),
    Column("eta", _statistic("eta"), "f8", "", "stat.fit.chi2", "Reduced chi-squared against a constant flux"),
    Column("v", _statistic("modulation_index"), "f8", "", "stat.variance", "Standard deviation over the mean flux"),
)  # fmt: skip


def write_votable(sources: Sequence[SourceRecord], *, is_cut: bool) -> bytes:
    """Return sources as a VOTable.

    Parameters
    ----------
    sources : of a cone.
    is_cut : whether the cone holds more sources than these.
    """
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info
    from astropy.table import MaskedColumn, Table

    table = Table()
    for column in COLUMNS:
        values = [column.value(source) for source in sources]
        filler: Any = "" if column.kind.startswith("U") else 0
        data = [filler if value is None else value for value in values]
        table[column.name] = MaskedColumn(
            data, mask=[value is None for value in values], dtype=column.kind, unit=column.unit or None,
            description=column.description, meta={"ucd": column.ucd},
        )  # fmt: skip
    document = from_table(table, table_id="sources")
    document.resources[0].type = "results"
    status = "OVERFLOW" if is_cut else "OK"
    document.resources[0].infos.append(Info(name="QUERY_STATUS", value=status))
    file = io.BytesIO()
    document.to_xml(file)
    return file.getvalue()
