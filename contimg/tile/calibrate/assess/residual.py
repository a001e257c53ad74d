"""What a set leaves of its own calibrator: the solving set's data over the model, corrected, should be 1 everywhere."""

from pathlib import Path

import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.quality.caltables import Residual

_ROWS = 4096


def residual(solving_set: Path, inverse: NDArray[np.complex64]) -> Residual:
    """Apply `inverse` gains (slots, channels, receptors) to a solving set and measure what is left.

    NaN everywhere when no sample has a solution.
    """
    slots = len(inverse)
    sums, squares, counts = np.zeros((slots, slots), complex), np.zeros((slots, slots)), np.zeros((slots, slots))
    with table(str(solving_set), ack=False) as main:
        for start in range(0, main.nrows(), _ROWS):
            count = min(_ROWS, main.nrows() - start)
            names = ("DATA", "FLAG", "ANTENNA1", "ANTENNA2")
            data, flags, first, second = (main.getcol(name, start, count) for name in names)
            left_over(data, flags, first, second, inverse, sums, squares, counts)
    seen = counts > 1
    if not seen.any():
        return Residual(np.nan, np.nan, np.nan)
    mean, number = sums[seen] / counts[seen], counts[seen]
    variance = np.maximum(squares[seen] / number - np.abs(mean) ** 2, 0.0) * number / (number - 1)
    systematic = float(np.mean(np.abs(mean) ** 2 - variance / number))
    return Residual(
        fraction=float(np.sqrt(max(systematic, 0.0))),
        scale=float(1 + np.sum(sums[seen].real) / np.sum(number)),
        scatter=float(np.sqrt(np.sum(squares[seen]) / np.sum(number))),
    )


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def left_over(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32],
    inverse: NDArray[np.complex64], sums: NDArray[np.complex128], squares: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add corrected - 1, its square and the number of samples of each baseline to (slots, slots) arrays."""
    for row in range(data.shape[0]):
        one, other = first[row], second[row]
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                factor = inverse[one, channel, pol] * np.conj(inverse[other, channel, pol])
                if flags[row, channel, pol] or not (np.isfinite(factor.real) and np.isfinite(factor.imag)):
                    continue
                left = complex(data[row, channel, pol] * factor) - 1.0
                sums[one, other] += left
                squares[one, other] += left.real**2 + left.imag**2
                counts[one, other] += 1
