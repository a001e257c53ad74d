"""Health of the antennas: a survey of amplitudes over a tile, and the antennas that are dead by it."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data, Mask, Slots

Sums = NDArray[np.float64]
_MIN_USABLE = 0.05
_FAINT = 0.02  # of the array's median cross amplitude
_FAINT_POWER = 0.005  # of the array's median autocorrelation
_FLAT = 1e-3  # of the array's median relative spread


class Survey(NamedTuple):
    """Sums over a tile, per antenna slot, shape (slots,) each; `add` fills them.

    Attributes
    ----------
    samples, usable : of cross-correlations: all, and those that are unflagged, finite and not zero.
    log_amplitude : sum of ln|V| over the usable ones.
    autos, auto_sum, auto_square : number, sum and sum of squares of the usable autocorrelations' amplitudes.
    """

    samples: Sums
    usable: Sums
    log_amplitude: Sums
    autos: Sums
    auto_sum: Sums
    auto_square: Sums

    @classmethod
    def empty(cls, slots: int) -> "Survey":
        """Start a survey of so many antenna slots.

        Parameters
        ----------
        slots : number of antenna slots, those without data included.
        """
        return cls(*(np.zeros(slots) for _ in range(6)))

    def add(self, data: Data, flags: Mask, ant1: Slots, ant2: Slots) -> None:
        """Add rows.

        Parameters
        ----------
        data, flags : shape (rows, channels, correlations).
        ant1, ant2 : antenna slots, shape (rows,).
        """
        _survey(data, flags, ant1, ant2, self)

    @property
    def usable_fraction(self) -> Sums:
        """Usable fraction of each slot's cross-correlations, shape (slots,)."""
        return np.asarray(self.usable / np.maximum(self.samples, 1))


def find_dead_antennas(survey: Survey, antennas: NDArray[np.int64]) -> dict[int, str]:
    """Find the dead antennas: over 95 % of the data unusable, a faint signal, or a flat autocorrelation.

    Faint is an amplitude below 2 % of the array's median, or an autocorrelation below 0.5 %; flat is an autocorrelation
    that does not fluctuate while those of the other antennas do.

    Parameters
    ----------
    survey : of a tile.
    antennas : slots of the antennas to look at.

    Returns
    -------
    The dead slots, and the reason of each.
    """
    present = antennas[survey.samples[antennas] > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        amplitude = np.exp(survey.log_amplitude / survey.usable)
        mean = survey.auto_sum / survey.autos
        spread = np.sqrt(np.maximum(survey.auto_square / survey.autos - mean**2, 0.0)) / mean
    power = np.nanmedian(mean[present]) if np.isfinite(mean[present]).any() else 0.0
    typical = np.nanmedian(amplitude[present]) if np.isfinite(amplitude[present]).any() else 0.0
    fluctuation = np.nanmedian(spread[present]) if np.isfinite(spread[present]).any() else 0.0
    dead = {}
    for slot in present:
        if survey.usable_fraction[slot] < _MIN_USABLE:
            dead[int(slot)] = f"{1 - survey.usable_fraction[slot]:.0%} flagged or zero"
        elif amplitude[slot] < _FAINT * typical:
            dead[int(slot)] = f"amplitude {amplitude[slot] / typical:.1%} of the array's"
        elif mean[slot] < _FAINT_POWER * power:
            dead[int(slot)] = f"autocorrelation {mean[slot] / power:.2%} of the array's"
        elif fluctuation > 1e-5 and spread[slot] < _FLAT * fluctuation:
            dead[int(slot)] = "autocorrelation is flat"
    return dead


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _survey(data: Data, flags: Mask, ant1: Slots, ant2: Slots, sums: Survey) -> None:
    for row in range(data.shape[0]):
        good, logs, total, square = 0, 0.0, 0.0, 0.0
        is_auto = ant1[row] == ant2[row]
        product, factors = 1.0, 0  # a logarithm for several samples at once
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                power = float(value.real) ** 2 + float(value.imag) ** 2
                if flags[row, channel, pol] or not np.isfinite(power) or power <= 0.0:
                    continue
                good += 1
                if is_auto:
                    total += np.sqrt(power)
                    square += power
                else:
                    product *= min(max(power, 1e-30), 1e30)
                    factors += 1
                if factors == 8:
                    logs += 0.5 * np.log(product)
                    product, factors = 1.0, 0
        logs += 0.5 * np.log(product)
        if is_auto:
            sums.autos[ant1[row]] += good
            sums.auto_sum[ant1[row]] += total
            sums.auto_square[ant1[row]] += square
            continue
        for slot in (ant1[row], ant2[row]):
            sums.samples[slot] += data.shape[1] * data.shape[2]
            sums.usable[slot] += good
            sums.log_amplitude[slot] += logs
