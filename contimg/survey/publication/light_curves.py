"""Light curves as VOTables: a time series of one source (IVOA notes on TIMESYS and on time series in VOTable)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from contimg.common.files.staging import disk_errors
from contimg.formats.table_streams import Batch
from contimg.formats.votables import END, HEAD, VOField, info, table

DIRECTORY = "light_curves"
FRAME = (
    '<COOSYS ID="icrs" system="ICRS"/>\n'
    '<TIMESYS ID="time" timeorigin="2400000.5" timescale="UTC" refposition="TOPOCENTER"/>\n'
)  # fmt: skip
POINT_FIELDS = (
    VOField("mjd", "double", "d", "time.epoch;obs;meta.main", "Middle of the observation, MJD, UTC", ref="time"),
    VOField("flux", "double", "Jy", "phot.flux.density;em.radio;meta.main", "Flux density after normalisation"),
    VOField("flux_error", "double", "Jy", "stat.error;phot.flux.density;em.radio", "Its standard error"),
    VOField("limit", "double", "Jy", "phot.flux.density;stat.max", "3 sigma upper limit of a flux of 0"),
    VOField("local_rms", "double", "Jy/beam", "stat.stdev;phot.flux.density", "Noise at the position"),
    VOField("flags", "char", "", "meta.code.qual", "Names of its flags"),
    VOField("counted", "boolean", "", "meta.code", "Whether the statistics use it"),
    VOField("epoch", "char", "", "meta.id;obs", "Key of the epoch"),
)
"""Fields of a light curve, in the order of a row."""
_COLUMNS = ("mjd", "flux_jy", "flux_error_jy", "limit_jy", "local_rms_jy", "flag_names", "is_counted", "epoch")
_SOURCE = (
    VOField("source", "text", "", "meta.id;src", "Name of the source"),
    VOField("ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS", ref="icrs"),
    VOField("dec", "double", "deg", "pos.eq.dec;meta.main", "Declination, ICRS", ref="icrs"),
)


def light_curve_votable(name: str, ra_deg: float, dec_deg: float, points: Iterable[Sequence[Any]]) -> str:
    """Return the light curve of a source as a VOTable.

    Parameters
    ----------
    name : of the source.
    ra_deg, dec_deg : its position, ICRS.
    points : values of `POINT_FIELDS`, in order of time; NaN or None where there is none.
    """
    source = "".join(
        field.parameter(value) for field, value in zip(_SOURCE, (name, ra_deg, dec_deg), strict=True)
    )  # fmt: skip
    points_table = table(POINT_FIELDS, points, source, "light_curve")
    status = info("QUERY_STATUS", "OK") + info("dataproduct_type", "timeseries")
    return f'{HEAD}<RESOURCE type="results">\n{status}{FRAME}{points_table}</RESOURCE>\n{END}'


def write_light_curves(directory: Path, batch: Batch, min_points: int) -> int:
    """Write a VOTable for each source with enough counted points, and return their number.

    Parameters
    ----------
    directory : of the publication; the files are in `light_curves/HHh/NAME.vot` by hour of right ascension.
    batch : measurements of whole sources.
    min_points : fewest counted points.
    """
    written = 0
    for number, name, ra_deg, dec_deg, points in _curves(batch):
        if len(points) >= min_points:
            path = directory / DIRECTORY / f"{int(ra_deg % 360 / 15):02d}h" / f"{_file_name(name, number)}.vot"
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(light_curve_votable(name, ra_deg, dec_deg, points), encoding="utf-8")
            written += 1
    return written


def _curves(batch: Batch) -> Iterator[tuple[int, str, float, float, list[Any]]]:
    """Number, name, position and counted points of each source of a batch."""
    numbers, counted = batch["source_id"].values.tolist(), batch["is_counted"].values.tolist()
    columns = [batch[name].values.tolist() for name in _COLUMNS]
    rows = list(zip(*columns, strict=True))
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[start]:
            points = [rows[index] for index in range(start, end) if counted[index]]
            position = (float(batch[name].values[start]) for name in ("ra_deg", "dec_deg"))
            yield numbers[start], str(batch["name"].values[start]), *position, points
            start = end


def _file_name(name: str, number: int) -> str:
    """A name of a file from the name of a source, which may hold any character; then with its number, to be unique."""
    plain = "".join(character if character.isascii() and character.isalnum() else "_" for character in name)
    clean = "".join(name[index] if name[index] in "+-." and index else plain[index] for index in range(len(name)))
    return clean if clean == name else f"{clean}_{number}"
