"""Building a catalogue from a site's table: columns, units, sexagesimal positions, sizes, and the check of fluxes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput, Misconfigured
from contimg.common.files.checksums import sha256_of
from contimg.sky.catalogue.catalogue import SURVEY, Catalogue, Provenance
from contimg.sky.catalogue.presets import PRESETS, Layout
from contimg.sky.catalogue.sources import ASSUMED_INDEX, CatalogueSources
from contimg.sky.catalogue.tables import Batch, Column, Table, open_table, readable
from contimg.sky.catalogue.writing import write_catalogue

FLUX_UNITS = {"jy": 1.0, "mjy": 1e-3, "ujy": 1e-6, "µjy": 1e-6, "μjy": 1e-6, "microjy": 1e-6}
ANGLE_UNITS = {
    "deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "asec": 1 / 3600, '"': 1 / 3600,
    "mas": 1 / 3.6e6, "rad": 180 / np.pi, "s": 15 / 3600,
}  # fmt: skip
POSITION_UNITS = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi, "h": 15.0, "hourangle": 15.0}
_PER_BEAM = re.compile(r"/beam|beam(\^|\*\*)?-1|[\s.*]")  # mJy/beam, mJy beam-1, beam-1.mJy
CONFIDENCE_90 = 1.645  # sigma of a 90 % interval
_REQUIRED = ("ra", "dec", "flux")
_RESOLVED_MARGIN = 1.1  # of integrated over peak flux, beyond three times its error
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a user says about a table; None and empty: the preset's, or the table's own.

    Attributes
    ----------
    preset : name of a preset; empty: all columns are named by `columns`.
    columns : columns of the table by key, over those of the preset.
    flux_unit : unit of the fluxes, over the table's.
    frequency_hz, beam_arcsec, flux_limit_jy : of the survey.
    spectral_index : that is assumed where a source has none.
    confusion_beam_arcsec : beam within which neighbours count as confusing; 0: the larger of the survey's and the
        telescope's.
    is_complete : whether the fluxes must fit the source counts; not those of a list of chosen sources.
    """

    preset: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    flux_unit: str = ""
    frequency_hz: float | None = None
    beam_arcsec: float | None = None
    flux_limit_jy: float | None = None
    spectral_index: float = ASSUMED_INDEX
    confusion_beam_arcsec: float = 0.0
    is_complete: bool = True


def build_catalogue(path: Path, name: str, source_table: Path, options: BuildOptions) -> Catalogue:
    """Build a catalogue file from a table.

    Parameters
    ----------
    path : of the catalogue file; one that exists is replaced at the end.
    name : of the catalogue.
    source_table : FITS, VOTable, CSV, TSV or text.
    options : columns and units.

    Raises
    ------
    Misconfigured : a column, a unit or the frequency is missing or not known.
    BadInput : the table cannot be read, or its fluxes differ from the source counts by a factor of 10 or more.
    """
    if not source_table.is_file():
        raise Misconfigured(f"{source_table}: no such table; give the path of a file")
    table = open_table(source_table)
    layout = _layout(table, options)
    columns = _resolve_columns(table, layout, options)
    scales = {key: _scale(key, column, table, layout, options) for key, column in columns.items()}
    _check_survey(table, columns, layout, options)
    provenance = Provenance(
        name=name, kind=SURVEY, frequency_hz=layout.frequency_hz, beam_deg=layout.beam_arcsec / 3600,
        flux_limit_jy=layout.flux_limit_jy, spectral_index=options.spectral_index, source_table=str(source_table),
        inputs=(f"{source_table.name} sha256:{sha256_of(source_table)}",), is_complete=options.is_complete,
    )  # fmt: skip
    return write_catalogue(
        path, _read_sources(table, columns, scales, layout), provenance, is_checked=options.is_complete,
        confusion_beam_deg=options.confusion_beam_arcsec / 3600,
    )  # fmt: skip


