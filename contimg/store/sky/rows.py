"""Rows of measurements as arrays, and which of them are counted.

Of the measurements of a source, sidereal day and processing the one nearest to the centre of its mosaic is counted, if
it has no hard flag and its epoch's normalisation is accepted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from contimg.epoch.photometry.products import MeasurementFlag
from contimg.epoch.windows import SIDEREAL_DAY_MIN, sidereal_minutes
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import tables
from contimg.store.sky.identification import chunks
from contimg.store.sky.sums import POINT, Points

Rows = NDArray[Any]
Keys = NDArray[np.int64]
Fluxes = NDArray[np.float64]

ROW = np.dtype([
    ("source_id", "i8"), ("day", "i8"), ("epoch_id", "i8"), ("flux_jy", "f8"), ("flux_error_jy", "f8"),
    ("centre_distance_arcsec", "i8"), ("flags", "i8"), ("is_counted", "?"),
])  # fmt: skip
"""Columns of a measurement that decide whether it is counted."""

COLUMNS = tuple(getattr(tables.Measurement, name) for name in ROW.names or ())
_MINUTES_PER_DEG = 4.0
_DAY_BITS, _DAY_OFFSET = 24, 1 << 23


def transit_day(ra_deg: NDArray[np.float64], mjd: float) -> NDArray[np.int64]:
    """Return the number of the sidereal day whose transit of each right ascension is the nearest to a time.

    Parameters
    ----------
    ra_deg : of the sources, any turn, shape (sources,).
    mjd : UTC, days.

    Returns
    -------
    shape (sources,). Either side of right ascension 0 the numbers differ by one, of a source they never change
    within half a day of its transit.
    """
    minutes = sidereal_minutes(mjd) - _MINUTES_PER_DEG * (ra_deg % 360)
    return np.rint(minutes / SIDEREAL_DAY_MIN).astype(np.int64)


def keys_of(rows: Rows) -> Keys:
    """Return one number for each source and day.

    Parameters
    ----------
    rows : with the fields `source_id` and `day`.
    """
    return np.asarray((rows["source_id"] << _DAY_BITS) + rows["day"] + _DAY_OFFSET, dtype=np.int64)


def split_keys(keys: Keys) -> tuple[Keys, Keys]:
    """Return the sources and days of `keys_of`.

    Parameters
    ----------
    keys : shape (n,).
    """
    return keys >> _DAY_BITS, (keys & ((1 << _DAY_BITS) - 1)) - _DAY_OFFSET


def read_rows(session: Session, query: Select[Any]) -> Rows:
    """Return rows of measurements as an array; NaN for a missing flux.

    Parameters
    ----------
    session : of the caller's transaction.
    query : of `COLUMNS`.
    """
    nan = float("nan")
    rows = [
        (*row[:3], nan if row[3] is None else row[3], nan if row[4] is None else row[4], *row[5:])
        for row in session.execute(query)
    ]
    return np.array(rows, dtype=ROW)


def as_array(rows: Sequence[dict[str, Any]]) -> Rows:
    """Return rows to be inserted as an array.

    Parameters
    ----------
    rows : values by column.
    """
    nan = float("nan")
    names = ROW.names or ()
    return np.array([tuple(nan if row[name] is None else row[name] for name in names) for row in rows], dtype=ROW)


def read_epochs(session: Session, rows: Rows) -> dict[int, tables.MeasuredEpoch]:
    """Return the rows of the epochs of measurements, by number.

    Parameters
    ----------
    session : of the caller's transaction.
    rows : the measurements.
    """
    row = tables.MeasuredEpoch
    return {
        epoch.id: epoch
        for part in chunks(np.unique(rows["epoch_id"]).tolist())
        for epoch in session.scalars(select(row).where(row.id.in_(part)))
    }


def choose_counted(rows: Rows, epochs: dict[int, tables.MeasuredEpoch]) -> NDArray[np.bool_]:
    """Return which measurements are counted: the nearest to the centre of each source and day, among the usable.

    Parameters
    ----------
    rows : all measurements of these sources and days in one processing.
    epochs : rows of their epochs by number.
    """
    order_of_epoch = {number: rank for rank, number in enumerate(sorted(epochs, key=lambda n: epochs[n].epoch))}
    ids, inverse = np.unique(rows["epoch_id"], return_inverse=True)
    rank = np.array([order_of_epoch[number] for number in ids.tolist()], dtype=np.int64)[inverse]
    is_accepted = np.array([epochs[number].is_accepted for number in ids.tolist()], dtype=bool)[inverse]
    is_usable = is_accepted & ((rows["flags"] & int(MeasurementFlag.HARD)) == 0)
    with np.errstate(invalid="ignore"):
        is_usable &= np.isfinite(rows["flux_jy"]) & (rows["flux_error_jy"] > 0) & np.isfinite(rows["flux_error_jy"])
    order = np.lexsort((rank, rows["centre_distance_arcsec"], ~is_usable, rows["day"], rows["source_id"]))
    ordered = rows[order]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (ordered["source_id"][1:] != ordered["source_id"][:-1]) | (ordered["day"][1:] != ordered["day"][:-1])
    is_counted = np.zeros(len(rows), dtype=bool)
    is_counted[order] = is_first
    return np.asarray(is_counted & is_usable)


def make_points(rows: Rows, epochs: Mapping[int, Any]) -> Points:
    """Return measurements after normalisation, ordered by source and day.

    Parameters
    ----------
    rows : of `measurements`.
    epochs : rows of their epochs by number.
    """
    points = np.zeros(len(rows), dtype=POINT)
    points["source_id"], points["day"] = rows["source_id"], rows["day"]
    points["flux_jy"], points["error_jy"] = normalise_rows(
        rows["epoch_id"], rows["flux_jy"], rows["flux_error_jy"], rows["flags"], epochs
    )
    ids, index = np.unique(rows["epoch_id"], return_inverse=True)
    points["mjd"] = np.array([epochs[number].mjd for number in ids.tolist()], dtype=float)[index]
    ordered: Points = points[np.lexsort((points["day"], points["source_id"]))]
    return ordered


def normalise_rows(
    epoch_ids: Keys, flux_jy: Fluxes, error_jy: Fluxes, flags: Keys, epochs: Mapping[int, Any]
) -> tuple[Fluxes, Fluxes]:
    """Return fluxes and errors after the normalisation of their epochs, as they are where it is not accepted.

    Parameters
    ----------
    epoch_ids : number of the epoch of each measurement, shape (measurements,).
    flux_jy, error_jy, flags : as measured.
    epochs : rows of the epochs by number.
    """
    flux, error = flux_jy.copy(), error_jy.copy()
    is_soft = (flags & int(MeasurementFlag.SOFT)) != 0
    order = np.argsort(epoch_ids, kind="stable")
    ids, starts = np.unique(epoch_ids[order], return_index=True)
    for number, first, after in zip(ids.tolist(), starts, np.append(starts, len(order))[1:], strict=True):
        epoch, of_epoch = epochs[number], order[first:after]
        if epoch.is_accepted:
            flux[of_epoch], error[of_epoch] = normalisation_of(epoch).apply(
                flux[of_epoch], error[of_epoch], is_soft[of_epoch]
            )
    return flux, error


def normalisation_of(epoch: Any) -> Normalisation:
    """Return the normalisation of a measured epoch.

    Parameters
    ----------
    epoch : its row.
    """
    factor_error = np.nan if epoch.factor_error is None else epoch.factor_error
    return Normalisation(
        epoch.factor, factor_error, epoch.offset_jy, epoch.reference_sources, epoch.is_accepted, epoch.reason,
        epoch.scatter,
    )  # fmt: skip
