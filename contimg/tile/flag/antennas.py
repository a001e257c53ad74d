"""The antennas' health: a survey of amplitudes over a tile, and which antennas are dead by it."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

_LEAST_USABLE = 0.05
_FAINT = 0.02  # of the array's median cross amplitude
_FLAT = 1e-3  # of the array's median relative spread


@dataclass
class Survey:
    """Sums over a tile, per antenna slot; `add` fills them.

    Attributes
    ----------
    samples, usable : of cross-correlations: all, and those that are unflagged, finite and not zero, shape (slots,).
    log_amplitude : sum of ln|V| over the usable ones.
    autos, auto_sum, auto_square : number, sum and sum of squares of the usable autocorrelations' amplitudes.
    """

    samples: NDArray[np.float64]
    usable: NDArray[np.float64]
    log_amplitude: NDArray[np.float64]
    autos: NDArray[np.float64]
    auto_sum: NDArray[np.float64]
    auto_square: NDArray[np.float64]

    @classmethod
    def of(cls, slots: int) -> "Survey":
        """An empty survey."""
        return cls(*(np.zeros(slots) for _ in range(6)))

    def add(
        self, data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32],
        second: NDArray[np.int32],
    ) -> None:  # fmt: skip
        """Add rows: data and flags (rows, channels, correlations), antenna slots (rows,)."""
        _survey(
            data, flags, first, second,
            self.samples, self.usable, self.log_amplitude, self.autos, self.auto_sum, self.auto_square,
        )  # fmt: skip

    @property
    def usable_fraction(self) -> NDArray[np.float64]:
        """Usable fraction of each slot's cross-correlations, shape (slots,)."""
        return np.asarray(self.usable / np.maximum(self.samples, 1))


def dead_antennas(found: Survey, antennas: NDArray[np.int64]) -> dict[int, str]:
    """The dead among `antennas`, with the reason of each.

    Dead is: over 95 % of its data flagged, zero or not numbers; an amplitude under 2 % of the array's median; or an
    autocorrelation that does not fluctuate while the others do.
    """
    present = antennas[found.samples[antennas] > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        amplitude = np.exp(found.log_amplitude / found.usable)
        mean = found.auto_sum / found.autos
        spread = np.sqrt(np.maximum(found.auto_square / found.autos - mean**2, 0.0)) / mean
    typical = np.nanmedian(amplitude[present]) if np.isfinite(amplitude[present]).any() else 0.0
    fluctuation = np.nanmedian(spread[present]) if np.isfinite(spread[present]).any() else 0.0
    dead = {}
    for slot in present:
        if found.usable_fraction[slot] < _LEAST_USABLE:
            dead[int(slot)] = f"{1 - found.usable_fraction[slot]:.0%} flagged or zero"
        elif amplitude[slot] < _FAINT * typical:
            dead[int(slot)] = f"amplitude {amplitude[slot] / typical:.1%} of the array's"
        elif fluctuation > 1e-5 and spread[slot] < _FLAT * fluctuation:
            dead[int(slot)] = "autocorrelation is flat"
    return dead


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _survey(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32],
    samples: NDArray[np.float64], usable: NDArray[np.float64], log_amplitude: NDArray[np.float64],
    autos: NDArray[np.float64], auto_sum: NDArray[np.float64], auto_square: NDArray[np.float64],
) -> None:  # fmt: skip
    for row in range(data.shape[0]):
        good, logs, total, square = 0, 0.0, 0.0, 0.0
        auto = first[row] == second[row]
        product, factors = 1.0, 0  # a logarithm for several samples at once
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                power = float(value.real) ** 2 + float(value.imag) ** 2
                if flags[row, channel, pol] or not np.isfinite(power) or power <= 0.0:
                    continue
                good += 1
                if auto:
                    total += np.sqrt(power)
                    square += power
                else:
                    product *= min(max(power, 1e-30), 1e30)
                    factors += 1
                if factors == 8:
                    logs += 0.5 * np.log(product)
                    product, factors = 1.0, 0
        logs += 0.5 * np.log(product)
        one, other = first[row], second[row]
        if auto:
            autos[one] += good
            auto_sum[one] += total
            auto_square[one] += square
            continue
        for slot in (one, other):
            samples[slot] += data.shape[1] * data.shape[2]
            usable[slot] += good
            log_amplitude[slot] += logs
