"""Sources as a VOTable, the answer of an IVOA Simple Cone Search (REC-ConeSearch 1.03)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from contimg.formats.votables import MEDIA_TYPE, VOField, results
from contimg.store.sky.records import SourceRecord

MIMETYPE = MEDIA_TYPE
MAX_RECORDS = 10_000
FRAME = '<COOSYS ID="icrs" system="ICRS"/>\n'


@dataclass(frozen=True)
class Column:
    """A column: its field, the value of a source, and the verbosity from which on it is sent."""

    field: VOField
    value: Callable[[SourceRecord], Any]
    verbosity: int


def _column(
    name: str, value: Callable[[SourceRecord], Any], kind: str, unit: str, ucd: str, description: str,
    verbosity: int = 2, identifier: str = "", ref: str = "",
) -> Column:  # fmt: skip
    return Column(VOField(name, kind, unit, ucd, description, id=identifier, ref=ref), value, verbosity)


def _statistic(name: str) -> Callable[[SourceRecord], Any]:
    def read(source: SourceRecord) -> Any:
        return None if source.variability is None else getattr(source.variability, name)

    return read


# The standard takes UCD1 for the three columns that every service has.
COLUMNS = (
    _column("name", lambda source: source.name, "text", "", "ID_MAIN", "Name of the source", 1),
    _column("ra", lambda source: source.ra_deg, "double", "deg", "POS_EQ_RA_MAIN", "Right ascension, ICRS", 1,
            ref="icrs"),
    _column("dec", lambda source: source.dec_deg, "double", "deg", "POS_EQ_DEC_MAIN", "Declination, ICRS", 1,
            ref="icrs"),
    _column("id", lambda source: source.id, "long", "", "meta.id", "Number of the source in the store", 1, "source_id"),
    _column("separation", lambda source: source.separation_deg, "double", "deg", "pos.angDistance", "Distance"),
    _column("flux", _statistic("weighted_mean_jy"), "double", "Jy", "phot.flux.density;stat.mean",
            "Weighted mean flux"),
    _column("flux_error", _statistic("weighted_mean_error_jy"), "double", "Jy", "stat.error;phot.flux.density",
            "Its error"),
    _column("n", _statistic("n"), "int", "", "meta.number", "Counted measurements"),
    _column("eta", _statistic("eta"), "double", "", "stat.fit.chi2", "Reduced chi-squared against a constant flux"),
    _column("v", _statistic("modulation_index"), "double", "", "stat.variance",
            "Standard deviation over the mean flux"),
    _column("vs", _statistic("vs"), "double", "", "stat.snr", "Vs between the highest and the lowest point", 3),
    _column("m", _statistic("m"), "double", "", "stat.value", "m between the highest and the lowest point", 3),
    _column("first_mjd", _statistic("first_mjd"), "double", "d", "time.start", "First measurement, MJD, UTC", 3),
    _column("last_mjd", _statistic("last_mjd"), "double", "d", "time.end", "Last measurement, MJD, UTC", 3),
    _column("last_flux", _statistic("last_jy"), "double", "Jy", "phot.flux.density", "Flux of the last", 3),
    _column("kind", lambda source: str(source.kind), "char", "", "meta.code.class", "Where the source comes from", 3),
)  # fmt: skip


def columns_of(verbosity: int, root: str) -> tuple[Column, ...]:
    """Return the columns of an answer; the last is the address of the light curve.

    Parameters
    ----------
    verbosity : 1, 2 or 3, as `VERB` of the standard.
    root : absolute address of the panel, without the last slash.
    """
    curve = _column(
        "light_curve", lambda source: f"{root}/vo/lightcurve?ID={source.id}", "char", "", "meta.ref.url",
        "Address of the light curve, a VOTable time series",
    )  # fmt: skip
    return tuple(column for column in (*COLUMNS, curve) if column.verbosity <= verbosity)


def write_votable(sources: Sequence[SourceRecord], *, is_cut: bool, root: str, verbosity: int = 2) -> bytes:
    """Return sources as a VOTable.

    Parameters
    ----------
    sources : of a cone.
    is_cut : whether the cone holds more sources than these.
    root : absolute address of the panel, without the last slash.
    verbosity : 1, 2 or 3, as `VERB` of the standard.
    """
    columns = columns_of(verbosity, root)
    rows = ([column.value(source) for column in columns] for source in sources)
    descriptor = (
        '<RESOURCE type="meta" utype="adhoc:service" name="light_curve">\n'
        f'<PARAM name="accessURL" datatype="char" arraysize="*" value={quoteattr(f"{root}/vo/lightcurve")}/>\n'
        '<PARAM name="contentType" datatype="char" arraysize="*" '
        f"value={quoteattr(f'{MEDIA_TYPE};content=timeseries')}/>\n"
        '<GROUP name="inputParams"><PARAM name="ID" datatype="long" ref="source_id" value=""/></GROUP>\n</RESOURCE>\n'
    )
    fields = [column.field for column in columns]
    return results(fields, rows, is_cut=is_cut, frame=FRAME, further=descriptor)
