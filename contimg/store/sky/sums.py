"""Running sums of the statistics as rows of the store.

A source's counted measurements are summed in the order of days, all but the last, which a measurement of the same day
may still replace. So a measurement at the end costs one addition whatever the history, and the same measurements give
the same bits in whatever order they arrived. The formulas are those of `FluxSums`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.sky.variability.statistics import FluxSums

_FIELDS = tuple(field.name for field in fields(FluxSums))
SUMS_BYTES = 8 * len(_FIELDS)
COLUMNS = (
    "mean_jy", "weighted_mean_jy", "weighted_mean_error_jy", "eta", "eta_without_extreme", "modulation_index", "vs",
    "m", "trend_jy_per_day", "trend_error_jy_per_day", "first_mjd", "last_mjd", "last_jy", "last_error_jy", "high_jy",
    "high_mjd", "low_jy", "low_mjd",
)  # fmt: skip
"""Columns of the statistics that are properties or fields of `FluxSums`."""

POINT = np.dtype([("source_id", "i8"), ("day", "i8"), ("flux_jy", "f8"), ("error_jy", "f8"), ("mjd", "f8")])
"""A counted measurement, after normalisation."""

Points = NDArray[Any]


@dataclass(frozen=True)
class RunningStatistics:
    """Sums of sources up to the last counted measurement, and that measurement.

    Attributes
    ----------
    before : sums of all counted measurements but the last, of shape (sources,).
    last : the last ones, of `POINT`, shape (sources,).
    """

    before: FluxSums
    last: Points

    @classmethod
    def of(cls, points: Points) -> "RunningStatistics":
        """Sum whole light curves.

        Parameters
        ----------
        points : of `POINT`, ordered by source and day.
        """
        ids, starts, counts = np.unique(points["source_id"], return_index=True, return_counts=True)
        before = FluxSums.empty(len(ids))
        for index in range(int(counts.max(initial=1)) - 1):
            point = points[np.minimum(starts + index, len(points) - 1)]
            flux = np.where(index < counts - 1, point["flux_jy"], np.nan)
            before = before.add(flux, point["error_jy"], point["mjd"])
        return cls(before, points[starts + counts - 1])

    def followed_by(self, points: Points) -> "RunningStatistics":
        """Add a measurement of each source; one of the last day or a later one, which it replaces or follows.

        Parameters
        ----------
        points : of `POINT`, shape (sources,), of the same sources in the same order.
        """
        flux = np.where(points["day"] > self.last["day"], self.last["flux_jy"], np.nan)
        return RunningStatistics(self.before.add(flux, self.last["error_jy"], self.last["mjd"]), points)

    @property
    def sums(self) -> FluxSums:
        """Sums of all counted measurements."""
        return self.before.add(self.last["flux_jy"], self.last["error_jy"], self.last["mjd"])

    def rows(self, processing: str) -> list[dict[str, Any]]:
        """Return the rows of the table of statistics.

        Parameters
        ----------
        processing : of the measurements.
        """
        sums = self.sums
        columns: dict[str, Sequence[Any]] = {name: nullable(getattr(sums, name)) for name in COLUMNS}
        columns |= {"source_id": self.last["source_id"].tolist(), "last_day": self.last["day"].tolist()}
        columns |= {"n": sums.n.tolist(), "sums": pack(self.before)}
        return [
            {"processing": processing, **dict(zip(columns, row, strict=True))}
            for row in zip(*columns.values(), strict=True)
        ]


def pack(sums: FluxSums) -> list[bytes]:
    """Return the sums of each source as bytes.

    Parameters
    ----------
    sums : of any number of sources.
    """
    table = np.stack([np.asarray(getattr(sums, name), dtype="<f8") for name in _FIELDS], axis=-1)
    return [row.tobytes() for row in table]


def unpack(packed: Iterable[bytes]) -> FluxSums:
    """Return the sums that `pack` wrote.

    Parameters
    ----------
    packed : bytes of each source, of `SUMS_BYTES`.
    """
    table = np.frombuffer(b"".join(packed), dtype="<f8").reshape(-1, len(_FIELDS)).astype(np.float64)
    values: dict[str, Any] = {name: table[:, index].copy() for index, name in enumerate(_FIELDS)}
    return FluxSums(**values | {"n": values["n"].astype(np.int64)})


def nullable(values: NDArray[Any]) -> list[float | None]:
    """Return numbers for a column of the store: None where one is not finite.

    Parameters
    ----------
    values : shape (n,).
    """
    is_finite = np.isfinite(values).tolist()
    return [value if finite else None for value, finite in zip(values.tolist(), is_finite, strict=True)]
