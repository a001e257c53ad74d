"""A light curve as positions in a drawing without JavaScript, in percent of its width and height."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contimg.common.units import format_utc
from contimg.instrument.time import mjd_to_unix
from contimg.store.sky.records import Measurement

TICKS = 5
_MARGIN = 0.06  # of the ranges, beyond the outermost values


@dataclass(frozen=True)
class AxisTick:
    """A tick of an axis: its position, percent, and its label."""

    percent: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A measurement: kind (counted, soft, limit, uncounted), position, and ends of the error bar of its flux, percent.

    The position of a limit is at the limit.
    """

    kind: str
    x: float
    y: float
    high: float
    low: float


@dataclass(frozen=True)
class StillCurve:
    """A light curve to be drawn. `mean` is the height of the weighted mean, percent."""

    marks: tuple[Mark, ...]
    time_ticks: tuple[AxisTick, ...]
    flux_ticks: tuple[AxisTick, ...]
    mean: float | None


def kind_of(measurement: Measurement) -> str:
    """Return how a measurement is drawn: `counted`, `soft` (with a soft flag), `limit` (below 3 sigma), `uncounted`.

    Parameters
    ----------
    measurement : of a light curve.
    """
    if not measurement.is_counted:
        return "uncounted"
    if not measurement.is_detected:
        return "limit"
    return "soft" if measurement.flags else "counted"


def draw_still(measurements: Sequence[Measurement], mean_jy: float | None) -> StillCurve | None:
    """Lay out a light curve.

    Parameters
    ----------
    measurements : in order of time; those without a flux are left out.
    mean_jy : weighted mean flux; None without a counted measurement.

    Returns
    -------
    StillCurve or None
        None when no measurement has a flux.
    """
    values = [(row, row.flux_jy, row.flux_error_jy or 0.0) for row in measurements if row.flux_jy is not None]
    if not values:
        return None
    times = [row.mjd for row, _, _ in values]
    half_d = max(0.5, _MARGIN * (times[-1] - times[0]))
    begin, end = times[0] - half_d, times[-1] + half_d
    levels = [level for row, flux, error in values for level in (flux - error, flux + error, _height(row, flux))]
    bottom, top = min(levels), max(levels)
    half_jy = max(_MARGIN * (top - bottom), 1e-6)
    bottom, top = bottom - half_jy, top + half_jy

    def across(mjd: float) -> float:
        return 100 * (mjd - begin) / (end - begin)

    def up(flux_jy: float) -> float:
        return 100 * (top - flux_jy) / (top - bottom)

    marks = tuple(
        Mark(kind_of(row), across(row.mjd), up(_height(row, flux)), up(flux + error), up(flux - error))
        for row, flux, error in values
    )
    form = "%Y-%m-%d" if end - begin > TICKS else "%m-%d %H:%M"
    dates = [begin + (number + 0.5) * (end - begin) / TICKS for number in range(TICKS)]
    step = _round_step((top - bottom) / TICKS)
    first = math.ceil(bottom / step)
    fluxes = [number * step for number in range(first, math.floor(top / step) + 1)]
    return StillCurve(
        marks,
        tuple(AxisTick(across(mjd), format_utc(mjd_to_unix(mjd), form)) for mjd in dates),
        tuple(AxisTick(up(flux), f"{1e3 * flux:.6g}".replace("-", "−")) for flux in fluxes),
        None if mean_jy is None else up(mean_jy),
    )


def _height(row: Measurement, flux_jy: float) -> float:
    """Where the mark of a measurement is drawn: at its limit, if it is below that."""
    return row.limit_jy if kind_of(row) == "limit" and row.limit_jy is not None else flux_jy


def _round_step(step: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below a step."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * step)
