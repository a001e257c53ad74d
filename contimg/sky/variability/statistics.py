"""Variability statistics of many sources from running sums, which take and give back single measurements.

Sources of the formulas: Swinbank et al. (2015, Astronomy & Computing 11, 25), η and V; Mooley et al. (2016, ApJ 818,
105), Vs and m of two epochs.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FluxSums:
    """Running sums over the measurements of sources; arrays of shape (sources,).

    The sums are of differences from a source's first flux and first time, so that a small variation of a bright source
    keeps its digits. A difference removed again leaves a rounding error of 1e-16 of the largest sum; the sums of a
    source without measurements are exactly those of `empty`. The extremes and the last measurement cannot be given
    back: `remove` marks the sources whose sums are to be computed again, with `of`, from their light curves.

    Attributes
    ----------
    n : number of measurements.
    reference_jy, reference_mjd : flux and time that are subtracted in the sums; 0 without a measurement.
    w, ws, ws2 : Σw, Σwd, Σwd²: w = 1/σ² (Jy⁻²), d the flux less `reference_jy` (Jy).
    s, s2 : Σd, Σd².
    wt, wt2, wts : Σwt, Σwt², Σwtd: t the time less `reference_mjd` (days).
    first_mjd, last_mjd, last_jy, last_error_jy : times of the first and last measurement, and the last; NaN without.
    high_jy, high_error_jy, high_mjd : the measurement of the largest S - σ; NaN without one.
    low_jy, low_error_jy, low_mjd : the measurement of the smallest S + σ; NaN without one.
    """

    n: NDArray[np.int64]
    reference_jy: Values
    reference_mjd: Values
    w: Values
    ws: Values
    ws2: Values
    s: Values
    s2: Values
    wt: Values
    wt2: Values
    wts: Values
    first_mjd: Values
    last_mjd: Values
    last_jy: Values
    last_error_jy: Values
    high_jy: Values
    high_error_jy: Values
    high_mjd: Values
    low_jy: Values
    low_error_jy: Values
    low_mjd: Values

    @classmethod
    def empty(cls, sources: int) -> Self:
        """Return the sums of sources without a measurement.

        Parameters
        ----------
        sources : number of sources.
        """
        names = [field.name for field in fields(cls)]
        values = {name: np.full(sources, np.nan if name.startswith(_UNSET) else 0.0) for name in names}
        return cls(**{**values, "n": np.zeros(sources, dtype=np.int64)})

    @classmethod
    def of(cls, flux_jy: ArrayLike, error_jy: ArrayLike, mjd: ArrayLike) -> Self:
        """Return the sums of whole light curves.

        Parameters
        ----------
        flux_jy, error_jy : shape (sources, epochs); NaN where there is no measurement.
        mjd : times, shape (epochs,) or (sources, epochs).
        """
        flux, error, time = np.broadcast_arrays(*(np.asarray(values, float) for values in (flux_jy, error_jy, mjd)))
        sums = cls.empty(flux.shape[0])
        for epoch in range(flux.shape[1]):
            sums = sums.add(flux[:, epoch], error[:, epoch], time[:, epoch])
        return sums

    def add(self, flux_jy: ArrayLike, error_jy: ArrayLike, mjd: ArrayLike) -> Self:
        """Return the sums with one measurement more of each source, in any order of time.

        Parameters
        ----------
        flux_jy, error_jy : shape (sources,); a source with a flux or error that is not finite, or with an error that
            is not positive, has no measurement.
        mjd : time, scalar or shape (sources,).
        """
        flux, error, time, is_measured = _measurements(self.n.size, flux_jy, error_jy, mjd)
        is_first = is_measured & (self.n == 0)
        start = replace(
            self, reference_jy=np.where(is_first, flux, self.reference_jy),
            reference_mjd=np.where(is_first, time, self.reference_mjd),
        )  # fmt: skip
        sums = start._shifted(flux, error, time, is_measured, 1)
        is_last = is_measured & ~(time < self.last_mjd)
        is_high = is_measured & ~(flux - error <= self.high_jy - self.high_error_jy)
        is_low = is_measured & ~(flux + error >= self.low_jy + self.low_error_jy)
        return replace(
            sums, first_mjd=np.where(is_measured, np.fmin(self.first_mjd, time), self.first_mjd),
            last_mjd=np.where(is_last, time, self.last_mjd), last_jy=np.where(is_last, flux, self.last_jy),
            last_error_jy=np.where(is_last, error, self.last_error_jy),
            high_jy=np.where(is_high, flux, self.high_jy), high_error_jy=np.where(is_high, error, self.high_error_jy),
            high_mjd=np.where(is_high, time, self.high_mjd), low_jy=np.where(is_low, flux, self.low_jy),
            low_error_jy=np.where(is_low, error, self.low_error_jy), low_mjd=np.where(is_low, time, self.low_mjd),
        )  # fmt: skip

    def remove(self, flux_jy: ArrayLike, error_jy: ArrayLike, mjd: ArrayLike) -> tuple[Self, Mask]:
        """Return the sums without a measurement that was added, and which sources are to be computed again.

        Parameters
        ----------
        flux_jy, error_jy, mjd : as they were given to `add`.

        Returns
        -------
        The sums, and a mask of shape (sources,): true where the measurement was the first, the last or an extreme, so
        that these fields are no longer right. Sums and η are right for all.
        """
        flux, error, time, is_measured = _measurements(self.n.size, flux_jy, error_jy, mjd)
        is_measured &= self.n > 0
        is_extreme = (flux == self.high_jy) | (flux == self.low_jy) | (time == self.first_mjd) | (time == self.last_mjd)
        sums = self._shifted(flux, error, time, is_measured, -1)
        is_empty, empty = is_measured & (sums.n == 0), type(self).empty(self.n.size)
        names = [field.name for field in fields(self)]
        merged = {name: np.where(is_empty, getattr(empty, name), getattr(sums, name)) for name in names}
        return type(self)(**merged), is_measured & is_extreme & ~is_empty

    def take(self, index: NDArray[np.intp] | Mask) -> Self:
        """Return the sums of a part of the sources.

        Parameters
        ----------
        index : indices or mask of the sources.
        """
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def _shifted(self, flux: Values, error: Values, time: Values, is_measured: Mask, sign: int) -> Self:
        """Sums with a measurement added (sign 1) or subtracted (-1) where there is one."""
        factor = np.where(is_measured, float(sign), 0.0)
        d = np.where(is_measured, flux - self.reference_jy, 0.0)
        t = np.where(is_measured, time - self.reference_mjd, 0.0)
        w = factor / np.where(is_measured, error, 1.0) ** 2
        return replace(
            self, n=self.n + sign * is_measured, w=self.w + w, ws=self.ws + w * d, ws2=self.ws2 + w * d * d,
            s=self.s + factor * d, s2=self.s2 + factor * d * d, wt=self.wt + w * t, wt2=self.wt2 + w * t * t,
            wts=self.wts + w * t * d,
        )  # fmt: skip

    @property
    def mean_jy(self) -> Values:
        """Mean flux; NaN without a measurement."""
        return self.reference_jy + _divide(self.s, self.n)

    @property
    def weighted_mean_jy(self) -> Values:
        """Mean flux with the weights 1/σ²; NaN without a measurement."""
        return self.reference_jy + _divide(self.ws, self.w)

    @property
    def weighted_mean_error_jy(self) -> Values:
        """Standard error of the weighted mean; NaN without a measurement."""
        return np.sqrt(_divide(np.ones(self.n.size), self.w))

    @property
    def eta(self) -> Values:
        """Reduced χ² against a constant flux, η = N/(N-1) (⟨wS²⟩ - ⟨wS⟩²/⟨w⟩); NaN below two measurements."""
        return _divide(np.maximum(self.ws2 - _divide(self.ws**2, self.w), 0.0), self.n - 1)

    @property
    def modulation_index(self) -> Values:
        """V: standard deviation over mean flux; NaN below two measurements or for a mean that is not positive."""
        variance = _divide(np.maximum(self.s2 - _divide(self.s**2, self.n), 0.0), self.n - 1)
        return _divide(np.sqrt(variance), self.mean_jy)

    @property
    def vs(self) -> Values:
        """Vs of the highest and the lowest measurement: the largest of all pairs where the errors are equal.

        NaN below two measurements.
        """
        vs = two_epoch_vs(self.high_jy, self.high_error_jy, self.low_jy, self.low_error_jy)
        return np.where(self.n > 1, vs, np.nan)

    @property
    def m(self) -> Values:
        """m of the highest and the lowest measurement; NaN below two, and where their sum is not positive."""
        return np.where(self.n > 1, two_epoch_m(self.high_jy, self.low_jy), np.nan)

    @property
    def eta_without_extreme(self) -> Values:
        """η without the highest or without the lowest measurement, the smaller; NaN below three measurements.

        A single wrong measurement does not raise it.
        """
        time = self.reference_mjd
        without_high = self.remove(self.high_jy, self.high_error_jy, time)[0].eta
        without_low = self.remove(self.low_jy, self.low_error_jy, time)[0].eta
        return np.asarray(np.minimum(without_high, without_low))

    @property
    def trend_jy_per_day(self) -> Values:
        """Slope of the weighted linear fit; NaN without two different times."""
        return _divide(self.w * self.wts - self.wt * self.ws, self._time_spread)

    @property
    def trend_error_jy_per_day(self) -> Values:
        """Standard error of the slope from the errors of the measurements."""
        return np.sqrt(_divide(self.w, self._time_spread))

    @property
    def _time_spread(self) -> Values:
        spread = self.w * self.wt2 - self.wt**2
        return np.where(spread > 1e-12 * self.w * self.wt2, spread, 0.0)


_UNSET = ("first_", "last_", "high_", "low_")


def two_epoch_vs(
    first_jy: ArrayLike, first_error_jy: ArrayLike, second_jy: ArrayLike, second_error_jy: ArrayLike
) -> Values:
    """Return Vs = (S₁ - S₂) / √(σ₁² + σ₂²) of two measurements (Mooley et al. 2016, eq. 2).

    Parameters
    ----------
    first_jy, first_error_jy, second_jy, second_error_jy : broadcast against each other.
    """
    difference = np.subtract(first_jy, second_jy, dtype=np.float64)
    return np.asarray(difference / np.hypot(first_error_jy, second_error_jy))


def two_epoch_m(first_jy: ArrayLike, second_jy: ArrayLike) -> Values:
    """Return m = 2 (S₁ - S₂) / (S₁ + S₂) of two measurements (Mooley et al. 2016, eq. 3).

    Parameters
    ----------
    first_jy, second_jy : broadcast against each other.

    Returns
    -------
    m; NaN where the sum of the fluxes is not positive.
    """
    return _divide(2 * np.subtract(first_jy, second_jy, dtype=np.float64), np.add(first_jy, second_jy))


def _divide(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """Quotient; NaN where the denominator is not positive."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def _measurements(
    count: int, flux_jy: ArrayLike, error_jy: ArrayLike, mjd: ArrayLike
) -> tuple[Values, Values, Values, Mask]:
    """Measurements as arrays of the number of sources, and where there is one."""
    flux, error, time = (np.broadcast_to(np.asarray(values, float), count) for values in (flux_jy, error_jy, mjd))
    with np.errstate(invalid="ignore"):
        is_measured = np.isfinite(flux) & np.isfinite(error) & np.isfinite(time) & (error > 0)
    return flux, error, time, is_measured
