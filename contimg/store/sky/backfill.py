"""Measuring a source that was added later in the mosaics that are on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from contimg.epoch.photometry.products import Photometry
from contimg.formats.records import about
from contimg.store import tables
from contimg.store.database import Database
from contimg.store.sky.measurements import find_epoch, write_sources


@dataclass(frozen=True)
class Backfill:
    """What became of the epochs when sources were measured back."""

    measured: Annotated[int, about("Epochs in which a source was measured", "epochs", 28)]
    outside: Annotated[int, about("Epochs that cover none of the sources", "epochs", 4)]
    missing: Annotated[int, about("Epochs whose mosaic is not on disk any more", "epochs", 0)]


def measure_back(database: Database, source_ids: Sequence[int], processing: str) -> Backfill:
    """Measure sources in every measured epoch whose mosaic is on disk, with the epoch's normalisation.

    The epoch's other sources are fitted with them where they blend, and keep their measurements. Each epoch is a
    transaction of its own, so that an interrupted run may be repeated.

    Parameters
    ----------
    database : of the store.
    source_ids : numbers of the sources.
    processing : of the epochs.

    Raises
    ------
    BadInput : a mosaic cannot be measured.
    """
    source, epoch = tables.Source, tables.MeasuredEpoch
    with database.read() as session:
        rows = session.execute(select(source.id, source.ra_deg, source.dec_deg).where(source.id.in_(source_ids))).all()
        epochs = session.execute(
            select(epoch.id, epoch.epoch, epoch.fits_path).where(epoch.processing == processing).order_by(epoch.mjd)
        ).all()
    ids, ra_deg, dec_deg = (np.array(column) for column in zip(*rows, strict=True))
    counts = {"measured": 0, "outside": 0, "missing": 0}
    for number, key, fits_path in epochs:
        path = Path(fits_path)
        if not path.is_file():
            counts["missing"] += 1
            continue
        is_inside = _is_inside(path, ra_deg, dec_deg)
        if not is_inside.any():
            counts["outside"] += 1
            continue
        photometry = _measure(database, number, path, ids[is_inside], ra_deg[is_inside], dec_deg[is_inside])
        with database.write() as session:
            row = find_epoch(session, key, processing)
            if row is not None:
                write_sources(session, row, photometry, ids[is_inside])
                counts["measured"] += 1
    return Backfill(**counts)


def _is_inside(path: Path, ra_deg: NDArray[Any], dec_deg: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether positions are inside an image."""
    from astropy.io import fits
    from astropy.wcs import WCS

    from contimg.epoch.photometry.positions import Positions, find_inside, find_pixels

    header = fits.getheader(path)
    pixels = find_pixels(Positions.of(ra_deg, dec_deg), WCS(header).celestial)
    return find_inside(pixels, (header["NAXIS2"], header["NAXIS1"]))


def _measure(
    database: Database, epoch_id: int, path: Path, ids: NDArray[Any], ra_deg: NDArray[Any], dec_deg: NDArray[Any]
) -> Photometry:
    """Fluxes of sources in a mosaic, fitted together with the sources that it was measured at."""
    from contimg.epoch.photometry.options import MeasureOptions
    from contimg.epoch.photometry.positions import Positions
    from contimg.epoch.photometry.run import measure_fluxes

    source, table = tables.Source, tables.Measurement
    query = select(source.ra_deg, source.dec_deg).join(table, table.source_id == source.id)
    with database.read() as session:
        neighbours = session.execute(query.where(table.epoch_id == epoch_id, source.id.not_in(ids.tolist()))).all()
    ra = np.append(ra_deg, [row[0] for row in neighbours])
    dec = np.append(dec_deg, [row[1] for row in neighbours])
    return measure_fluxes(path, Positions.of(ra, dec), MeasureOptions.from_environment())[: len(ids)]