def _layout(table: Table, options: BuildOptions) -> Layout:
    """Return the layout of the preset that fits the table, with the values of the options."""
    layouts = PRESETS[options.preset] if options.preset else ()
    fitting = [
        layout
        for layout in layouts
        if all(options.columns.get(key) or _find(table, layout.columns[key]) for key in _REQUIRED)
    ]
    if not fitting and any(key not in options.columns for key in _REQUIRED):
        names = ", ".join(table.names[:40]) or "none, it is text: give bytes (ra=41-51) or words (ra=w1-w3)"
        raise Misconfigured(
            f"{table.path}: name the columns of ra, dec and flux with --columns, or a preset ({', '.join(PRESETS)}); "
            f"columns of the table: {names}"
        )
    layout = fitting[0] if fitting else None
    values = {
        name: value if value is not None else getattr(layout, name, None)
        for name, value in (
            ("frequency_hz", options.frequency_hz), ("beam_arcsec", options.beam_arcsec),
            ("flux_limit_jy", options.flux_limit_jy),
        )
    }  # fmt: skip
    for name, flag in (("frequency_hz", "--frequency-mhz"), ("beam_arcsec", "--beam-arcsec")):
        if values[name] is None:
            raise Misconfigured(f"{table.path}: {flag} is needed, the table does not state it")
    return Layout(
        columns=layout.columns if layout else {}, units=layout.units if layout else {},
        accepted=layout.accepted if layout else {}, rejected=layout.rejected if layout else {},
        id_prefix=layout.id_prefix if layout else "", frequency_hz=float(values["frequency_hz"] or 0),
        beam_arcsec=float(values["beam_arcsec"] or 0), flux_limit_jy=float(values["flux_limit_jy"] or 0),
    )  # fmt: skip


def _find(table: Table, candidates: str | tuple[str, ...]) -> str | None:
    names = (candidates,) if isinstance(candidates, str) else candidates
    return next(filter(None, map(table.find, names)), None)


def _resolve_columns(table: Table, layout: Layout, options: BuildOptions) -> dict[str, str]:
    """Columns of the table by key, and those that mark rows by their own names."""
    columns = {}
    for key, column in options.columns.items():
        if (name := table.find(column)) is None:
            raise Misconfigured(f"{table.path}: has no column {column}; its columns: {', '.join(table.names[:40])}")
        columns[key] = name
    for key, candidates in layout.columns.items():
        if key not in columns and (name := _find(table, candidates)):
            columns[key] = name
    return columns


def _scale(key: str, column: str, table: Table, layout: Layout, options: BuildOptions) -> float:
    """Factor to Jy or degrees of a column; a unit that is asked for, then the table's, then the preset's is taken."""
    if key in ("flux", "flux_error", "peak", "peak_error"):
        unit = options.flux_unit or table.units.get(column) or layout.units.get(key, "")
        scale = FLUX_UNITS.get(_PER_BEAM.sub("", unit.lower()))
        if scale is None:
            raise Misconfigured(
                f"{table.path}: the unit of column {column} is {unit or 'not stated'}; give --flux-unit Jy, mJy or uJy"
            )
        return scale
    if key in ("ra_error", "dec_error", "major", "minor", "fitted_major"):
        unit = table.units.get(column) or layout.units.get(key, "arcsec")
        scale = ANGLE_UNITS.get(unit.lower().strip())
        if scale is None:
            raise Misconfigured(f"{table.path}: the unit of column {column} is {unit}; use {', '.join(ANGLE_UNITS)}")
        return scale
    return 1.0


def _check_survey(table: Table, columns: Mapping[str, str], layout: Layout, options: BuildOptions) -> None:
    """Refuse the frequency of a preset for a table of another survey with the same columns."""
    if not layout.id_prefix or options.frequency_hz is not None or "source_id" not in columns:
        return
    for batch in _read_batches(table, (columns["source_id"],)):
        first = str(batch[columns["source_id"]][0])
        if not first.upper().startswith(layout.id_prefix):
            raise Misconfigured(
                f"{table.path}: its first source {first} is not of {layout.id_prefix}, the table may be of another "
                f"frequency than {layout.frequency_hz / 1e6:g} MHz; give --frequency-mhz"
            )
        return


def _read_sources(
    table: Table, columns: Mapping[str, str], scales: Mapping[str, float], layout: Layout
) -> Iterator[CatalogueSources]:
    accepted = {name: ranges for column, ranges in layout.accepted.items() if (name := table.find(column))}
    rejected = {name: text for column, text in layout.rejected.items() if (name := table.find(column))}
    for batch in _read_batches(table, tuple({*columns.values(), *accepted, *rejected})):
        is_accepted = np.ones(len(next(iter(batch.values()))), dtype=bool)
        for name, ranges in accepted.items():
            value = _numbers(batch[name])
            is_accepted &= np.isnan(value) | np.any([(value >= low) & (value <= high) for low, high in ranges], axis=0)
        for name, text in rejected.items():
            is_accepted &= batch[name] != text
        rows = {name: column[is_accepted] for name, column in batch.items()}
        yield _make_sources(rows, columns, scales, layout, table)


