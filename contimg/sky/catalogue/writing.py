"""Writing a catalogue file: sources in any order, in batches, sorted on disk by HEALPix pixel and marked.

The memory does not grow with the number of sources but for their fluxes (8 bytes a source).
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.common.files.names import check_name
from contimg.common.files.staging import staged
from contimg.sky.catalogue.catalogue import COLUMNS, FORMAT, Catalogue, Provenance, open_catalogue
from contimg.sky.catalogue.counts import MAX_RATIO, check_counts, format_ratio
from contimg.sky.catalogue.marks import ISOLATION_BEAMS, mark_neighbours
from contimg.sky.catalogue.pixels import (
    DENSITY_NSIDE,
    NSIDE,
    cone_ranges,
    pixel_centres,
    pixel_radius_deg,
    pixels_of,
    region_nside,
)  # fmt: skip
from contimg.sky.catalogue.sources import CatalogueSources

TELESCOPE_BEAM_DEG = 45 / 3600  # about the restoring beam's major axis with all baselines
_ID_LENGTH = 64
_SORTED_NSIDE = 8  # of the pixels that are sorted one after the other
_PIXELS_SORTED = (NSIDE // _SORTED_NSIDE) ** 2
_RECORD = np.dtype(
    [
        ("pixel", "i4"),
        ("source_id", f"S{_ID_LENGTH}"),
        *((name, "f8") for name in COLUMNS[1:10]),
        *((name, "?") for name in COLUMNS[10:12]),
    ]
)
_SCHEMA = """
    CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sources (
        healpix INTEGER NOT NULL, number INTEGER NOT NULL, source_id TEXT NOT NULL, ra_deg REAL NOT NULL,
        dec_deg REAL NOT NULL, position_error_deg REAL, flux_jy REAL NOT NULL, flux_error_jy REAL, spectral_index REAL,
        major_deg REAL NOT NULL, minor_deg REAL NOT NULL, angle_deg REAL NOT NULL, is_resolved INTEGER NOT NULL,
        is_confused INTEGER NOT NULL, is_isolated INTEGER NOT NULL, PRIMARY KEY (healpix, number)
    ) WITHOUT ROWID;
    CREATE TABLE pixels (healpix INTEGER PRIMARY KEY, sources INTEGER NOT NULL);
    CREATE TABLE identifications (
        source_id TEXT NOT NULL, catalogue TEXT NOT NULL, catalogue_id TEXT NOT NULL, separation_deg REAL NOT NULL,
        frequency_hz REAL NOT NULL, flux_jy REAL NOT NULL, flux_error_jy REAL,
        PRIMARY KEY (source_id, catalogue, catalogue_id)
    ) WITHOUT ROWID;