def _read_batches(table: Table, columns: tuple[str, ...]) -> Iterator[Batch]:
    batches = table.read(columns)
    while True:
        with readable(table.path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _make_sources(
    rows: Batch, columns: Mapping[str, str], scales: Mapping[str, float], layout: Layout, table: Table
) -> CatalogueSources:
    def numbers(key: str, default: float = np.nan) -> Numbers:
        if key not in columns:
            return np.full(len(rows[columns["ra"]]), default)
        return _numbers(rows[columns[key]]) * scales[key]

    ra_deg, dec_deg = (_angles(rows[columns[key]], columns[key], 15.0 if key == "ra" else 1.0, table)
                       for key in ("ra", "dec"))  # fmt: skip
    flux_jy, flux_error_jy = numbers("flux"), numbers("flux_error")
    peak_jy, peak_error_jy = numbers("peak"), numbers("peak_error")
    ra_error_deg = numbers("ra_error")
    if "ra_error" in columns and scales["ra_error"] == ANGLE_UNITS["s"]:
        ra_error_deg = ra_error_deg * np.cos(np.deg2rad(dec_deg))
    position_error_deg = np.fmax(ra_error_deg, numbers("dec_error"))
    if "fitted_major" in columns:  # FIRST states no errors but this formula of its 90 % radius
        snr = np.maximum((peak_jy - 0.25e-3) / peak_error_jy, 1.0)
        position_error_deg = np.fmax(numbers("fitted_major"), 0) * (1 / snr + 0.05) / CONFIDENCE_90
    major_deg, minor_deg = np.fmax(numbers("major", 0.0), 0.0), np.fmax(numbers("minor", 0.0), 0.0)
    is_resolved = major_deg > 0
    if "size_limit" in columns:
        is_resolved &= rows[columns["size_limit"]] != "<"
    elif "peak" in columns:
        error = np.hypot(np.nan_to_num(flux_error_jy / flux_jy), np.nan_to_num(peak_error_jy / peak_jy))
        is_resolved &= flux_jy / peak_jy > _RESOLVED_MARGIN + 3 * error
    else:
        is_resolved &= major_deg > 0.5 * layout.beam_arcsec / 3600
    size = {"major_deg": major_deg, "minor_deg": minor_deg, "angle_deg": np.nan_to_num(numbers("angle", 0.0)) % 180}
    ids = rows[columns["source_id"]].astype(np.str_) if "source_id" in columns else _position_ids(ra_deg, dec_deg)
    return CatalogueSources.of(
        layout.frequency_hz, ids, ra_deg, dec_deg, flux_jy, position_error_deg=position_error_deg,
        flux_error_jy=flux_error_jy, spectral_index=numbers("spectral_index"), is_resolved=is_resolved,
        **{key: np.where(is_resolved, value, 0.0) for key, value in size.items()},
    )  # fmt: skip


def _numbers(column: Column) -> Numbers:
    """Numbers of a column; blank text is NaN."""
    if column.dtype.kind != "U":
        return np.asarray(column, dtype=np.float64)
    try:
        return np.where(column == "", "nan", column).astype(np.float64)
    except ValueError as error:
        raise BadInput(f"{error}; check the columns that are named") from error


def _angles(column: Column, name: str, degrees_per_unit: float, table: Table) -> Numbers:
    """Degrees of a column in the table's unit, or of sexagesimal text, whose unit is `degrees_per_unit` degrees."""
    if column.dtype.kind != "U" or not len(column) or len(column[0].replace(":", " ").split()) == 1:
        unit = table.units.get(name, "").lower().strip()
        if unit not in POSITION_UNITS:
            raise Misconfigured(f"{table.path}: the unit of column {name} is {unit}; give positions in degrees")
        return _numbers(column) * POSITION_UNITS[unit]
    try:
        parts = np.array([cell.replace(":", " ").replace("+", "").split() for cell in column], dtype=np.float64)
        whole, minutes, seconds = parts.T
    except ValueError as error:
        raise BadInput(f"{table.path}: {column[0]!r} and others are no positions ({error})") from error
    is_negative = np.char.startswith(column, "-")
    degrees = (np.abs(whole) + minutes / 60 + seconds / 3600) * degrees_per_unit
    return np.asarray(np.where(is_negative, -degrees, degrees))


def _position_ids(ra_deg: Numbers, dec_deg: Numbers) -> list[str]:
    """`JHHMMSS.s+DDMMSS` of each position."""
    tenths = np.floor(ra_deg % 360 / 15 * 36000).astype(int).tolist()
    seconds = np.floor(np.abs(dec_deg) * 3600).astype(int).tolist()
    return [
        f"J{t // 36000:02d}{t // 600 % 60:02d}{t % 600 / 10:04.1f}{'-' if south else '+'}"
        f"{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}"
        for t, s, south in zip(tenths, seconds, (dec_deg < 0).tolist(), strict=True)
    ]