"""


def write_catalogue(
    path: Path, sources: CatalogueSources | Iterable[CatalogueSources], provenance: Provenance, *,
    confusion_beam_deg: float = 0.0, is_checked: bool = False,
    identifications: Iterable[Sequence[str | float | None]] = (),
) -> Catalogue:  # fmt: skip
    """Write a catalogue file; sources are marked as confused or isolated by their neighbours.

    Parameters
    ----------
    path : of the file; one that exists is replaced at the end.
    sources : all sources, or batches of them, in any order, at the frequency of `provenance`. A spectral index is
        written where it is measured: neither NaN nor assumed. What is marked as confused remains so.
    provenance : what the catalogue is.
    confusion_beam_deg : beam within which neighbours count as confusing; 0: the larger of the survey's and the
        telescope's.
    is_checked : refuse fluxes that differ from the source counts by a factor of 10 or more.
    identifications : of merged sources, values in the order of the fields of `Identification`; they are read after all
        sources.

    Returns
    -------
    The catalogue, opened.

    Raises
    ------
    BadInput : there is no source, or a position or flux is not a number, or the fluxes do not fit the source counts.
    """
    check_name(provenance.name, "catalogue")
    beam_deg = confusion_beam_deg or max(provenance.beam_deg, TELESCOPE_BEAM_DEG)
    batches = [sources] if isinstance(sources, CatalogueSources) else sources
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        staged(path) as temporary, TemporaryFile(dir=path.parent) as arrived, TemporaryFile(dir=path.parent) as spool
    ):  # fmt: skip
        records, flux_jy = _sort(arrived, spool, batches, path)
        check = check_counts(flux_jy, records.counts, provenance.frequency_hz, provenance.spectral_index)
        del flux_jy
        if is_checked and check.ratio is not None and not check.is_plausible:
            table = provenance.source_table or path.name
            raise BadInput(
                f"{table}: fluxes are {format_ratio(check.ratio)} times those of the source counts at 1.4 GHz "
                f"(limits {1 / MAX_RATIO:g} to {MAX_RATIO:g}): the unit is probably wrong, give the right --flux-unit; "
                "or the table is a list of chosen sources, give --incomplete"
            )
        digest = hashlib.sha256()
        with closing(sqlite3.connect(temporary)) as connection, connection:
            connection.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")
            insert = f"INSERT INTO sources VALUES ({', '.join('?' * (2 + len(COLUMNS)))})"  # noqa: S608
            for number, batch, rows in _marked_batches(records, beam_deg):
                digest.update(batch.tobytes())
                connection.executemany(insert, rows(number))
            connection.executemany("INSERT INTO identifications VALUES (?, ?, ?, ?, ?, ?, ?)", identifications)
            density = records.counts.reshape(-1, (NSIDE // DENSITY_NSIDE) ** 2).sum(axis=1)
            counted = zip(np.flatnonzero(density).tolist(), density[density > 0].tolist(), strict=True)
            connection.executemany("INSERT INTO pixels VALUES (?, ?)", counted)
            properties = {
                **asdict(provenance), "format": FORMAT, "confusion_beam_deg": beam_deg,
                "n_sources": int(records.counts.sum()), "version": digest.hexdigest()[:12], "created_at": time.time(),
                "area_deg2": check.area_deg2, "count_ratio": check.ratio,
            }  # fmt: skip
            connection.executemany(
                "INSERT INTO properties VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in properties.items()],
            )
    return open_catalogue(path)


@dataclass(frozen=True)
class _SortedRecords:
    """Records in a file in the order of their pixels, and the number of them in each pixel."""

    file: IO[bytes]
    counts: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def read(self, first_pixel: int, after_pixel: int) -> Any:
        """The records of a range of pixels."""
        return _read(self.file, *self.offsets[[first_pixel, after_pixel]].tolist())


def _read(file: IO[bytes], first: int, after: int) -> Any:
    size = _RECORD.itemsize
    return np.frombuffer(os.pread(file.fileno(), (after - first) * size, first * size), dtype=_RECORD)


def _sort(
    arrived: IO[bytes], spool: IO[bytes], batches: Iterable[CatalogueSources], path: Path
) -> tuple[_SortedRecords, NDArray[np.float64]]:
    """Write the sources to `spool` in the order of their pixels and names; return them and their fluxes.

    Each batch is sorted as it arrives; then its parts are merged, one large pixel after another.
    """
    counts = np.zeros(12 * NSIDE**2, dtype=np.int64)
    edges = np.arange(0, len(counts) + 1, _PIXELS_SORTED)
    limits, fluxes, total = [], [np.zeros(0)], 0
    for batch in batches:
        records = _make_records(batch, path)
        arrived.write(records.tobytes())
        counts += np.bincount(records["pixel"], minlength=len(counts))
        limits.append(total + np.searchsorted(records["pixel"], edges))
        fluxes.append(np.array(records["flux_jy"]))
        total += len(records)
    arrived.flush()
    if total == 0:
        raise BadInput(f"{path.name}: the table has no source; nothing is written")
    table = np.array(limits)
    for index in range(len(edges) - 1):
        bounds = table[:, index : index + 2].tolist()
        parts = [_read(arrived, first, after) for first, after in bounds if after > first]
        if parts:
            merged = np.concatenate(parts)
            spool.write(merged[np.lexsort((merged["source_id"], merged["pixel"]))].tobytes())
    spool.flush()
    return _SortedRecords(spool, counts, np.concatenate([[0], np.cumsum(counts)])), np.concatenate(fluxes)


def _make_records(batch: CatalogueSources, path: Path) -> Any:
    """Records of a batch in the order of their pixels."""
    is_wrong = ~(np.isfinite(batch.ra_deg) & (np.abs(batch.dec_deg) <= 90) & np.isfinite(batch.flux_jy))
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise BadInput(
            f"{path.name}: source {batch.source_id[first]} has RA {batch.ra_deg[first]:g}, "
            f"Dec {batch.dec_deg[first]:g}, flux {batch.flux_jy[first]:g} Jy; correct or leave out its row"
        )
    records = np.zeros(len(batch), dtype=_RECORD)
    for name in COLUMNS[1:12]:
        records[name] = getattr(batch, name)
    records["ra_deg"] %= 360
    records["source_id"] = np.char.encode(batch.source_id, "utf-8")
    records["spectral_index"][batch.is_index_assumed] = np.nan
    records["pixel"] = pixels_of(batch.ra_deg, batch.dec_deg)
    return records[np.argsort(records["pixel"], kind="stable")]


def _marked_batches(records: _SortedRecords, beam_deg: float) -> Iterator[tuple[int, Any, Any]]:
    """Yield the sources of one large pixel after another: number of the first, its records, a function for its rows."""
    nside = region_nside(int(records.counts.sum()))
    centre_ra_deg, centre_dec_deg = pixel_centres(nside)
    reach_deg = pixel_radius_deg(nside) + ISOLATION_BEAMS * beam_deg
    per_batch = (NSIDE // nside) ** 2
    for large_pixel in np.flatnonzero(records.counts.reshape(-1, per_batch).sum(axis=1)).tolist():
        ranges = cone_ranges(float(centre_ra_deg[large_pixel]), float(centre_dec_deg[large_pixel]), reach_deg)
        neighbours = np.concatenate([records.read(*limits) for limits in ranges.tolist()])
        batch = records.read(large_pixel * per_batch, (large_pixel + 1) * per_batch)
        is_confused, is_isolated = mark_neighbours(
            batch["ra_deg"], batch["dec_deg"], batch["flux_jy"],
            neighbours["ra_deg"], neighbours["dec_deg"], neighbours["flux_jy"], beam_deg,
        )  # fmt: skip
        is_confused |= batch["is_confused"]
        is_isolated &= ~is_confused

        def rows(
            number: int, batch: Any = batch, marks: tuple[Any, Any] = (is_confused, is_isolated)
        ) -> Iterator[tuple[Any, ...]]:
            names = np.char.decode(batch["source_id"], "utf-8").tolist()
            numbers = [batch[name].tolist() for name in COLUMNS[1:10]]  # sqlite3 stores NaN as NULL
            flags = [column.astype(int).tolist() for column in (batch["is_resolved"], *marks)]
            count = range(number, number + len(batch))
            return zip(batch["pixel"].tolist(), count, names, *numbers, *flags, strict=True)

        yield int(records.offsets[large_pixel * per_batch]), batch, rows
